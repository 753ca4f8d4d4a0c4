"""The plan in force as it goes from now on: what is published, simulated anew, whether or not it still works.

A plan was legal when it was made. Since then a visit took longer or somebody is held up, so its days may now end too
late. Such a day is followed all the same: its end gives way just as far as it must, and what broke is said.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, combinations

import msgspec

from routing.anchors import Anchors, starts_of
from routing.answers import InForce, Misfit
from routing.arrays import FOREVER
from routing.day import Pause, simulated_on
from routing.draft import Draft, empty_draft, overloaded, simulate_route
from routing.instance import Instance, prepare
from routing.limits import MAX_HORIZON_SECONDS
from routing.problem import Problem, Shift, Visit, coupled
from routing.redraft import plan_of
from routing.simulate import RouteTimes
from routing.stays import Stays, apart
from routing.texts import Facts
from routing.travel import TravelTable
from routing.validate import validate

Orders = Mapping[str, Sequence[str]]
"""The visits of each shift, in order, by name."""


def published_orders(problem: Problem) -> dict[str, list[str]]:
    """Return the order of the visits on each shift as the plan in force has them (`Visit.previous`)."""
    placed = [(visit.previous.start, visit.id, visit.previous.shift) for visit in problem.visits if visit.previous]
    orders: dict[str, list[str]] = {shift.id: [] for shift in problem.shifts}
    for _, visit, shift in sorted(placed):
        if shift in orders:
            orders[shift].append(visit)
    return orders


def in_force(problem: Problem, orders: Orders | None = None, *, travel: TravelTable | None = None) -> InForce:
    """Return what is published comes to from second 0 on: at the published times, or as soon after as can be.

    With `orders`, what those come to, each visit as soon as can be. Frozen visits are always first; a crew waits for
    the last of it, and what follows a visit for the end of that. `travel` is the table over the problem's places, where
    it is known already. Raises `ProblemError` for a problem that cannot be planned as given.
    """
    validate(problem)
    given = problem.shifts
    wanted = published_orders(problem) if orders is None else orders
    if orders is None:
        problem = msgspec.structs.replace(problem, visits=tuple(map(_not_before_published, problem.visits)))
    stays = apart(problem)
    draft = empty_draft(prepare(stays.problem, travel=travel))
    sequences = _sequences(draft, stays, wanted)
    widened = _widened(problem, draft.instance, sequences)
    if widened is not problem:
        problem, stays = widened, apart(widened)
        draft = empty_draft(prepare(stays.problem, travel=draft.instance.travel))
    dropped: list[Misfit] = []
    for shift, visits in sequences.items():
        _follow(draft, shift, visits, dropped)
    if coupled(problem):
        _wait_for_each_other(draft, stays)
    return InForce(problem=problem, plan=plan_of(draft), misfits=(*_given_way(given, draft), *dropped))


def _not_before_published(visit: Visit) -> Visit:
    pinned = visit.pin is not None and visit.pin.start is not None  # to a time that was decided since
    if visit.previous is None or visit.frozen or pinned:
        return visit
    return msgspec.structs.replace(visit, earliest=max(visit.earliest, visit.previous.start))


def _sequences(draft: Draft, stays: Stays, orders: Orders) -> dict[int, list[int]]:
    """Return the stays of each shift by index: the frozen ones in their order, then the others as given."""
    loose = {visit.id for visit in stays.whole.visits if not visit.frozen}
    shifts = {shift.id: number for number, shift in enumerate(stays.whole.shifts)}
    seats = stays.seated(
        {shifts[name]: [one for one in visits if one in loose] for name, visits in orders.items() if name in shifts}
    )
    return {number: [*route.visits, *seats.get(number, ())] for number, route in enumerate(draft.routes)}


def _widened(problem: Problem, instance: Instance, sequences: Mapping[int, list[int]]) -> Problem:
    """Return the problem with the shifts that are too short as long, and as free of breaks, as their routes need."""
    shifts = list(problem.shifts)
    for number, visits in sequences.items():
        if simulate_route(instance, number, visits) is None and not overloaded(instance, number, visits):
            shifts[number] = _with_room(problem, instance, number, visits)
    widened = any(one is not other for one, other in zip(shifts, problem.shifts, strict=True))
    return msgspec.structs.replace(problem, shifts=tuple(shifts)) if widened else problem


def _with_room(problem: Problem, instance: Instance, number: int, visits: list[int]) -> Shift:
    """Return the shift with what its route needs given way: as few seconds of breaks and late end as can be.

    Where nothing helps, the shift stays as it is.
    """
    shift, day = problem.shifts[number], instance.shifts[number]
    allowed, last = shift.end + shift.overtime_allowed, shift.end + _longest(problem, shift)
    found: list[tuple[int, int, int, tuple[Pause, ...]]] = []
    for left_out in chain.from_iterable(combinations(day.pauses, count) for count in range(len(day.pauses) + 1)):
        pauses = tuple(pause for pause in day.pauses if pause not in left_out)
        for end in (day.last, max(day.last, last)):
            times = simulated_on(replace(day, pauses=pauses, last=end), instance.arrays, visits)
            if isinstance(times, RouteTimes):
                lost = sum(pause.duration for pause in left_out)
                found.append((max(0, times.back - allowed) + lost, len(left_out), times.back, left_out))
                break
    if not found:
        return shift
    _, _, back, left_out = min(found)
    return msgspec.structs.replace(
        shift,
        breaks=tuple(one for one in shift.breaks if (one.earliest, one.latest, one.duration) not in left_out),
        overtime_allowed=max(shift.overtime_allowed, min(back, last) - shift.end),
    )


def _given_way(shifts: Sequence[Shift], draft: Draft) -> Iterator[Misfit]:
    """Yield what of each shift, as it was given, its route does not keep: its latest end, and breaks."""
    for shift, route in zip(shifts, draft.routes, strict=True):
        if not route.visits:
            continue
        times, last = route.times, shift.end + shift.overtime_allowed
        if times.back > last:
            yield Misfit(code="late_back", shift=shift.id, facts={"back": times.back, "last": last})
        rests = [begin for taken in (*(stop.rests for stop in times.stops), times.rests) for begin, _ in taken]
        for pause in shift.breaks:
            if not any(pause.earliest <= begin <= pause.latest for begin in rests):
                facts: Facts = {"earliest": pause.earliest, "latest": pause.latest}
                yield Misfit(code="no_break", shift=shift.id, facts=facts)


def _longest(problem: Problem, shift: Shift) -> int:
    """Return the overtime after which this technician's next shift begins, or the horizon ends."""
    nexts = [one.start for one in problem.shifts if one.technician == shift.technician and one.start >= shift.end]
    return min([MAX_HORIZON_SECONDS, *nexts]) - shift.end


def _follow(draft: Draft, shift: int, visits: list[int], dropped: list[Misfit]) -> None:
    """Put the route on `shift`; where that breaks a rule all the same, without the visits that do."""
    route = simulate_route(draft.instance, shift, visits)
    if route is None:
        route, problem = draft.routes[shift], draft.instance.problem
        for visit in visits:
            if visit in route.visits:
                continue
            grown = simulate_route(draft.instance, shift, [*route.visits, visit])
            if grown is None:
                name = problem.visits[visit].id
                dropped.append(Misfit(code="dropped", shift=problem.shifts[shift].id, visit=name))
            route = grown or route
    draft.replace(shift, route)


def _wait_for_each_other(draft: Draft, stays: Stays) -> None:
    """Let crews start together, and what follows a visit behind it, as far as their days allow."""
    instance, anchors = draft.instance, Anchors(stays, draft.instance)
    for _ in anchors.coupled:
        starts, waiting = starts_of(draft), set[int]()
        for visit in anchors.coupled:
            here = [stay for stay in stays.of[visit] if stay in starts]
            bounds = anchors.bounds(starts, visit)
            begin = max([starts[stay].start for stay in here] + [0 if bounds is None else bounds[0]])
            for stay in here:
                if starts[stay].start < begin:
                    anchors.clip(stay, begin, FOREVER)
                    waiting.add(starts[stay].shift)
        if not waiting:
            return
        for shift in waiting:
            route = simulate_route(instance, shift, draft.routes[shift].visits)
            if route is None:
                return  # they cannot wait so long: what is in force breaks the rule between them
            draft.replace(shift, route)
