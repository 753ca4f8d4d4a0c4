"""Each technician's stay at a visit as a visit of its own, and back."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from routing.draft import Draft, driven
from routing.problem import Problem, ProblemError, Visit, Window, coupled


@dataclass(frozen=True, slots=True)
class Stays:
    """A problem in which every visit is one technician's stay; `of[v]`: the stays of visit v of `whole`, as indices.

    The first stay of a visit has the visit's own index, and every stay its name.
    """

    whole: Problem
    problem: Problem
    of: tuple[tuple[int, ...], ...]

    def seated(self, orders: Mapping[int, Sequence[str]]) -> dict[int, list[int]]:
        """Return the stays of each shift in the order of these names of visits; a crew stays on several shifts.

        Raises `ProblemError` 'plan_contradicts_problem' for a name that is not there, or is there more often than its
        visit needs technicians.
        """
        index = {visit.id: number for number, visit in enumerate(self.whole.visits)}
        shifts: dict[str, list[int]] = {}
        for shift, names in orders.items():
            for name in names:
                shifts.setdefault(name, []).append(shift)
        seats: dict[tuple[str, int], int] = {}
        for name, where in shifts.items():
            stays = self.of[index[name]] if name in index else ()
            if len(where) > len(stays) or len(set(where)) < len(where):
                raise ProblemError("plan_contradicts_problem", f"visit '{name}'", detail=str(len(where)))
            crew = self._crew(stays[: len(where)], where)  # where not all of them are there, the first is
            seats.update({(name, shift): stay for shift, stay in crew.items()})
        return {shift: [seats[name, shift] for name in names] for shift, names in orders.items()}

    def _crew(self, stays: Sequence[int], shifts: Sequence[int]) -> dict[int, int]:
        """Return which of `stays` is on which of `shifts`: first the one planned there, then the one pinned there."""
        if len(stays) == 1:
            return dict.fromkeys(shifts, stays[0])
        left, chosen = list(shifts), dict[int, int]()
        days, visits = self.problem.shifts, self.problem.visits
        for stay in sorted(stays, key=lambda stay: (visits[stay].previous is None, visits[stay].pin is None)):
            previous, pin = visits[stay].previous, visits[stay].pin
            if not left:
                break
            planned = [shift for shift in left if previous is not None and days[shift].id == previous.shift]
            pinned = [
                shift
                for shift in left
                if pin is not None
                and pin.shift in {None, days[shift].id}
                and pin.technician in {None, days[shift].technician}
            ]
            chosen[next(iter([*planned, *pinned, *left]))] = stay
            left = [shift for shift in shifts if shift not in chosen]
        return chosen

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
    """Return `problem` with each technician's stay as a visit of its own; what binds them is for others to see to.

    The first stay of a crew carries what names one technician or shift: a pin, the plan in force, what was told. What
    is frozen follows nothing any more.
    """
    if not coupled(problem):
        return Stays(problem, problem, tuple((index,) for index in range(len(problem.visits))))
    begun = (msgspec.structs.replace(visit, follows=None) if visit.frozen else visit for visit in problem.visits)
    problem = msgspec.structs.replace(problem, visits=tuple(begun))
    firsts, others = list(problem.visits), list[Visit]()
    of: list[tuple[int, ...]] = []
    for index, visit in enumerate(problem.visits):
        begin = len(firsts) + len(others)
        others += _others(visit, problem)
        of.append((index, *range(begin, len(firsts) + len(others))))
        if visit.technicians > 1 and not _pin_allows(visit, problem):
            firsts[index] = msgspec.structs.replace(visit, previous=None, told=False)
    return Stays(problem, msgspec.structs.replace(problem, visits=(*firsts, *others)), tuple(of))


def _others(first: Visit, problem: Problem) -> Iterator[Visit]:
    """Yield the stays besides the first; one of them has what was planned, where the pin keeps the first from it."""
    pinned_start = None if first.pin is None else first.pin.start
    windows = first.windows if pinned_start is None else (Window(start=pinned_start, end=pinned_start),)
    for number in range(first.technicians - 1):
        carries = number == 0 and not _pin_allows(first, problem)
        yield msgspec.structs.replace(
            first,
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
