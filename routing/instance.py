"""A problem prepared for searching: indices instead of names, rules folded together, and the arrays made of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from routing import arrays as columns
from routing.arrays import FOREVER, NOWHERE, Arrays
from routing.day import Pause, ShiftData, day_of, fitted, frozen_routes
from routing.eligible import exclusion, rules_about_people
from routing.problem import Prices, Problem, Shift, Visit, delay_second, horizon_end, overdue
from routing.travel import TravelTable, travel_table
from routing.van_stock import stocked

GONE_SHIFT = -2
"""Stands for a shift that is not in the problem any more."""


@dataclass(frozen=True, slots=True)
class VisitData:
    """A visit with its rules folded together.

    `opens`: intervals in which service may start, everything hard considered (windows, earliest, promise, pin).
    `release`: the first moment service could start; delay is counted from there.
    `due`, `promise_end`: FOREVER where there is none. `previous_shift`: NOWHERE without a plan in force, GONE_SHIFT
    where that one is not here any more. `told_shift`: the shift the customer was told of, or NOWHERE; a start there
    between `told_from` and `told_until` is not a move.
    """

    index: int
    place: int
    duration: int
    opens: tuple[tuple[int, int], ...]
    release: int
    due: int
    aim: int
    promise_end: int
    previous_shift: int
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
    """The prepared problem. `eligible[v]`: the shifts that may take v. `seconds`: the rows of the travel table."""

    problem: Problem
    shifts: tuple[ShiftData, ...]
    visits: tuple[VisitData, ...]
    arrays: Arrays
    travel: TravelTable
    seconds: Sequence[Sequence[int]]
    eligible: tuple[tuple[int, ...], ...]
    frozen: tuple[tuple[int, ...], ...]
    """Frozen visits of each shift, in order: the fixed beginning of its route."""
    horizon: int
    prices: Prices


@dataclass(frozen=True, slots=True)
class Whole:
    """What an area of a problem needs to know of the whole to price its visits alike."""

    horizon: int
    stocked: dict[str, str]
    """The technician whose van keeps the parts of a visit, by the visit's id."""
    begins: dict[str, int] = field(default_factory=dict[str, int])
    """When shifts begin that the technician is not back in time for, by the shift's id."""


def prepare(
    problem: Problem,
    whole: Whole | None = None,
    travel: TravelTable | None = None,
    *,
    kept: Mapping[int, str] | None = None,
) -> Instance:
    """Return the instance of a validated problem, or of an area of one with what it needs to know of the whole.

    `travel` is the table over the problem's places, where it is known already; `kept`: the technicians from whose vans
    visits, by index, have their parts already.
    """
    if whole is None:
        horizon, keepers, begins = horizon_end(problem), stocked(problem, kept), dict[str, int]()
    else:
        numbered = enumerate(problem.visits)
        horizon, begins = whole.horizon, whole.begins
        keepers = {index: whole.stocked[visit.id] for index, visit in numbered if visit.id in whole.stocked}
    travel = travel or travel_table(problem)
    place_index = {place.id: index for index, place in enumerate(problem.places)}
    shift_index = {shift.id: index for index, shift in enumerate(problem.shifts)}
    visits = tuple(
        _visit_data(index, visit, place_index[visit.place], shift_index, problem.prices, horizon)
        for index, visit in enumerate(problem.visits)
    )
    shifts = tuple(day_of(index, shift, place_index, problem.prices) for index, shift in enumerate(problem.shifts))
    eligible, frozen = _eligible(problem), frozen_routes(problem, shift_index)
    arrays = _arrays(problem, visits, eligible=eligible, seconds=travel.seconds, stocked=keepers)
    arrays = _with_shifts(arrays, problem, shifts)
    days = fitted(arrays, problem, shifts, frozen, begins)
    if days != shifts:
        arrays = _with_shifts(arrays, problem, days)
    for data, route in zip(days, frozen, strict=True):  # the van has what is on its way already
        load = int(arrays.visit[list(route), columns.LOAD].sum())
        arrays.shift[data.index, columns.CAPACITY] = max(load, int(arrays.shift[data.index, columns.CAPACITY]))
    arrays.shift[:, columns.FROZEN_VISITS] = [len(route) for route in frozen]
    arrays.shift[:, columns.TWIN] = _twins(problem, arrays, days)
    return Instance(
        problem=problem,
        shifts=days,
        visits=visits,
        arrays=arrays,
        travel=travel,
        seconds=tuple(map(memoryview, travel.seconds)),
        eligible=eligible,
        frozen=frozen,
        horizon=max([horizon, *(day.last for day in days)]),
        prices=problem.prices,
    )


def _arrays(
    problem: Problem,
    visits: Sequence[VisitData],
    *,
    eligible: Sequence[Sequence[int]],
    seconds: NDArray[np.int32],
    stocked: Mapping[int, str],
) -> Arrays:
    """Return the arrays of a problem without its shifts; see `_with_shifts`."""
    technicians, territories = _technicians(problem), _territories(problem)
    rows = np.zeros((len(visits), columns.VISIT_COLUMNS), dtype=np.int64)
    opens = 0
    for data, visit in zip(visits, problem.visits, strict=True):
        _write_visit(rows[data.index], data, visit, problem.prices)
        rows[data.index, [columns.OPENS_FROM, columns.OPENS_UNTIL]] = opens, opens + len(data.opens)
        opens += len(data.opens)
        wanted, keeper = visit.preferred_technician, stocked.get(data.index)
        rows[data.index, columns.WANTED_TECHNICIAN] = NOWHERE if wanted is None else technicians.get(wanted, GONE_SHIFT)
        rows[data.index, columns.TERRITORY] = NOWHERE if visit.territory is None else territories[visit.territory]
        rows[data.index, columns.STOCKED] = NOWHERE if keeper is None else technicians.get(keeper, NOWHERE)
    may = np.zeros((len(visits), len(problem.shifts)), dtype=np.uint8)
    for index, able in enumerate(eligible):
        may[index, list(able)] = 1
    pace = problem.pace
    return Arrays(
        visit=rows,
        opens=np.array([opening for data in visits for opening in data.opens], dtype=np.int64).reshape(-1, 2),
        shift=np.zeros((0, columns.SHIFT_COLUMNS), dtype=np.int64),
        pause=np.zeros((0, 3), dtype=np.int64),
        seconds=np.ascontiguousarray(seconds),
        eligible=may,
        pace=np.array([] if pace is None else pace.per_mille, dtype=np.int64),
        price=_prices(problem),
    )


def _technicians(problem: Problem) -> dict[str, int]:
    return {name: index for index, name in enumerate(sorted({shift.technician for shift in problem.shifts}))}


def _territories(problem: Problem) -> dict[str, int]:
    named = {visit.territory for visit in problem.visits} | {shift.territory for shift in problem.shifts}
    return {name: index for index, name in enumerate(sorted(name for name in named if name is not None))}


def _write_visit(row: NDArray[np.int64], data: VisitData, visit: Visit, prices: Prices) -> None:
    priced = data.due < FOREVER or data.promise_end < FOREVER or data.delay_second or data.told_shift != NOWHERE
    row[columns.PLACE] = data.place
    row[columns.DURATION] = data.duration
    row[columns.RELEASE] = data.release
    row[columns.DUE] = data.aim
    row[columns.LATE] = data.late
    row[columns.LATE_SECOND] = data.late_second
    row[columns.PROMISE_END] = data.promise_end
    row[columns.DELAY_SECOND] = data.delay_second
    row[columns.TOLD_SHIFT] = data.told_shift
    row[columns.TOLD_FROM] = data.told_from
    row[columns.TOLD_UNTIL] = data.told_until
    row[columns.PREVIOUS_SHIFT] = data.previous_shift
    row[columns.MOVED_PRICE] = prices.told_moved if visit.told else prices.moved
    row[columns.UNSERVED] = data.unserved
    row[columns.LOAD] = visit.load
    row[columns.FROZEN] = data.frozen
    row[columns.SOFT] = bool(priced or visit.parts or data.frozen)
    row[columns.COUNTED] = data.previous_shift >= 0
    ready = FOREVER if visit.parts_ready is None else visit.parts_ready
    row[columns.PARTS_READY] = ready if visit.parts and not visit.frozen else 0


def _prices(problem: Problem) -> NDArray[np.int64]:
    prices, pace = problem.prices, problem.pace
    entries = np.zeros(columns.PRICE_ENTRIES, dtype=np.int64)
    entries[columns.TRAVEL_SECOND] = prices.travel_second
    entries[columns.OVERTIME_SECOND] = prices.overtime_second
    entries[columns.PROMISE_BROKEN] = prices.promise_broken
    entries[columns.PROMISE_SECOND] = prices.promise_second
    entries[columns.TOLD_MOVED] = prices.told_moved
    entries[columns.NOT_PREFERRED] = prices.not_preferred
    entries[columns.OUTSIDE_TERRITORY] = prices.outside_territory
    entries[columns.UNFAIR_SECOND] = prices.unfair_second
    if pace is not None:
        entries[columns.PACE_BEGINS] = pace.begins
        entries[columns.PACE_MOST] = max(pace.per_mille)
    return entries


def _with_shifts(arrays: Arrays, problem: Problem, shifts: Sequence[ShiftData]) -> Arrays:
    """Return `arrays` with `shifts`."""
    technicians, territories = _technicians(problem), _territories(problem)
    rows = np.zeros((len(shifts), columns.SHIFT_COLUMNS), dtype=np.int64)
    pauses: list[Pause] = []
    for data, shift in zip(shifts, problem.shifts, strict=True):
        row = rows[data.index]
        row[columns.START_PLACE], row[columns.END_PLACE] = data.start_place, data.end_place
        row[columns.START], row[columns.END], row[columns.LAST] = data.start, data.end, data.last
        row[columns.PAUSES_FROM], row[columns.PAUSES_UNTIL] = len(pauses), len(pauses) + len(data.pauses)
        row[columns.CAPACITY] = FOREVER if shift.capacity is None else shift.capacity
        row[columns.FAIR] = data.fair
        row[columns.TECHNICIAN] = technicians[shift.technician]
        row[columns.SHIFT_TERRITORY] = NOWHERE if shift.territory is None else territories[shift.territory]
        pauses += data.pauses
    return arrays._replace(shift=rows, pause=np.array(pauses, dtype=np.int64).reshape(-1, 3))


def _twins(problem: Problem, arrays: Arrays, shifts: Sequence[ShiftData]) -> list[int]:
    """Return for each shift the one before it that differs in nothing but its name, or NOWHERE.

    A shift or technician that some visit names has no twin.
    """
    named = {visit.previous.shift for visit in problem.visits if visit.previous is not None}
    wanted = {visit.preferred_technician for visit in problem.visits}
    wanted |= {part.technician for part in problem.van_stock}
    seen: dict[object, int] = {}
    twins: list[int] = []
    for data, shift in zip(shifts, problem.shifts, strict=True):
        twins.append(NOWHERE)
        if shift.id in named or shift.technician in wanted:
            continue
        able = arrays.eligible[:, data.index].tobytes()
        key = (replace(data, index=0), shift.territory, shift.capacity, able)
        twins[-1] = seen.get(key, NOWHERE)
        seen[key] = data.index
    return twins


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
    return tuple(_merged(sorted((start, end) for start, end in clipped if start <= end)))


def _merged(intervals: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the intervals, in order, those that overlap or touch as one."""
    begin, end = FOREVER, -FOREVER
    for opens, closes in intervals:
        if opens > end + 1:
            if begin <= end:
                yield begin, end
            begin, end = opens, closes
        end = max(end, closes)
    if begin <= end:
        yield begin, end


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
        aim=FOREVER if visit.commitment_due is None else visit.commitment_due - visit.commitment_margin,
        promise_end=FOREVER if visit.promise is None else visit.promise.end,
        previous_shift=NOWHERE if visit.previous is None else shift_index.get(visit.previous.shift, GONE_SHIFT),
        told_shift=NOWHERE if told is None else shift_index.get(told.shift, NOWHERE),
        told_from=0 if told is None else told.start - prices.told_tolerance,
        told_until=0 if told is None else told.start + prices.told_tolerance,
        late=prices.late.of(visit.priority),
        late_second=prices.late_second.of(visit.priority),
        delay_second=delay_second(visit, prices),
        unserved=unserved_price(visit, prices, release, horizon),
        frozen=visit.frozen,
    )


def unserved_price(visit: Visit, prices: Prices, release: int, horizon: int) -> int:
    """Return the price of leaving `visit` out.

    It is the price of not serving it plus all it would cost to serve it at the very end of the horizon on another
    shift: so that late is always better than never, whatever the prices.
    """
    price = prices.unserved.of(visit.priority) + delay_second(visit, prices) * max(0, horizon - release)
    if visit.commitment_due is not None:
        price += prices.late.of(visit.priority) + prices.late_second.of(visit.priority) * overdue(visit, horizon)
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
        rules = rules_about_people(visit)
        if rules not in known:
            known[rules] = tuple(i for i, shift in enumerate(problem.shifts) if exclusion(visit, shift) is None)
        found.append(known[rules])
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
