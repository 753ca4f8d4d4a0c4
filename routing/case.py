"""What the referee looks things up in: the problem by name, with the travel of the legs that a plan drives."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import numpy as np

from routing.problem import Pace, Problem, Shift, Visit
from routing.travel import TravelBetween

HOUR = 3_600
PER_MILLE = 1_000


@dataclass(frozen=True, slots=True)
class Case:
    """The problem by name, with the travel of the legs that the plan drives."""

    problem: Problem
    shifts: dict[str, Shift]
    visits: dict[str, Visit]
    place: dict[str, int]
    travel: TravelBetween
    legs: dict[tuple[str, str], tuple[int, int]]

    def leg(self, origin: str, destination: str) -> tuple[int, int]:
        """Table seconds and metres of a leg."""
        if (origin, destination) not in self.legs:
            self.look_up([(origin, destination)])
        return self.legs[origin, destination]

    def look_up(self, pairs: list[tuple[str, str]]) -> None:
        """Ask for the legs between these places at once."""
        origins = np.array([self.place[origin] for origin, _ in pairs], dtype=np.intp)
        destinations = np.array([self.place[destination] for _, destination in pairs], dtype=np.intp)
        found = self.travel.legs(origins, destinations)
        self.legs.update(zip(pairs, zip(found.seconds.tolist(), found.metres.tolist(), strict=True), strict=True))

    def seconds(self, origin: str, destination: str, leaves: int) -> int:
        """How long the drive takes that leaves at `leaves`."""
        seconds = self.leg(origin, destination)[0]
        return seconds if self.problem.pace is None else arrival(self.problem.pace, leaves, seconds) - leaves

    def metres(self, origin: str, destination: str) -> int:
        """How long the leg is."""
        return self.leg(origin, destination)[1]


def arrival(pace: Pace, leaves: int, seconds: int) -> int:
    """Return the first whole second by which a drive has gone `seconds` of the table's, each hour at its pace."""
    bounds = [pace.begins + HOUR * number for number in range(1, len(pace.per_mille))]
    to_go, time = PER_MILLE * seconds, leaves
    for bound, speed in zip(bounds, pace.per_mille, strict=False):
        if time < bound:
            gone = speed * (bound - time)
            if gone >= to_go:
                return time + ceil(Fraction(to_go, speed))
            to_go, time = to_go - gone, bound
    return time + ceil(Fraction(to_go, pace.per_mille[-1]))
