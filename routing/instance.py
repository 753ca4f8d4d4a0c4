"""A problem prepared for searching: indices instead of names, plain integers instead of structs.

Built once per problem; everything the simulator asks per second of searching is an attribute or a list lookup here.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from routing.problem import Prices, Problem, Shift, Visit, horizon_end
from routing.travel import TravelTable, travel_table

FOREVER: Final = 1 << 40
"""Later than any instant; stands for 'no end' so that comparisons need no None."""
NOWHERE: Final = -1

Exclusion: TypeAlias = Literal["no_skill", "not_allowed", "pinned_away"]


class Pause(NamedTuple):
    """A break: when it may begin, and for how long."""

    earliest: int
    latest: int
    duration: int


@dataclass(frozen=True, slots=True)
class ShiftData:
    """A shift with places as indices; `last` is its end with all overtime."""

    index: int
    start_place: int
    end_place: int
    start: int
    end: int
    last: int
    pauses: tuple[Pause, ...]


@dataclass(frozen=True, slots=True)
class VisitData:
    """A visit with its rules folded together.

    `opens`: intervals in which service may start, everything hard considered (windows, earliest, promise, pin).
    `release`: the first moment service could start; delay is counted from there.
    `due`, `promise_end`: FOREVER where there is none. `told_shift`: the shift the customer was told of, or NOWHERE;
    a start there between `told_from` and `told_until` is not a move.
    """

    index: int
    place: int
    duration: int
    opens: tuple[tuple[int, int], ...]
    release: int
    due: int
    promise_end: int
    told_shift: int
    told_from: int
    told_until: int
    late: int
    late_second: int
    delay_second: int
    unserved: int
    frozen: bool


@dataclass(frozen=True, slots=True)
class Instance:
    """The prepared problem. `eligible[v]`: the shifts that may take v; `preference[v][k]`: the price of k doing so."""

    problem: Problem
    shifts: tuple[ShiftData, ...]
    visits: tuple[VisitData, ...]
    travel: TravelTable
    seconds: Sequence[Sequence[int]]
    eligible: tuple[tuple[int, ...], ...]
    preference: tuple[tuple[int, ...], ...]
    frozen: tuple[tuple[int, ...], ...]
    """Frozen visits of each shift, in order: the fixed beginning of its route."""
    horizon: int
    prices: Prices

    def leg(self, origin: int, destination: int) -> int:
        """Return the travel seconds between two places."""
        return self.seconds[origin][destination]


def prepare(problem: Problem) -> Instance:
    """Return the instance of a validated problem."""
    travel = travel_table(problem)
    place_index = {place.id: index for index, place in enumerate(problem.places)}
    shift_index = {shift.id: index for index, shift in enumerate(problem.shifts)}
    horizon = horizon_end(problem)
    visits = tuple(
        _visit_data(index, visit, place_index[visit.place], shift_index, problem.prices, horizon)
        for index, visit in enumerate(problem.visits)
    )
    return Instance(
        problem=problem,
        shifts=tuple(_shift_data(index, shift, place_index) for index, shift in enumerate(problem.shifts)),
        visits=visits,
        travel=travel,
        seconds=_rows(travel.seconds),
        eligible=_eligible(problem),
        preference=_preferences(problem),
        frozen=_frozen_routes(problem, shift_index),
        horizon=horizon,
        prices=problem.prices,
    )


def exclusion(visit: Visit, shift: Shift) -> Exclusion | None:
    """Return the first rule that keeps `visit` off `shift` whatever the time, or None when the shift may take it."""
    if visit.frozen:
        return None if visit.previous is not None and visit.previous.shift == shift.id else "pinned_away"
    if not set(visit.skills) <= set(shift.skills):
        return "no_skill"
    allowed = visit.allowed_technicians is None or shift.technician in visit.allowed_technicians
    if not allowed or shift.technician in visit.forbidden_technicians:
        return "not_allowed"
    pin = visit.pin
    if pin is not None and (pin.shift not in {None, shift.id} or pin.technician not in {None, shift.technician}):
        return "pinned_away"
    return None


def _rows(table: NDArray[np.int32]) -> tuple[Sequence[int], ...]:
    """Return the table as rows that Python indexes quickly, four bytes a number."""
    return tuple(array("i", row.tobytes()) for row in table)


def _shift_data(index: int, shift: Shift, place_index: dict[str, int]) -> ShiftData:
    return ShiftData(
        index=index,
        start_place=place_index[shift.start_place],
        end_place=place_index[shift.end_place],
        start=shift.start,
        end=shift.end,
        last=shift.end + shift.overtime_allowed,
        pauses=tuple(Pause(pause.earliest, pause.latest, pause.duration) for pause in shift.breaks),
    )


def _opens(visit: Visit) -> tuple[tuple[int, int], ...]:
    """Return the intervals in which service may start, in order."""
    if visit.frozen and visit.previous is not None:
        return ((visit.previous.start, FOREVER),)
    first = max(visit.earliest, 0, visit.promise.start if visit.promise is not None else 0)
    last = FOREVER
    if visit.pin is not None and visit.pin.start is not None:
        first, last = max(first, visit.pin.start), visit.pin.start
    windows = [(window.start, window.end) for window in visit.windows] or [(first, last)]
    clipped = [(max(first, start), min(last, end)) for start, end in windows]
    return tuple(sorted((start, end) for start, end in clipped if start <= end))


def _visit_data(  # noqa: PLR0917
    index: int, visit: Visit, place: int, shift_index: dict[str, int], prices: Prices, horizon: int
) -> VisitData:
    opens = _opens(visit)
    release = max(0, opens[0][0]) if opens else 0
    told = visit.previous if visit.told else None
    return VisitData(
        index=index,
        place=place,
        duration=visit.duration,
        opens=opens,
        release=release,
        due=FOREVER if visit.commitment_due is None else visit.commitment_due,
        promise_end=FOREVER if visit.promise is None else visit.promise.end,
        told_shift=NOWHERE if told is None else shift_index.get(told.shift, NOWHERE),
        told_from=0 if told is None else told.start - prices.told_tolerance,
        told_until=0 if told is None else told.start + prices.told_tolerance,
        late=prices.late.of(visit.priority),
        late_second=prices.late_second.of(visit.priority),
        delay_second=prices.delay_second.of(visit.priority),
        unserved=unserved_price(visit, prices, release, horizon),
        frozen=visit.frozen,
    )


def unserved_price(visit: Visit, prices: Prices, release: int, horizon: int) -> int:
    """Return the price of leaving `visit` out.

    It is the price of not serving it plus all it would cost to serve it at the very end of the horizon on another
    shift: so that late is always better than never, whatever the prices.
    """
    price = prices.unserved.of(visit.priority) + prices.delay_second.of(visit.priority) * max(0, horizon - release)
    if visit.commitment_due is not None:
        overdue = max(0, horizon - visit.commitment_due)
        price += prices.late.of(visit.priority) + prices.late_second.of(visit.priority) * overdue
    if visit.promise is not None:
        price += prices.promise_broken + prices.promise_second * max(0, horizon - visit.promise.end)
    if visit.previous is not None:
        price += prices.told_moved if visit.told else prices.moved
    if visit.pin is not None:
        price += prices.pin_unserved
    return price


def _eligible(problem: Problem) -> tuple[tuple[int, ...], ...]:
    """Return the shifts that may take each visit; visits with the same rules are looked at once."""
    known: dict[object, tuple[int, ...]] = {}
    found: list[tuple[int, ...]] = []
    for visit in problem.visits:
        frozen = visit.previous if visit.frozen else None
        rules = (visit.skills, visit.allowed_technicians, visit.forbidden_technicians, visit.pin, frozen)
        if rules not in known:
            known[rules] = tuple(i for i, shift in enumerate(problem.shifts) if exclusion(visit, shift) is None)
        found.append(known[rules])
    return tuple(found)


def _preferences(problem: Problem) -> tuple[tuple[int, ...], ...]:
    """Return what each shift's taking each visit costs in itself; visits with the same wishes are looked at once."""
    known: dict[object, tuple[int, ...]] = {}
    found: list[tuple[int, ...]] = []
    for visit in problem.visits:
        shift = None if visit.previous is None else visit.previous.shift
        wishes = (visit.preferred_technician, visit.territory, shift, visit.told)
        if wishes not in known:
            known[wishes] = tuple(
                moved_price(visit, shift.id, problem.prices) + preference_price(visit, shift, problem.prices)
                for shift in problem.shifts
            )
        found.append(known[wishes])
    return tuple(found)


def moved_price(visit: Visit, shift_id: str, prices: Prices) -> int:
    """Return the price of moving `visit` from the shift it has in the plan in force to the shift `shift_id`."""
    if visit.previous is None or visit.previous.shift == shift_id:
        return 0
    return prices.told_moved if visit.told else prices.moved


def preference_price(visit: Visit, shift: Shift, prices: Prices) -> int:
    """Return the price of a technician who is not the preferred one, or of another territory."""
    price = 0
    if visit.preferred_technician is not None and visit.preferred_technician != shift.technician:
        price += prices.not_preferred
    if visit.territory is not None and shift.territory is not None and visit.territory != shift.territory:
        price += prices.outside_territory
    return price


def _frozen_routes(problem: Problem, shift_index: dict[str, int]) -> tuple[tuple[int, ...], ...]:
    routes: list[list[tuple[int, int]]] = [[] for _ in problem.shifts]
    for index, visit in enumerate(problem.visits):
        if visit.frozen and visit.previous is not None:
            routes[shift_index[visit.previous.shift]].append((visit.previous.start, index))
    return tuple(tuple(index for _, index in sorted(route)) for route in routes)
