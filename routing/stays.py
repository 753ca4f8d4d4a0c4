"""Each technician's stay at a visit as a visit of its own, and back."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from routing.draft import Draft, driven
from routing.plan import Late, Plan, Reason, Unplanned
from routing.problem import Problem, Visit, Window


@dataclass(frozen=True, slots=True)
class Stays:
    """A problem in which every visit is one technician's stay; `of[v]`: the stays of visit v of `whole`, as indices."""

    whole: Problem
    problem: Problem
    of: tuple[tuple[int, ...], ...]

    def together(self, plan: Plan, reason: Callable[[int], Reason]) -> Plan:
        """Return `plan`, made of stays, as a plan of the whole; `reason` says why a coupled visit is left out."""
        names = {
            self.problem.visits[stay].id: visit.id
            for visit, stays in zip(self.whole.visits, self.of, strict=True)
            for stay in stays
        }
        numbers = {visit.id: number for number, visit in enumerate(self.whole.visits)}
        own = {visit.id for visit in self.whole.visits if visit.technicians > 1 or visit.follows is not None}
        unplanned: dict[str, Unplanned] = {}
        for one in plan.unplanned:
            name = names[one.visit]
            reasons = one.reasons
            if name in own and reasons[0].basis != "proven":
                reasons = (reason(numbers[name]),)
            unplanned.setdefault(name, msgspec.structs.replace(one, visit=name, reasons=reasons))
        late: dict[str, Late] = {}
        for entry in plan.late:
            late.setdefault(names[entry.visit], msgspec.structs.replace(entry, visit=names[entry.visit]))
        routes = tuple(
            msgspec.structs.replace(
                route, stops=tuple(msgspec.structs.replace(stop, visit=names[stop.visit]) for stop in route.stops)
            )
            for route in plan.routes
        )
        return msgspec.structs.replace(
            plan, routes=routes, unplanned=tuple(unplanned.values()), late=tuple(late.values())
        )

    def first_where_told(self, draft: Draft) -> None:
        """Let the stay of every crew that carries its plan in force be the one on the shift it had there."""
        where = {visit: shift for shift, route in enumerate(draft.routes) for visit in route.visits}
        shifts = {shift.id: index for index, shift in enumerate(self.problem.shifts)}
        for visit, stays in zip(self.whole.visits, self.of, strict=True):
            before = None if visit.previous is None else shifts.get(visit.previous.shift)
            there = None if before is None else next((stay for stay in stays if where.get(stay) == before), None)
            keeper = next((stay for stay in stays if self.problem.visits[stay].previous is not None), None)
            if there is not None and keeper is not None and keeper in where and keeper != there:
                self._exchange(draft, keeper, there, where)

    @staticmethod
    def _exchange(draft: Draft, one: int, other: int, where: dict[int, int]) -> None:
        swap = {one: other, other: one}
        for shift in {where[one], where[other]}:
            visits = [swap.get(visit, visit) for visit in draft.routes[shift].visits]
            draft.replace(shift, driven(draft.instance, shift, visits))
        draft.unplanned -= {one, other}  # each left one route before it came into the other


def apart(problem: Problem) -> Stays:
    """Return `problem` with each technician's stay as a visit of its own, and without relations between visits.

    The first stay of a crew carries what names one technician or shift: a pin, the plan in force, what was told.
    """
    mark = "#"
    while any(mark in visit.id for visit in problem.visits):
        mark += "#"
    stays: list[Visit] = []
    of: list[tuple[int, ...]] = []
    for visit in problem.visits:
        of.append(tuple(range(len(stays), len(stays) + visit.technicians)))
        alone = msgspec.structs.replace(visit, technicians=1, follows=None)
        named = [f"{visit.id}{mark}{number}" for number in range(2, visit.technicians + 1)]
        stays += [alone, *_others(alone, named, problem)] if named else [alone]
        if named and not _pin_allows(visit, problem):
            stays[-len(named) - 1] = msgspec.structs.replace(alone, previous=None, told=False)
    return Stays(problem, msgspec.structs.replace(problem, visits=tuple(stays)), tuple(of))


def _others(first: Visit, names: Sequence[str], problem: Problem) -> Iterator[Visit]:
    """Yield the stays besides the first; one of them has what was planned, where the pin keeps the first from it."""
    pinned_start = None if first.pin is None else first.pin.start
    windows = first.windows if pinned_start is None else (Window(start=pinned_start, end=pinned_start),)
    for number, name in enumerate(names):
        carries = number == 0 and not _pin_allows(first, problem)
        yield msgspec.structs.replace(
            first,
            id=name,
            pin=None,
            windows=windows,
            previous=first.previous if carries else None,
            told=first.told and carries,
        )


def _pin_allows(visit: Visit, problem: Problem) -> bool:
    """Return whether the pin leaves the visit on the shift it had in the plan in force."""
    pin, previous = visit.pin, visit.previous
    if pin is None or previous is None:
        return True
    technician = next((shift.technician for shift in problem.shifts if shift.id == previous.shift), None)
    return pin.shift in {None, previous.shift} and pin.technician in {None, technician}
