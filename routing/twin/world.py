"""The world that every policy meets: who calls when, how long things really take, who is ill, whose van stops.

All instants are integer seconds from the midnight the world begins with, all lengths integer seconds. Everything
random is drawn here, one stream of random numbers per cause (common random numbers: Law, Simulation Modeling and
Analysis, 5th ed., 11.2), so that a difference between two policies is theirs and not luck.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from routing.problem import EstimatedTravel, Place, Priority, Shift
from routing.travel.estimate import CoordinateEstimate
from routing.twin.refusal import TwinError, within

HOUR: Final = 3_600
DAY: Final = 24 * HOUR
COMMITMENT_SECONDS: Final = 48 * HOUR
"""Somebody arrives within this of the call, so the promise says."""
MOST_DAYS: Final = 366
MOST_CALLS: Final = 200_000
MOST_ATTEMPTS: Final = 4
"""A call is given up when so many technicians in turn found nobody there."""
DRAIN_DAYS: Final = 3
"""Days lived on after the last call, so that every commitment is decided."""
FASTEST_DRIVE: Final = 0.7
"""No drive is shorter than this part of the travel table."""
SLOWEST_DRIVE: Final = 3.0
SHORTEST_WORK: Final = 0.3
LONGEST_WORK: Final = 4.0
"""Work on site lasts between these multiples of the planned duration."""
FREE_FLOW: Final = (0.9,) * 6 + (1.0, 1.2, 1.25, 1.1) + (1.0,) * 6 + (1.1, 1.25, 1.2, 1.0, 0.95, 0.9, 0.9, 0.9)
"""How much longer a drive takes that sets out in each hour of the day."""


class Cause(IntEnum):
    """One stream of random numbers each."""

    ARRIVALS = 1
    PLACES = 2
    PLANNED = 3
    WORK = 4
    DRIVES = 5
    NOBODY = 6
    PEOPLE = 7
    HOMEWARD = 8


def stream(seed: int, cause: Cause, *which: int) -> np.random.Generator:
    """Return the random numbers of one cause, and of one of its subjects where `which` names one."""
    return np.random.default_rng([seed, int(cause), *which])


@dataclass(frozen=True, slots=True)
class Call:
    """A request for a visit. `planned_seconds`: the work as the office expects it; what it really takes is fate."""

    id: str
    place: str
    received_at: int
    priority: Priority
    skills: tuple[str, ...]
    planned_seconds: int

    @property
    def due_at(self) -> int:
        """Return when somebody must have arrived: counted from the call, whatever became of it since."""
        return self.received_at + COMMITMENT_SECONDS


@dataclass(frozen=True, slots=True)
class Fate:
    """What really happens to a call, one entry for each attempt to visit it."""

    work_seconds: tuple[int, ...]
    drive_factors: tuple[float, ...]
    nobody_there: tuple[bool, ...]


@dataclass(frozen=True, kw_only=True)
class Reality:
    """How far the world strays from the plan.

    Spreads are those of lognormal factors of mean 1; shares are of visits (`nobody_share`) or of shifts.
    `hour_factors`: how drives slow down by the hour they set out in; the planner knows its table only.
    """

    work_spread: float = 0.35
    drive_spread: float = 0.2
    nobody_share: float = 0.05
    ill_share: float = 0.02
    van_share: float = 0.01
    hour_factors: tuple[float, ...] = FREE_FLOW

    def __post_init__(self) -> None:
        """Refuse negative spreads, shares outside 0 to 1, and hours that are not twenty-four factors above 0."""
        within("work_spread", self.work_spread, 0, 2)
        within("drive_spread", self.drive_spread, 0, 2)
        for name in ("nobody_share", "ill_share", "van_share"):
            within(name, getattr(self, name), 0, 1)
        within("len(hour_factors)", len(self.hour_factors), 24, 24)
        for factor in self.hour_factors:
            within("hour_factors", factor, 0.1, 10)


EXACT: Final = Reality(
    work_spread=0, drive_spread=0, nobody_share=0, ill_share=0, van_share=0, hour_factors=(1.0,) * 24
)
"""A world in which everything goes as planned."""


@dataclass(frozen=True)
class World:
    """Everything that happens from outside.

    `ill`: shifts whose technician does not come. `van_stops`: when the van of a shift stops for good that day.
    `homeward`: the factor on each shift's drive home.
    """

    days: int
    places: tuple[Place, ...]
    shifts: tuple[Shift, ...]
    calls: tuple[Call, ...]
    fates: tuple[Fate, ...]
    ill: frozenset[str]
    van_stops: dict[str, int]
    homeward: dict[str, float]
    reality: Reality
    index: dict[str, int]
    seconds: NDArray[np.int32]

    @property
    def end(self) -> int:
        """Return the second at which the simulation ends."""
        return (self.days + DRAIN_DAYS) * DAY

    def table(self, origin: str, destination: str) -> int:
        """Return the travel table's seconds, which the planner counts on."""
        return int(self.seconds[self.index[origin], self.index[destination]])

    def drive(self, origin: str, destination: str, leaving: int, factor: float) -> int:
        """Return the seconds that a drive really takes: the table's, by the hour and by luck, never below a floor."""
        table = self.table(origin, destination)
        hourly = self.reality.hour_factors[leaving % DAY // HOUR]
        return math.ceil(table * max(FASTEST_DRIVE, hourly * factor))


def build_world(
    *, days: int, places: Sequence[Place], shifts: Sequence[Shift], calls: Sequence[Call], reality: Reality, seed: int
) -> World:
    """Return the world of `seed`. Raises `TwinError` where there is nothing to simulate or a figure cannot be."""
    within("days", days, 1, MOST_DAYS)
    within("seed", seed, 0, 2**31 - 1)
    within("calls", len(calls), 0, MOST_CALLS)
    ordered = tuple(sorted(calls, key=lambda call: (call.received_at, call.id)))
    _check(days, places, shifts, ordered)
    table = CoordinateEstimate(EstimatedTravel()).table(places)
    world = World(
        days=days, places=tuple(places), shifts=(), calls=ordered, fates=_fates(ordered, reality, seed),
        ill=frozenset(), van_stops={}, homeward={}, reality=reality,
        index={place.id: number for number, place in enumerate(places)}, seconds=table.seconds,
    )  # fmt: skip
    return with_roster(world, shifts, seed)


def with_roster(world: World, shifts: Sequence[Shift], seed: int) -> World:
    """Return the same world with another roster; whoever is on both meets the same illness and breakdowns."""
    names = sorted({shift.technician for shift in shifts}, key=lambda name: (len(name), name))
    ill: set[str] = set()
    van_stops: dict[str, int] = {}
    homeward: dict[str, float] = {}
    for number, name in enumerate(names):
        luck, traffic = stream(seed, Cause.PEOPLE, number), stream(seed, Cause.HOMEWARD, number)
        for shift in sorted((one for one in shifts if one.technician == name), key=lambda one: one.start):
            falls_ill, breaks_down, when = luck.random(3)
            if falls_ill < world.reality.ill_share:
                ill.add(shift.id)
            elif breaks_down < world.reality.van_share:
                van_stops[shift.id] = shift.start + int(when * (shift.end - shift.start))
            homeward[shift.id] = float(_factors(traffic, world.reality.drive_spread, (1,))[0])
    ordered = tuple(sorted(shifts, key=lambda shift: (shift.start, len(shift.id), shift.id)))
    return replace(world, shifts=ordered, ill=frozenset(ill), van_stops=van_stops, homeward=homeward)


def _fates(calls: Sequence[Call], reality: Reality, seed: int) -> tuple[Fate, ...]:
    shape = (len(calls), MOST_ATTEMPTS)
    work = np.clip(_factors(stream(seed, Cause.WORK), reality.work_spread, shape), SHORTEST_WORK, LONGEST_WORK)
    drives = np.clip(_factors(stream(seed, Cause.DRIVES), reality.drive_spread, shape), FASTEST_DRIVE, SLOWEST_DRIVE)
    nobody = stream(seed, Cause.NOBODY).random(shape) < reality.nobody_share
    return tuple(
        Fate(
            work_seconds=tuple(max(60, round(call.planned_seconds * float(factor))) for factor in work[number]),
            drive_factors=tuple(float(factor) for factor in drives[number]),
            nobody_there=tuple(bool(gone) for gone in nobody[number]),
        )
        for number, call in enumerate(calls)
    )


def _factors(luck: np.random.Generator, spread: float, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return lognormal factors of mean 1."""
    return np.exp(spread * luck.standard_normal(shape) - spread * spread / 2)


def _check(days: int, places: Sequence[Place], shifts: Sequence[Shift], calls: Sequence[Call]) -> None:
    if not shifts:
        raise TwinError("no_technicians")
    if not any(0 <= shift.start < days * DAY for shift in shifts):
        raise TwinError("no_shifts")
    if not calls:
        raise TwinError("no_calls")
    known: dict[str, Place] = {place.id: place for place in places}
    checks: tuple[tuple[str, Callable[[Call], bool]], ...] = (
        ("place", lambda call: call.place in known),
        ("received_at", lambda call: 0 <= call.received_at < days * DAY),
        ("planned_seconds", lambda call: 0 < call.planned_seconds <= DAY),
    )
    for call in calls:
        wrong = next((name for name, holds in checks if not holds(call)), None)
        if wrong is not None:
            raise TwinError("bad_call", what=call.id, found=f"{wrong}={getattr(call, wrong)}")
    for place in places:
        within(f"{place.id}: latitude", math.nan if place.latitude is None else place.latitude, -90, 90)
        within(f"{place.id}: longitude", math.nan if place.longitude is None else place.longitude, -180, 180)
