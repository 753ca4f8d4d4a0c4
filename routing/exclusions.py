"""Why nobody could ever take a visit, whatever the plan: people, crew, working time, parts."""

from collections import Counter
from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import Final, NamedTuple

import msgspec

from routing.arrays import FOREVER
from routing.draft import Draft
from routing.eligible import Exclusion, exclusion, rules_about_people
from routing.limits import CLOSURE_PLACES
from routing.plan import Basis, Reason
from routing.problem import PartNeed, Problem, Shift
from routing.reach import Reach, bounding_seconds
from routing.texts import Facts


class _Able(NamedTuple):
    """What may take visits with the same rules about people.

    `causes`: how many shifts of the whole problem each rule keeps off. `shifts`: the others, `working` their distinct
    (start, last moment), `largest` the room in the largest of their vans.
    """

    causes: Counter[Exclusion | None]
    shifts: Sequence[Shift]
    working: frozenset[tuple[int, int]]
    largest: int


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
        days = zip(base.instance.problem.shifts, base.instance.shifts, strict=True)
        self._last = {shift.id: day.last for shift, day in days}  # frozen visits may have moved it
        self._known: dict[Hashable, _Able] = {}

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
        return self._reach.earliest(visit)

    @cached_property
    def _reach(self) -> Reach:
        """What holds for every plan: its travel is such that no way round undercuts it."""
        return Reach(self._base, bounding_seconds(self._instance))

    def _able(self, visit: int) -> _Able:
        """Return what of the whole problem may take the visit; visits with the same rules are looked at once."""
        wanted = self._instance.problem.visits[visit]
        rules = rules_about_people(wanted)
        if rules not in self._known:
            causes: list[Exclusion | None] = [exclusion(wanted, shift) for shift in self._whole.shifts]
            shifts = [shift for shift, cause in zip(self._whole.shifts, causes, strict=True) if cause is None]
            largest = max((FOREVER if one.capacity is None else one.capacity for one in shifts), default=0)
            working = frozenset(map(self._working, shifts))
            self._known[rules] = _Able(Counter(causes), shifts, working, largest)
        return self._known[rules]

    def _working(self, shift: Shift) -> tuple[int, int]:
        """Return the start and the last moment of a shift of the whole problem."""
        return shift.start, self._last.get(shift.id, shift.end + shift.overtime_allowed)

    def _excluded_by_people(self, visit: int) -> Reason | None:
        """Return why no shift may take the visit at any time, or None when some may."""
        problem, wanted, causes = self._whole, self._instance.problem.visits[visit], self._able(visit).causes
        if not problem.shifts:
            return Reason(code="no_technicians", basis="proven", facts={})
        if self._instance.eligible[visit] or causes[None]:
            return None  # somebody may, or somebody in another area
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
        spans = [
            (shift.technician, max(begins, opening), min(last - wanted.duration, closing))
            for shift in self._crew(visit)
            for begins, last in (self._working(shift),)
            for opening, closing in opens
        ]
        most = 0
        for begin in {begin for _, begin, latest in spans if begin <= latest}:
            most = max(most, _together(spans, begin))
            if most >= wanted.technicians:
                return None
        facts: Facts = {"needed": wanted.technicians, "most": most}
        return Reason(code="crew_too_small", basis="proven", facts=facts)

    def able_in_a_crew(self, visit: int) -> int:
        """Return how many technicians the rules about people let be one of those who do the visit together."""
        return len({shift.technician for shift in self._crew(visit)})

    def _crew(self, visit: int) -> Sequence[Shift]:
        """Return the shifts of those who may be one of a crew: a pin names only one of them."""
        wanted = self._instance.problem.visits[visit]
        if wanted.pin is None:
            return self._able(visit).shifts
        others = msgspec.structs.replace(wanted, pin=None)
        return [shift for shift in self._whole.shifts if exclusion(others, shift) is None]

    def _excluded_by_time(self, visit: int) -> Reason | None:
        """Return why no shift that may take the visit can do so in its working time, or None when some can."""
        data, able = self._instance.visits[visit], self._able(visit)
        longest = max(last - start for start, last in able.working)
        if data.duration > longest:
            return Reason(code="too_long", basis="proven", facts={"duration": data.duration, "longest": longest})
        candidates = len(able.shifts)
        if not any(_works_when_open(data.opens, data.duration, start, last) for start, last in able.working):
            return Reason(code="no_shift_in_window", basis="proven", facts={"candidates": candidates})
        if self._instance.eligible[visit] and self.earliest(visit) == FOREVER:
            return Reason(code="unreachable", basis=self.bound_basis, facts={"candidates": candidates})
        return None

    def _excluded_by_parts(self, visit: int) -> Reason | None:
        """Return that its parts come too late and no van has them, or that it fits in no van; None otherwise."""
        wanted, data, able = self._instance.problem.visits[visit], self._instance.visits[visit], self._able(visit)
        if wanted.load > able.largest:
            return Reason(code="van_too_small", basis="proven", facts={"load": wanted.load, "largest": able.largest})
        ready = FOREVER if wanted.parts_ready is None else wanted.parts_ready
        if not wanted.parts or any(self._carries(shift.technician, wanted.parts) for shift in able.shifts):
            return None
        works = ((max(start, ready), last) for start, last in able.working)
        if any(_works_when_open(data.opens, data.duration, start, last) for start, last in works):
            return None
        facts: Facts = {"parts": sorted({need.part for need in wanted.parts})}
        return Reason(code="parts_missing", basis="proven", facts=facts)

    def _carries(self, technician: str, parts: Sequence[PartNeed]) -> bool:
        """Return whether the technician's van has all of `parts`, if nothing else takes of it."""
        needed = Counter[str]()
        for need in parts:
            needed[need.part] += need.quantity
        return all(self._vans[technician, part] >= quantity for part, quantity in needed.items())

    @cached_property
    def _vans(self) -> Counter[tuple[str, str]]:
        """How much each technician's van has of each part."""
        held = Counter[tuple[str, str]]()
        for stock in self._whole.van_stock:
            held[stock.technician, stock.part] += stock.quantity
        return held


def _together(spans: Sequence[tuple[str, int, int]], moment: int) -> int:
    """Return how many technicians could begin at `moment`."""
    return len({technician for technician, begin, latest in spans if begin <= moment <= latest})


def _works_when_open(opens: Sequence[tuple[int, int]], duration: int, begins: int, last: int) -> bool:
    start = next((max(begins, opening) for opening, closing in opens if begins <= closing), None)
    return start is not None and start + duration <= last
