"""Travel times behind one small interface; which provider answers is part of the problem's data."""

from routing.problem import EstimatedTravel, Problem
from routing.travel.estimate import CoordinateEstimate
from routing.travel.given import GivenTable
from routing.travel.table import Legs, TravelBetween, TravelTable, TravelTimes

__all__ = ["Legs", "TravelBetween", "TravelTable", "TravelTimes", "provider", "travel_between", "travel_table"]


def provider(problem: Problem) -> TravelTimes:
    """Return the provider that `problem.travel` asks for."""
    if isinstance(problem.travel, EstimatedTravel):
        return CoordinateEstimate(problem.travel)
    return GivenTable(problem.travel)


def travel_between(problem: Problem) -> TravelBetween:
    """Return travel between the problem's places, for tables over some of them and for single legs."""
    return provider(problem).between(problem.places)


def travel_table(problem: Problem) -> TravelTable:
    """Return seconds and metres from every place of the problem to every other."""
    return travel_between(problem).table()
