"""Why nobody could ever take a visit, whatever the plan: people, crew, working time, parts."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Final

from routing.arrays import FOREVER
from routing.draft import Draft
from routing.eligible import exclusion
from routing.limits import CLOSURE_PLACES
from routing.plan import Basis, Reason
from routing.problem import PartNeed, Problem, Shift
from routing.reach import bounding_seconds, first_start_on
from routing.texts import Facts


class Exclusions:
    """The rules that exclude visits of one draft; `base` holds its frozen visits only.

    Where the draft is of one area, `whole` is the problem it is part of: what is called proven holds for all of it.
    """

    def __init__(self, base: Draft, whole: Problem | None = None) -> None:
        self._base = base
        self._instance = base.instance
        self._whole = whole or base.instance.problem
        everything = len(self._whole.shifts) == len(base.instance.shifts)
        bounded = everything and len(base.instance.problem.places) <= CLOSURE_PLACES
        self.bound_basis: Final[Basis] = "proven" if bounded else "searched"
        """What `earliest` is for the whole problem: proven to be a bound, or only searched."""

    def reason(self, visit: int) -> Reason | None:
        """Return the first rule that excludes the visit, or None when none does."""
        return (
            self._excluded_by_people(visit)
            or self._excluded_by_crew(visit)
            or self._excluded_by_time(visit)
            or self._excluded_by_parts(visit)
        )

    def earliest(self, visit: int) -> int:
        """Return the earliest start on any shift of the draft that may take the visit; FOREVER when there is none."""
        shifts = self._instance.eligible[visit]
        starts = (first_start_on(self._base, visit, shift, self._seconds) for shift in shifts)
        return min((start for start in starts if start is not None), default=FOREVER)

    @cached_property
    def _seconds(self) -> Sequence[Sequence[int]]:
        """Return travel that no way round undercuts, so that 'unreachable' holds for every plan."""
        return bounding_seconds(self._instance)

    def _excluded_by_people(self, visit: int) -> Reason | None:
        """Return why no shift may take the visit at any time, or None when some may."""
        problem, wanted = self._whole, self._instance.problem.visits[visit]
        if not problem.shifts:
            return Reason(code="no_technicians", basis="proven", facts={})
        if self._instance.eligible[visit]:
            return None
        causes = Counter(exclusion(wanted, shift) for shift in problem.shifts)
        if causes[None]:
            return None  # somebody in another area may
        skilled = len(problem.shifts) - causes["no_skill"]
        if not skilled:
            facts: Facts = {"shifts": len(problem.shifts), "skills": sorted(wanted.skills)}
            return Reason(code="no_skill", basis="proven", facts=facts)
        if causes["pinned_away"] and wanted.pin is not None:
            pinned = wanted.pin.shift or wanted.pin.technician or ""
            return Reason(code="pinned_away", basis="proven", facts={"pinned": pinned})
        return Reason(code="not_allowed", basis="proven", facts={"skilled": skilled})

    def _excluded_by_crew(self, visit: int) -> Reason | None:
        """Return that fewer able technicians than it needs are ever at work together when it may be done, if so."""
        wanted, opens = self._instance.problem.visits[visit], self._instance.visits[visit].opens
        if wanted.technicians == 1 or wanted.frozen:
            return None
        shifts = [shift for shift in self._whole.shifts if exclusion(wanted, shift) is None]
        spans = [
            (shift.technician, max(shift.start, opening), min(self._last(shift) - wanted.duration, closing))
            for shift in shifts
            for opening, closing in opens
        ]
        most = max((_together(spans, begin) for _, begin, latest in spans if begin <= latest), default=0)
        if most >= wanted.technicians:
            return None
        facts: Facts = {"needed": wanted.technicians, "most": most}
        return Reason(code="crew_too_small", basis="proven", facts=facts)

    def _excluded_by_time(self, visit: int) -> Reason | None:
        """Return why no shift that may take the visit can do so in its working time, or None when some can."""
        data, days = self._instance.visits[visit], self._working_times(visit)
        longest = max(last - start for start, last in days)
        if data.duration > longest:
            return Reason(code="too_long", basis="proven", facts={"duration": data.duration, "longest": longest})
        candidates = len(days)
        if not any(_works_when_open(data.opens, data.duration, start, last) for start, last in days):
            return Reason(code="no_shift_in_window", basis="proven", facts={"candidates": candidates})
        if self._instance.eligible[visit] and self.earliest(visit) == FOREVER:
            return Reason(code="unreachable", basis=self.bound_basis, facts={"candidates": candidates})
        return None

    def _excluded_by_parts(self, visit: int) -> Reason | None:
        """Return that its parts come too late and no van has them, or that it fits in no van; None otherwise."""
        wanted, data = self._instance.problem.visits[visit], self._instance.visits[visit]
        shifts = [shift for shift in self._whole.shifts if exclusion(wanted, shift) is None]
        largest = max(FOREVER if shift.capacity is None else shift.capacity for shift in shifts)
        if wanted.load > largest:
            return Reason(code="van_too_small", basis="proven", facts={"load": wanted.load, "largest": largest})
        ready = FOREVER if wanted.parts_ready is None else wanted.parts_ready
        if not wanted.parts or any(_carries(self._whole, shift.technician, wanted.parts) for shift in shifts):
            return None
        works = ((max(start, ready), last) for start, last in self._working_times(visit))
        if any(_works_when_open(data.opens, data.duration, start, last) for start, last in works):
            return None
        facts: Facts = {"parts": sorted({need.part for need in wanted.parts})}
        return Reason(code="parts_missing", basis="proven", facts=facts)

    def _last(self, shift: Shift) -> int:
        """Return the last moment of a shift, which frozen visits may have moved."""
        here = next((day for day in self._instance.shifts if self._instance.problem.shifts[day.index] == shift), None)
        return shift.end + shift.overtime_allowed if here is None else here.last

    def _working_times(self, visit: int) -> list[tuple[int, int]]:
        """Return (start, last moment) of every shift of the whole problem that may take the visit."""
        instance = self._instance
        here = {shift.id: day for shift, day in zip(instance.problem.shifts, instance.shifts, strict=True)}
        wanted = instance.problem.visits[visit]
        return [
            (here[shift.id].start, here[shift.id].last)
            if shift.id in here
            else (shift.start, shift.end + shift.overtime_allowed)
            for shift in self._whole.shifts
            if exclusion(wanted, shift) is None
        ]


def _together(spans: Sequence[tuple[str, int, int]], moment: int) -> int:
    """Return how many technicians could begin at `moment`."""
    return len({technician for technician, begin, latest in spans if begin <= moment <= latest})


def _carries(problem: Problem, technician: str, parts: Sequence[PartNeed]) -> bool:
    """Return whether the technician's van has all of `parts`, if nothing else takes of it."""
    held = Counter[str]()
    for stock in problem.van_stock:
        if stock.technician == technician:
            held[stock.part] += stock.quantity
    needed = Counter[str]()
    for need in parts:
        needed[need.part] += need.quantity
    return all(held[part] >= quantity for part, quantity in needed.items())


def _works_when_open(opens: Sequence[tuple[int, int]], duration: int, begins: int, last: int) -> bool:
    start = next((max(begins, opening) for opening, closing in opens if begins <= closing), None)
    return start is not None and start + duration <= last
