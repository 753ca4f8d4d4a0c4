"""Travel times behind one small interface; which provider answers is part of the problem's data."""

from routing.problem import EstimatedTravel, Place, Problem
from routing.travel.estimate import CoordinateEstimate
from routing.travel.given import GivenTable
from routing.travel.table import TravelTable, TravelTimes

__all__ = ["TravelTable", "TravelTimes", "provider", "travel_table"]


def provider(problem: Problem) -> TravelTimes:
    """Return the provider that `problem.travel` asks for."""
    if isinstance(problem.travel, EstimatedTravel):
        return CoordinateEstimate(problem.travel)
    return GivenTable(problem.travel)


def travel_table(problem: Problem) -> TravelTable:
    """Return seconds and metres from every place of the problem to every other."""
    places: tuple[Place, ...] = problem.places
    return provider(problem).table(places)
