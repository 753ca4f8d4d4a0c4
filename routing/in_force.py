"""The plan in force as it goes from now on: what is published, simulated anew, whether or not it still works.

A plan was legal when it was made. Since then a visit took longer or somebody is held up, so its days may now end too
late. Such a day is followed all the same: its end gives way just as far as it must, and what broke is said.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from routing.assemble import assembled
from routing.draft import Draft, DraftRoute, empty_draft, put_in_order, simulate_route
from routing.instance import prepare
from routing.limits import MAX_HORIZON_SECONDS
from routing.plan import Late, Plan, Route, Unplanned
from routing.problem import Break, Problem, ProblemError, Shift, Visit
from routing.texts import Facts
from routing.validate import validate

Orders = Mapping[str, Sequence[str]]
"""The visits of each shift, in order, by name."""


class Misfit(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that the plan in force no longer keeps.

    `code`: late_back (facts: back, last; the latest end of the shift), no_break (there is no time left for one) or
    dropped (`visit` can no longer be reached in time behind what comes before it). Instants are seconds.
    """

    code: str
    shift: str
    visit: str | None = None
    facts: Facts = {}


class InForce(msgspec.Struct, frozen=True, kw_only=True):
    """The plan in force.

    `problem` is the one given, but that nothing starts before the time it was published for, and that shifts are as
    long as the plan needs them to be. `plan` gives no reasons for what is unplanned or late: nobody searched.
    """

    problem: Problem
    plan: Plan
    misfits: tuple[Misfit, ...]


def published_orders(problem: Problem) -> dict[str, list[str]]:
    """Return the order of the visits on each shift as the plan in force has them (`Visit.previous`)."""
    placed = [(visit.previous.start, visit.id, visit.previous.shift) for visit in problem.visits if visit.previous]
    orders: dict[str, list[str]] = {shift.id: [] for shift in problem.shifts}
    for _, visit, shift in sorted(placed):
        if shift in orders:
            orders[shift].append(visit)
    return orders


def in_force(problem: Problem, orders: Orders | None = None) -> InForce:
    """Return what is published comes to from second 0 on: at the published times, or as soon after as can be.

    With `orders`, what those come to, each visit as soon as can be. Frozen visits are always first. Raises
    `ProblemError` for a problem that cannot be planned as given.
    """
    validate(problem)
    wanted = published_orders(problem) if orders is None else orders
    if orders is None:
        problem = msgspec.structs.replace(problem, visits=tuple(map(_not_before_published, problem.visits)))
    draft = empty_draft(prepare(problem))
    sequences = _sequences(draft, wanted)
    broken = {shift for shift, visits in sequences.items() if simulate_route(draft.instance, shift, visits) is None}
    misfits: list[Misfit] = []
    if broken:
        problem = _widened(problem, sequences, broken, misfits)
        draft = empty_draft(prepare(problem))
    for shift, visits in sequences.items():
        _follow(draft, shift, visits, misfits)
    return InForce(problem=problem, plan=plan_of(draft), misfits=tuple(misfits))


def draft_of(problem: Problem, plan: Plan) -> Draft:
    """Return the draft that equals `plan`; raises `ProblemError` 'plan_contradicts_problem' where it is none."""
    validate(problem)
    index = {known.id: number for number, known in enumerate(problem.visits)}
    shifts = {shift.id: number for number, shift in enumerate(problem.shifts)}
    draft = empty_draft(prepare(problem))
    for planned in plan.routes:
        names = [stop.visit for stop in planned.stops]
        route: DraftRoute | None = None
        if planned.shift in shifts and all(name in index for name in names):
            route = simulate_route(draft.instance, shifts[planned.shift], [index[name] for name in names])
        if route is None:
            raise ProblemError("plan_contradicts_problem", f"route '{planned.shift}'", detail=", ".join(names))
        draft.replace(shifts[planned.shift], route)
    return draft


def plan_of(draft: Draft) -> Plan:
    """Return the draft as a plan without reasons."""
    routes, cost = assembled(draft)
    instance = draft.instance
    return Plan(
        status="complete", seed=0, routes=routes, cost=cost, late=tuple(_late(routes)),
        unplanned=tuple(
            Unplanned(visit=instance.problem.visits[index].id, reasons=()) for index in sorted(draft.unplanned)
        ),
        travel_source=instance.travel.source, travel_estimated=instance.travel.estimated,
    )  # fmt: skip


def _not_before_published(visit: Visit) -> Visit:
    if visit.previous is None or visit.frozen:
        return visit
    return msgspec.structs.replace(visit, earliest=max(visit.earliest, visit.previous.start))


def _late(routes: Iterable[Route]) -> Iterable[Late]:
    return (
        Late(visit=stop.visit, late_seconds=stop.late_seconds, reasons=())
        for route in routes
        for stop in route.stops
        if stop.late_seconds
    )


def _sequences(draft: Draft, orders: Orders) -> dict[int, list[int]]:
    """Return the visits of each shift by index: the frozen ones in their order, then the others as given."""
    problem = draft.instance.problem
    index = {visit.id: number for number, visit in enumerate(problem.visits)}
    found: dict[int, list[int]] = {}
    for number, shift in enumerate(problem.shifts):
        known = [index[name] for name in orders.get(shift.id, ()) if name in index]
        loose = [visit for visit in known if not problem.visits[visit].frozen]
        found[number] = [*draft.routes[number].visits, *loose]
    return found


def _widened(problem: Problem, sequences: Mapping[int, list[int]], broken: set[int], misfits: list[Misfit]) -> Problem:
    """Return the problem with the broken shifts as long, and as free of breaks, as their routes need."""
    shifts = list(problem.shifts)
    for number in sorted(broken):
        found = [
            draft
            for breaks, overtime in _ways_to_give(problem, shifts[number])
            if (draft := _endless(problem, number, sequences[number], breaks=breaks, overtime_allowed=overtime))
        ]
        if found:
            draft = min(found, key=lambda draft: _given(shifts[number], draft))
            shifts[number] = _fitted(shifts[number], draft, number, misfits)
    return msgspec.structs.replace(problem, shifts=tuple(shifts))


def _fitted(shift: Shift, draft: Draft, number: int, misfits: list[Misfit]) -> Shift:
    """Return `shift` as long as its route in `draft`, with the breaks it has there; note what gave way."""
    breaks, last = draft.instance.problem.shifts[number].breaks, shift.end + shift.overtime_allowed
    back = next(route.end for route in plan_of(draft).routes if route.shift == shift.id)
    if back > last:
        misfits.append(Misfit(code="late_back", shift=shift.id, facts={"back": back, "last": last}))
    if len(breaks) < len(shift.breaks):
        misfits.append(Misfit(code="no_break", shift=shift.id))
    allowed = max(shift.overtime_allowed, back - shift.end)
    return msgspec.structs.replace(shift, breaks=breaks, overtime_allowed=allowed)


def _ways_to_give(problem: Problem, shift: Shift) -> Iterable[tuple[tuple[Break, ...], int]]:
    """Yield breaks and overtime under which the route may fit: a later end, no break, or both."""
    yield shift.breaks, _longest(problem, shift)
    yield (), shift.overtime_allowed
    yield (), _longest(problem, shift)


def _given(shift: Shift, draft: Draft) -> int:
    """Return how many seconds of rules the route in `draft` takes: beyond the latest end, and of breaks left out."""
    day = next(one for one in draft.instance.problem.shifts if one.id == shift.id)
    back = next(route.end for route in plan_of(draft).routes if route.shift == shift.id)
    rest = sum(one.duration for one in shift.breaks) - sum(one.duration for one in day.breaks)
    return max(0, back - shift.end - shift.overtime_allowed) + rest


def _endless(
    problem: Problem, number: int, visits: list[int], *, breaks: tuple[Break, ...], overtime_allowed: int
) -> Draft | None:
    """Return a draft with the route on a shift of other breaks and overtime, or None where it does not fit even so."""
    shifts = list(problem.shifts)
    shifts[number] = msgspec.structs.replace(shifts[number], breaks=breaks, overtime_allowed=overtime_allowed)
    draft = empty_draft(prepare(msgspec.structs.replace(problem, shifts=tuple(shifts))))
    route = simulate_route(draft.instance, number, visits)
    if route is None:
        return None
    draft.replace(number, route)
    return draft


def _longest(problem: Problem, shift: Shift) -> int:
    """Return the overtime after which this technician's next shift begins, or the horizon ends."""
    nexts = [one.start for one in problem.shifts if one.technician == shift.technician and one.start >= shift.end]
    return min([MAX_HORIZON_SECONDS, *nexts]) - shift.end


def _follow(draft: Draft, shift: int, visits: list[int], misfits: list[Misfit]) -> None:
    """Put the route on `shift`; where it breaks a window all the same, without the visits that do."""
    route = simulate_route(draft.instance, shift, visits)
    if route is not None:
        draft.replace(shift, route)
        return
    put_in_order(draft, shift, [visit for visit in visits if visit not in draft.routes[shift].visits])
    problem, kept = draft.instance.problem, draft.routes[shift].visits
    misfits.extend(
        Misfit(code="dropped", shift=problem.shifts[shift].id, visit=problem.visits[visit].id)
        for visit in visits
        if visit not in kept
    )
