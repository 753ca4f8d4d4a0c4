"""Regions for which a full plan exists: the plan is laid out first, then the visits are cut out of it.

Every shift is filled with drives, a break and services up to its slack; a part of the visits gets windows around the
time they have there. The planner is given the visits alone.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Final

from bench.planner.evaluate import Answer, Line, legs
from routing.problem import Break, EstimatedTravel, Place, Problem, Shift, Visit, Window

HOUR: Final = 3_600
DAY: Final = 24 * HOUR
SHIFT: Final = 8 * HOUR
SKILLS: Final = ("cctv", "network", "elevator")
PAUSE: Final = 45 * 60
LONGEST_SERVICE: Final = 80 * 60
KILOMETRES_EACH: Final = 8.0
"""How far from home a technician's visits of the hidden plan lie, at most."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """How large it is, and how full its hidden plan: `slack` is the share of a shift left idle."""

    visits: int
    technicians: int
    days: int = 1
    slack: float = 0.1
    windowed: float = 0.5
    deadlines: float = 0.6
    """Share of visits with a commitment, due at most half a day after their time in the hidden plan."""
    overtime: int = 0
    spare: int = 0
    """Places where nobody waits yet: for visits that come later."""


@dataclass(frozen=True)
class Hidden:
    """A problem and the plan it was cut out of."""

    problem: Problem
    plan: Answer


def region(asked: Region, seed: int) -> Hidden:
    """Return the region's problem with its hidden plan."""
    return _Layout(asked, Random(seed)).hidden()


class _Layout:
    def __init__(self, asked: Region, random: Random) -> None:
        self.asked, self.random = asked, random
        self.side = 7.5 * math.sqrt(asked.technicians)
        self.places: list[Place] = []
        self.visits: list[Visit] = []
        self.lines: list[Line] = []

    def hidden(self) -> Hidden:
        shifts: list[Shift] = []
        homes = [self._anywhere(f"home{n}") for n in range(self.asked.technicians)]
        count = self.asked.technicians * self.asked.days
        for number in range(count):
            worker, day = number % self.asked.technicians, number // self.asked.technicians
            shifts.append(self._shift(worker, day))
            stops = self.asked.visits * (number + 1) // count - self.asked.visits * number // count
            self._route(shifts[-1], homes[worker], stops)
        for number in range(self.asked.spare):
            self._anywhere(f"spare{number}")
        visits = [*self.visits]
        self.random.shuffle(visits)  # their order must not give the plan away
        places = tuple(self.places)
        problem = Problem(places=places, shifts=tuple(shifts), visits=tuple(visits), travel=EstimatedTravel())
        return Hidden(problem, Answer(tuple(self.lines)))

    def _anywhere(self, name: str) -> tuple[float, float]:
        return self._spot(name, self.side / 2, self.side / 2, self.side / 2)

    def _spot(self, name: str, x: float, y: float, within: float) -> tuple[float, float]:
        x, y = x + self.random.uniform(-within, within), y + self.random.uniform(-within, within)
        self.places.append(Place(id=name, latitude=31.0 + y / 111.0, longitude=117.0 + x / 95.0))
        return x, y

    def _shift(self, worker: int, day: int) -> Shift:
        begin = day * DAY + (8 + worker % 3) * HOUR
        return Shift(
            id=f"t{worker}-{day}", technician=f"t{worker}", start=begin, end=begin + SHIFT, start_place=f"home{worker}",
            end_place=f"home{worker}", skills=tuple(skill for skill in SKILLS if skill != SKILLS[worker % 3]),
            breaks=(Break(earliest=begin + 7 * HOUR // 2, latest=begin + 5 * HOUR, duration=PAUSE),),
            overtime_allowed=self.asked.overtime,
        )  # fmt: skip

    def _route(self, shift: Shift, home: tuple[float, float], stops: int) -> None:
        """Lay out one shift: its places, then services that fill it, then the visits with their windows."""
        names = [f"site{shift.id}-{n}" for n in range(stops)]
        spots = {name: self._spot(name, *home, KILOMETRES_EACH / 2) for name in names}
        names = _nearest_first(home, spots)
        near = self.places[-stops:] if stops else []
        depot = next(place for place in self.places if place.id == shift.start_place)
        leg = legs(Problem(places=(depot, *near), shifts=(), visits=()))
        fill = 1.0 - self.asked.slack
        laid = self._laid(shift, names, leg, fill)
        while laid is None:
            fill *= 0.95
            laid = self._laid(shift, names, leg, fill)
        timed, rest = laid
        self.lines.append(Line(shift.id, tuple((f"v{name}", start) for name, start, _ in timed), (rest,)))
        for name, start, service in timed:
            skill = self.random.choice(shift.skills)
            committed = self.random.random() < self.asked.deadlines
            self.visits.append(
                Visit(
                    id=f"v{name}", place=name, duration=service, skills=(skill,), windows=self._windows(start),
                    commitment_due=start + self.random.randrange(DAY // 2) if committed else None,
                )
            )  # fmt: skip

    def _laid(
        self, shift: Shift, names: list[str], leg: Callable[[str, str], int], fill: float
    ) -> tuple[list[tuple[str, int, int]], tuple[int, int]] | None:
        """Return (place, start, service) in order and the break, or None when it does not fit the shift."""
        route = [shift.start_place, *names, shift.end_place]
        driving = sum(leg(a, b) for a, b in pairwise(route))
        free = max(0.0, SHIFT * fill - PAUSE - driving)
        shares = [self.random.uniform(0.6, 1.4) for _ in names]
        pause, now = shift.breaks[0], shift.start
        rest: tuple[int, int] | None = None
        timed: list[tuple[str, int, int]] = []
        for before, name, share in zip(route, names, shares, strict=False):
            service = min(LONGEST_SERVICE, int(free * share / sum(shares)) // 60 * 60)
            drive = leg(before, name)
            if rest is None and (now >= pause.earliest or now + drive + service > pause.latest):
                begin = max(now, pause.earliest)
                rest, now = (begin, begin + PAUSE), begin + PAUSE
            timed.append((name, now + drive, service))
            now += drive + service
        if rest is None:
            begin = max(now, pause.earliest)
            rest, now = (begin, begin + PAUSE), begin + PAUSE
        fits = rest[0] <= pause.latest and now + leg(route[-2], route[-1]) <= shift.end
        return (timed, rest) if fits else None

    def _windows(self, start: int) -> tuple[Window, ...]:
        if self.random.random() >= self.asked.windowed:
            return ()
        before, after = self.random.randrange(HOUR), self.random.randrange(HOUR // 2, 2 * HOUR)
        return (Window(start=max(0, start - before), end=start + after),)


def _nearest_first(home: tuple[float, float], spots: dict[str, tuple[float, float]]) -> list[str]:
    left, here, order = dict(spots), home, list[str]()
    while left:
        name = min(left, key=lambda one: math.dist(here, left[one]))
        here = left.pop(name)
        order.append(name)
    return order
