"""A generated city: where customers live, when they call, what they need, and who works when."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from routing.problem import Break, Place, Priority, Shift
from routing.twin.refusal import TwinError, within
from routing.twin.world import DAY, DRAIN_DAYS, HOUR, MOST_DAYS, Call, Cause, Reality, World, build_world, stream

MOST_TECHNICIANS: Final = 1_000
MOST_CALLS_PER_DAY: Final = 5_000
MINUTE: Final = 60
DEPOT: Final = "depot"
CENTRE: Final = (31.0, 117.0)
SPREAD_DEGREES: Final = (0.08, 0.09)
"""Customers lie around the depot in a normal distribution of about 9 km."""
SITES: Final = 400
BY_HOUR: Final = (1, 1, 1, 1, 1, 2, 4, 8, 12, 12, 10, 8, 6, 8, 9, 9, 8, 6, 5, 4, 3, 2, 2, 1)
"""How many of a day's calls come in each hour, in proportion."""
BY_WEEKDAY: Final = (1.25, 1.1, 1.05, 1.0, 1.05, 0.85, 0.7)
"""How busy each day of the week is, Monday first; the mean is 1."""
PRIORITIES: Final[tuple[tuple[Priority, float], ...]] = ((1, 0.08), (2, 0.2), (3, 0.62), (4, 0.1))
SKILLS: Final[tuple[tuple[str, float], ...]] = (("cctv", 0.55), ("network", 0.3), ("elevator", 0.15))
"""What calls ask for. Every technician knows the first, and each one other in turn."""
PLANNED_MINUTES: Final = (20, 30, 45, 60, 90, 120)
PLANNED_SHARES: Final = (0.15, 0.25, 0.25, 0.2, 0.1, 0.05)
SHIFT_START: Final = 8 * HOUR
SHIFT_END: Final = 17 * HOUR
LUNCH: Final = Break(earliest=11 * HOUR + HOUR // 2, latest=13 * HOUR, duration=45 * MINUTE)
OVERTIME: Final = HOUR
DAYS_OFF: Final = 2
"""Of seven, in turn, so that every day has its people."""


@dataclass(frozen=True, kw_only=True)
class City:
    """What a generated city is like."""

    technicians: int = 30
    calls_per_day: float = 110
    days: int = 7

    def __post_init__(self) -> None:
        """Refuse a city without people, calls or days, and one beyond the limits; raises `TwinError`."""
        if self.technicians == 0:
            raise TwinError("no_technicians")
        if self.calls_per_day == 0:
            raise TwinError("no_calls")
        within("technicians", self.technicians, 1, MOST_TECHNICIANS)
        within("calls_per_day", self.calls_per_day, 0, MOST_CALLS_PER_DAY)
        within("days", self.days, 1, MOST_DAYS)


def city_world(city: City, reality: Reality, seed: int) -> World:
    """Return the world of a generated city; raises `TwinError`, also where chance brings no call at all."""
    within("seed", seed, 0, 2**31 - 1)
    return build_world(
        days=city.days, places=_places(seed), shifts=city_shifts(city.technicians, city.days),
        calls=_calls(city, seed), reality=reality, seed=seed,
    )  # fmt: skip


def city_shifts(technicians: int, days: int) -> list[Shift]:
    """Return everybody's shifts: five days of seven, eight to five with a lunch break, an hour of overtime allowed."""
    return [
        _shift(worker, day)
        for day in range(days + DRAIN_DAYS)
        for worker in range(technicians)
        if (worker + day) % len(BY_WEEKDAY) < len(BY_WEEKDAY) - DAYS_OFF
    ]


def everybody_can(shifts: Sequence[Shift], skill: str) -> list[Shift]:
    """Return the roster as it would be had everybody learnt `skill`."""
    return [msgspec.structs.replace(shift, skills=tuple(sorted({*shift.skills, skill}))) for shift in shifts]


def _shift(worker: int, day: int) -> Shift:
    midnight = day * DAY
    lunch = Break(earliest=midnight + LUNCH.earliest, latest=midnight + LUNCH.latest, duration=LUNCH.duration)
    common, *others = [skill for skill, _ in SKILLS]
    return Shift(
        id=f"t{worker}-{day}", technician=f"t{worker}", start=midnight + SHIFT_START, end=midnight + SHIFT_END,
        start_place=DEPOT, end_place=DEPOT, breaks=(lunch,), overtime_allowed=OVERTIME,
        skills=(common, others[worker % len(others)]),
    )  # fmt: skip


def _places(seed: int) -> list[Place]:
    luck = stream(seed, Cause.PLACES)
    points = luck.normal(CENTRE, SPREAD_DEGREES, (SITES, 2))
    places = [Place(id=DEPOT, latitude=CENTRE[0], longitude=CENTRE[1])]
    return places + [
        Place(id=f"p{number}", latitude=float(lat), longitude=float(lon)) for number, (lat, lon) in enumerate(points)
    ]


def _calls(city: City, seed: int) -> list[Call]:
    """Return the calls of a Poisson process whose rate changes with the hour and the day of the week."""
    luck, needs = stream(seed, Cause.ARRIVALS), stream(seed, Cause.PLANNED)
    moments: list[int] = []
    for day in range(city.days):
        for hour, weight in enumerate(BY_HOUR):
            rate = city.calls_per_day * BY_WEEKDAY[day % len(BY_WEEKDAY)] * weight / sum(BY_HOUR)
            begin = day * DAY + hour * HOUR
            moments += [begin + int(second) for second in luck.integers(0, HOUR, int(luck.poisson(rate)))]
    return [_call(number, moment, needs) for number, moment in enumerate(sorted(moments))]


def _call(number: int, moment: int, needs: np.random.Generator) -> Call:
    site, priority, skill, length = (float(one) for one in needs.random(4))
    return Call(
        id=f"c{number}", place=f"p{int(site * SITES)}", received_at=moment,
        priority=PRIORITIES[_pick([share for _, share in PRIORITIES], priority)][0],
        skills=(SKILLS[_pick([share for _, share in SKILLS], skill)][0],),
        planned_seconds=PLANNED_MINUTES[_pick(PLANNED_SHARES, length)] * MINUTE,
    )  # fmt: skip


def _pick(shares: Sequence[float], luck: float) -> int:
    """Return which of the shares, laid end to end, `luck` from 0 to 1 falls into."""
    return min(int(np.searchsorted(np.cumsum(shares), luck, side="right")), len(shares) - 1)
