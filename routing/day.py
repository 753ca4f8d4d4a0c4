"""The day of a shift: when it begins and ends, its breaks, and what frozen visits do to it and to the next.

Frozen visits are facts. Where they run past the end of their shift or over a break, that gives way; where they run
into the technician's next shift, that one begins when the technician is back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from routing import arrays as columns
from routing.arrays import FOREVER, Arrays
from routing.problem import Prices, Problem, Shift
from routing.simulate import PER_MILLE, Reached, RouteTimes, simulated


class Pause(NamedTuple):
    """A break: when it may begin, and for how long."""

    earliest: int
    latest: int
    duration: int


@dataclass(frozen=True, slots=True)
class ShiftData:
    """A shift with places as indices; `last` is its end with all overtime, `fair` its share of the service in seconds.

    `start`, `last` and `pauses` are as far from those of the shift as frozen visits force them to be.
    """

    index: int
    start_place: int
    end_place: int
    start: int
    end: int
    last: int
    pauses: tuple[Pause, ...]
    fair: int


def day_of(index: int, shift: Shift, place_index: Mapping[str, int], prices: Prices) -> ShiftData:
    """Return the day of a shift as it would be without frozen visits."""
    return ShiftData(
        index=index,
        start_place=place_index[shift.start_place],
        end_place=place_index[shift.end_place],
        start=shift.start,
        end=shift.end,
        last=shift.end + shift.overtime_allowed,
        pauses=tuple(Pause(pause.earliest, pause.latest, pause.duration) for pause in shift.breaks),
        fair=(shift.end - shift.start) * prices.fair_per_mille // PER_MILLE,
    )


def frozen_routes(problem: Problem, shift_index: Mapping[str, int]) -> tuple[tuple[int, ...], ...]:
    """Return the frozen visits of each shift by index, in their order."""
    routes: list[list[tuple[int, int]]] = [[] for _ in problem.shifts]
    for index, visit in enumerate(problem.visits):
        if visit.frozen and visit.previous is not None:
            routes[shift_index[visit.previous.shift]].append((visit.previous.start, index))
    return tuple(tuple(index for _, index in sorted(route)) for route in routes)


def simulated_on(day: ShiftData, arrays: Arrays, visits: Sequence[int]) -> RouteTimes | Reached:
    """Return what `visits` come to on a day that begins, ends or pauses otherwise than `arrays` have it."""
    rows = arrays.shift.copy()
    rows[day.index, columns.START], rows[day.index, columns.LAST] = day.start, day.last
    rows[day.index, columns.PAUSES_FROM] = len(arrays.pause)
    rows[day.index, columns.PAUSES_UNTIL] = len(arrays.pause) + len(day.pauses)
    pauses = np.array(day.pauses, dtype=np.int64).reshape(-1, 3)
    changed = arrays._replace(shift=rows, pause=np.concatenate([arrays.pause, pauses]))
    return simulated(changed, day.index, visits)


def fitted(
    arrays: Arrays,
    problem: Problem,
    days: Sequence[ShiftData],
    frozen: Sequence[Sequence[int]],
    begins: Mapping[str, int],
) -> tuple[ShiftData, ...]:
    """Return `days` changed as far as the `frozen` visits of each force them to be.

    `begins`: the shifts, by id, that are known to begin later for what is frozen on shifts that are not here.
    """
    changed, back = list(days), dict[str, int]()
    for day in sorted(days, key=lambda one: one.start):
        shift = problem.shifts[day.index]
        begin = max(day.start, begins.get(shift.id, day.start), back.get(shift.technician, day.start))
        changed[day.index] = _fitted(arrays, _begun(day, begin), frozen[day.index])
        if frozen[day.index]:
            back[shift.technician] = changed[day.index].last
    return tuple(changed)


def _begun(day: ShiftData, begin: int) -> ShiftData:
    """Return `day` from `begin` on, without the breaks that cannot begin any more then."""
    if begin == day.start:
        return day
    return replace(day, start=begin, pauses=tuple(pause for pause in day.pauses if pause.latest >= begin))


def _fitted(arrays: Arrays, day: ShiftData, frozen: Sequence[int]) -> ShiftData:
    """Return `day` with its end and breaks changed as far as the `frozen` visits force it.

    Breaks that can still begin after the last of them stay; an earlier one stays if it delays none of them.
    """
    if not frozen:
        return day
    endless = replace(day, last=FOREVER, pauses=())
    undisturbed = _driven(arrays, endless, frozen)
    kept = [pause for pause in day.pauses if pause.latest >= undisturbed.stops[-1].ends]
    for pause in day.pauses:
        if pause not in kept:
            times = simulated_on(replace(endless, pauses=tuple(sorted([*kept, pause]))), arrays, frozen)
            if isinstance(times, RouteTimes) and times.starts() == undisturbed.starts():
                kept.append(pause)
    rested = replace(endless, pauses=tuple(sorted(kept)))
    return replace(rested, last=max(day.last, _driven(arrays, rested, frozen).back))


def _driven(arrays: Arrays, day: ShiftData, frozen: Sequence[int]) -> RouteTimes:
    times = simulated_on(day, arrays, frozen)
    if not isinstance(times, RouteTimes):
        raise AssertionError("frozen visits fit a day without end and without the breaks in their way")  # noqa: TRY004
    return times
