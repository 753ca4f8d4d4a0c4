"""The referee: says what is wrong with a plan, from the words of the problem alone.

Written apart from the simulator and the search, and importing neither, so that it does not share their mistakes. It
follows the times that the plan states and asks of each whether the problem allows it.
"""

from collections import Counter
from collections.abc import Iterator, KeysView
from dataclasses import dataclass
from itertools import pairwise

import msgspec

from routing.case import PER_MILLE, Case
from routing.plan import Plan, Reason, Route, Stop
from routing.problem import Problem, Shift, Visit
from routing.texts import REASON_TEXTS
from routing.travel import travel_between

BASES = ("proven", "searched")
NOTHING_TO_LOOK_UP = frozenset({"visit_unknown", "shift_unknown", "route_empty"})


class Violation(msgspec.Struct, frozen=True):
    """One thing wrong: a stable code, the element it concerns, and the figures."""

    code: str
    where: str
    detail: str = ""

    @property
    def sentence(self) -> str:
        """Return the violation as one line."""
        return f"{self.code}: {self.where} {self.detail}".rstrip()


def violations(problem: Problem, plan: Plan) -> list[Violation]:
    """Return everything that is wrong with `plan` as an answer to the valid `problem`; empty when it is legal."""
    case = Case(
        problem=problem,
        shifts={shift.id: shift for shift in problem.shifts},
        visits={visit.id: visit for visit in problem.visits},
        place={place.id: index for index, place in enumerate(problem.places)},
        travel=travel_between(problem),
        legs={},
    )
    found = list(_coverage(case, plan))
    if any(one.code in NOTHING_TO_LOOK_UP for one in found):
        return found  # what follows looks up every name
    case.look_up([leg for route in plan.routes for leg in _driven_legs(case, route)])
    held = _held_up(case, plan)
    for route in plan.routes:
        found.extend(_route(case, route, held.get(route.shift)))
    found.extend(_overlaps(case, plan))
    found.extend(_together(case, plan))
    found.extend(_vans(case, plan))
    found.extend(_changes(case, plan))
    found.extend(_explanations(plan))
    found.extend(_labels(case, plan))
    found.extend(_costs(case, plan))
    return found


def _coverage(case: Case, plan: Plan) -> Iterator[Violation]:
    """Every visit in as many routes as it needs technicians, or unplanned; frozen ones in a route; a shift once."""
    planned = [stop.visit for route in plan.routes for stop in route.stops]
    left_out = [unplanned.visit for unplanned in plan.unplanned]
    times = Counter(planned)
    alone = [visit for visit in planned if visit not in case.visits or case.visits[visit].technicians == 1]
    crews = [visit for visit in times if visit in case.visits and case.visits[visit].technicians > 1]
    yield from _counted("visit", alone + crews + left_out, case.visits.keys())
    for visit in crews:
        if times[visit] != case.visits[visit].technicians:
            yield Violation("crew_incomplete", visit, f"{times[visit]} of {case.visits[visit].technicians}")
    for visit in sorted(case.visits.keys() - set(planned) - set(left_out)):
        yield Violation("visit_missing", visit)
    for visit in left_out:
        if visit in case.visits and case.visits[visit].frozen:
            yield Violation("frozen_unplanned", visit)
    yield from _counted("shift", [route.shift for route in plan.routes], case.shifts.keys())
    for route in plan.routes:
        if not route.stops:
            yield Violation("route_empty", route.shift)


def _counted(kind: str, names: list[str], known: KeysView[str]) -> Iterator[Violation]:
    """Each name is known, and occurs once."""
    for name, times in sorted(Counter(names).items()):
        if name not in known:
            yield Violation(f"{kind}_unknown", name)
        elif times > 1:
            yield Violation(f"{kind}_twice", name, f"{times} times")


def _held_up(case: Case, plan: Plan) -> dict[str, int]:
    """Return when shifts can begin that the frozen visits of the same technician's earlier shifts run into, by id."""
    held: dict[str, int] = {}
    back: dict[str, int] = {}
    for route in sorted(plan.routes, key=lambda one: case.shifts[one.shift].start):
        shift = case.shifts[route.shift]
        if back.get(shift.technician, shift.start) > shift.start:
            held[shift.id] = back[shift.technician]
        if any(case.visits[stop.visit].frozen for stop in route.stops):
            back[shift.technician] = max(route.end, _frozen_end(case, shift, route))
    return held


def _overlaps(case: Case, plan: Plan) -> Iterator[Violation]:
    """Nobody is on two routes at once."""
    in_order = sorted(plan.routes, key=lambda route: (case.shifts[route.shift].technician, route.leaves))
    for before, after in pairwise(in_order):
        same = case.shifts[before.shift].technician == case.shifts[after.shift].technician
        if same and after.leaves < before.end:
            yield Violation("routes_overlap", after.shift, f"leaves {after.leaves}, on {before.shift} to {before.end}")


def _route(case: Case, route: Route, held: int | None) -> Iterator[Violation]:
    """What is wrong with one route; `held`: when the technician is back from an earlier one, where that is late."""
    shift = case.shifts[route.shift]
    if route.technician != shift.technician:
        yield Violation("technician_wrong", route.shift, f"{route.technician}, not {shift.technician}")
    yield from _timeline(case, shift, route)
    yield from _rests(case, shift, route, held)
    yield from _way_back(case, shift, route)
    yield from _frozen_order(case, shift, route, held)
    for stop in route.stops:
        visit = case.visits[stop.visit]
        if not visit.frozen:
            yield from _people(visit, shift)
            yield from _opening(visit, stop)
        yield from _figures(visit, stop, route)


def _timeline(case: Case, shift: Shift, route: Route) -> Iterator[Violation]:
    """Each drive begins when the stop before is over and takes as long as the table says; service follows arrival."""
    place, free = shift.start_place, shift.start
    for stop in route.stops:
        visit = case.visits[stop.visit]
        leaves = stop.arrival - stop.travel_seconds
        if stop.travel_seconds != case.seconds(place, visit.place, leaves):
            yield Violation("travel_seconds_wrong", stop.visit, f"{stop.travel_seconds}")
        if stop.travel_metres != case.metres(place, visit.place):
            yield Violation("travel_metres_wrong", stop.visit, f"{stop.travel_metres}")
        if leaves < free:
            yield Violation("travel_too_short", stop.visit, f"arrival {stop.arrival}, free at {free}")
        by = leaves if stop.leaves_by is None else stop.leaves_by
        if by < leaves or by + case.seconds(place, visit.place, by) > stop.arrival + stop.waiting_seconds:
            yield Violation("leaves_by_wrong", stop.visit, f"{by}")
        if stop.start < stop.arrival:
            yield Violation("start_before_arrival", stop.visit, f"{stop.start} < {stop.arrival}")
        if stop.departure != stop.start + visit.duration:
            yield Violation("service_length_wrong", stop.visit, f"{stop.departure - stop.start}, not {visit.duration}")
        place, free = visit.place, stop.departure
    first = route.stops[0]
    if route.leaves != first.arrival - first.travel_seconds:
        yield Violation("leaves_wrong", route.shift, f"{route.leaves}")


def _way_back(case: Case, shift: Shift, route: Route) -> Iterator[Violation]:
    last = route.stops[-1]
    place = case.visits[last.visit].place
    leaves = route.end - route.end_travel_seconds
    if route.end_travel_seconds != case.seconds(place, shift.end_place, leaves):
        yield Violation("travel_seconds_wrong", f"{route.shift} way back", f"{route.end_travel_seconds}")
    if route.end_travel_metres != case.metres(place, shift.end_place):
        yield Violation("travel_metres_wrong", f"{route.shift} way back", f"{route.end_travel_metres}")
    if leaves < last.departure:
        yield Violation("travel_too_short", f"{route.shift} way back", f"end {route.end}")
    if route.end > max(shift.end + shift.overtime_allowed, _frozen_end(case, shift, route)):
        yield Violation("after_shift_end", route.shift, f"{route.end} > {shift.end} + {shift.overtime_allowed}")
    if route.overtime_seconds != max(0, route.end - shift.end):
        yield Violation("overtime_wrong", route.shift, f"{route.overtime_seconds}")


def _frozen_end(case: Case, shift: Shift, route: Route) -> int:
    """Return when the technician is back after the frozen visits alone: as late as that, a shift may last anyway."""
    frozen = [stop for stop in route.stops if case.visits[stop.visit].frozen]
    if not frozen:
        return 0
    done = frozen[-1].departure
    leaves = max([done, *(rest.end for rest in route.rests if done <= rest.start < route.end)])
    return leaves + case.seconds(case.visits[frozen[-1].visit].place, shift.end_place, leaves)


def _busy(route: Route) -> Iterator[tuple[int, int]]:
    """Yield the times in which no break may lie: drives and services."""
    for stop in route.stops:
        yield stop.arrival - stop.travel_seconds, stop.arrival
        yield stop.start, stop.departure
    yield route.end - route.end_travel_seconds, route.end


def _rests(case: Case, shift: Shift, route: Route, held: int | None) -> Iterator[Violation]:
    """Every break of the shift is taken: at its time, for its length, in one piece.

    Left out may be only one whose latest begin is over before the last frozen visit is, or before the route can begin.
    """
    begins = shift.start if held is None else held
    occupied = max((stop.departure for stop in route.stops if case.visits[stop.visit].frozen), default=begins)
    due = list(shift.breaks)
    for rest in route.rests:
        while due and due[0].latest < min(rest.start, occupied):
            del due[0]
        if not due:
            yield Violation("break_unknown", route.shift, f"begins {rest.start}")
            return
        pause = due.pop(0)
        if not pause.earliest <= rest.start <= pause.latest:
            yield Violation("break_outside_window", route.shift, f"begins {rest.start}")
        if rest.end - rest.start != pause.duration:
            yield Violation("break_length_wrong", route.shift, f"{rest.end - rest.start}")
        if any(rest.start < end and begin < rest.end for begin, end in _busy(route)):
            yield Violation("break_interrupted", route.shift, f"{rest.start} to {rest.end}")
    if any(pause.latest >= occupied for pause in due):
        yield Violation("break_missing", route.shift, f"{len(route.rests)} of {len(shift.breaks)}")
    for before, after in pairwise(route.rests):
        if after.start < before.end:
            yield Violation("breaks_overlap", route.shift, f"{after.start} < {before.end}")


def _people(visit: Visit, shift: Shift) -> Iterator[Violation]:
    lacking = set(visit.skills) - set(shift.skills)
    if lacking:
        yield Violation("skill_missing", visit.id, f"{sorted(lacking)} on {shift.id}")
    if visit.allowed_technicians is not None and shift.technician not in visit.allowed_technicians:
        yield Violation("technician_not_allowed", visit.id, shift.technician)
    if shift.technician in visit.forbidden_technicians:
        yield Violation("technician_forbidden", visit.id, shift.technician)
    if visit.technicians == 1 and not _as_pinned(visit, shift):
        yield Violation("pin_broken", visit.id, f"on {shift.id}")


def _as_pinned(visit: Visit, shift: Shift) -> bool:
    pin = visit.pin
    return pin is None or (pin.shift in {None, shift.id} and pin.technician in {None, shift.technician})


def _opening(visit: Visit, stop: Stop) -> Iterator[Violation]:
    if stop.start < visit.earliest:
        yield Violation("before_earliest", visit.id, f"{stop.start} < {visit.earliest}")
    if visit.promise is not None and stop.start < visit.promise.start:
        yield Violation("before_promise", visit.id, f"{stop.start} < {visit.promise.start}")
    if visit.windows and not any(window.start <= stop.start <= window.end for window in visit.windows):
        yield Violation("outside_windows", visit.id, f"{stop.start}")
    if visit.pin is not None and visit.pin.start is not None and stop.start != visit.pin.start:
        yield Violation("pin_time_broken", visit.id, f"{stop.start}, not {visit.pin.start}")


def _figures(visit: Visit, stop: Stop, route: Route) -> Iterator[Violation]:
    """What the plan says about a stop follows from its times."""
    rested = sum(rest.end - rest.start for rest in route.rests if stop.arrival <= rest.start and rest.end <= stop.start)
    if stop.waiting_seconds != stop.start - stop.arrival - rested:
        yield Violation("waiting_wrong", visit.id, f"{stop.waiting_seconds}")
    slack = None if visit.commitment_due is None else visit.commitment_due - stop.start
    if stop.slack_seconds != slack:
        yield Violation("slack_wrong", visit.id, f"{stop.slack_seconds}, not {slack}")
    if stop.late_seconds != _overdue(visit, stop.start):
        yield Violation("late_wrong", visit.id, f"{stop.late_seconds}")
    if stop.promise_late_seconds != _past_promise(visit, stop.start):
        yield Violation("promise_late_wrong", visit.id, f"{stop.promise_late_seconds}")


def _overdue(visit: Visit, start: int) -> int:
    return 0 if visit.commitment_due is None else max(0, start - visit.commitment_due)


def _past_margin(visit: Visit, start: int) -> int:
    """Return for how long the price of being late is paid: it counts from the margin before the commitment on."""
    return 0 if visit.commitment_due is None else max(0, start - (visit.commitment_due - visit.commitment_margin))


def _past_promise(visit: Visit, start: int) -> int:
    return 0 if visit.promise is None else max(0, start - visit.promise.end)


def _frozen_order(case: Case, shift: Shift, route: Route, held: int | None) -> Iterator[Violation]:
    """Frozen visits come first, in their old order, each at its old start or as soon after it as one can be there.

    On a route that is held up by one before that may be later: then only that it is not sooner is asked here.
    """
    begun: list[int] = []
    free_before = False
    place, free = shift.start_place, shift.start
    for stop in route.stops:
        visit = case.visits[stop.visit]
        if not visit.frozen or visit.previous is None:
            free_before = True
            continue
        begun.append(visit.previous.start)
        if visit.previous.shift != shift.id or free_before or begun != sorted(begun):
            yield Violation("frozen_moved", visit.id, f"on {shift.id}")
        soonest = max(visit.previous.start, free + case.seconds(place, visit.place, free))
        if stop.start < soonest or (stop.start > soonest and held is None):
            yield Violation("frozen_start_moved", visit.id, f"{stop.start}, was {visit.previous.start}")
        place, free = visit.place, stop.departure


def _driven_legs(case: Case, route: Route) -> Iterator[tuple[str, str]]:
    shift = case.shifts[route.shift]
    yield from pairwise([shift.start_place, *(case.visits[stop.visit].place for stop in route.stops), shift.end_place])


@dataclass(frozen=True, slots=True)
class _Stay:
    """One technician's stay at a visit."""

    shift: Shift
    technician: str
    start: int
    ends: int


def _stays(case: Case, plan: Plan) -> dict[str, list[_Stay]]:
    stays: dict[str, list[_Stay]] = {}
    for route in plan.routes:
        shift = case.shifts[route.shift]
        for stop in route.stops:
            stays.setdefault(stop.visit, []).append(_Stay(shift, route.technician, stop.start, stop.departure))
    return stays


def _together(case: Case, plan: Plan) -> Iterator[Violation]:
    """A crew are different people, one of them the pinned one, and start together; what follows comes after."""
    stays = _stays(case, plan)
    for name, crew in stays.items():
        if len(crew) > 1 and not any(_as_pinned(case.visits[name], stay.shift) for stay in crew):
            yield Violation("pin_broken", name, f"on {sorted(stay.shift.id for stay in crew)}")
        if len({stay.technician for stay in crew}) < len(crew):
            yield Violation("crew_twice_the_same", name)
        if len({stay.start for stay in crew}) > 1:
            yield Violation("crew_apart", name, f"{sorted(stay.start for stay in crew)}")
        follows = case.visits[name].follows
        if follows is None or case.visits[name].frozen:
            continue
        if follows.visit not in stays:
            yield Violation("follows_nothing", name, follows.visit)
            continue
        before = stays[follows.visit]
        gap = crew[0].start - max(stay.ends for stay in before)
        if gap < follows.least_gap or (follows.most_gap is not None and gap > follows.most_gap):
            yield Violation("follows_gap", name, f"{gap}")
        if follows.same_technician and not {stay.technician for stay in crew} & {stay.technician for stay in before}:
            yield Violation("follows_other_technician", name)


def _vans(case: Case, plan: Plan) -> Iterator[Violation]:
    """No van takes more than it can; who starts before the parts are at hand has them, and has them only once."""
    carried: Counter[tuple[str, str]] = Counter()
    for route in plan.routes:
        capacity = case.shifts[route.shift].capacity
        load = sum(case.visits[stop.visit].load for stop in route.stops)
        gone = sum(case.visits[stop.visit].load for stop in route.stops if case.visits[stop.visit].frozen)
        if capacity is not None and load > max(capacity, gone):
            yield Violation("van_overloaded", route.shift, f"{load} > {capacity}")
        for stop in route.stops:
            visit = case.visits[stop.visit]
            if not visit.frozen and (visit.parts_ready is None or stop.start < visit.parts_ready):
                carried.update({(route.technician, need.part): need.quantity for need in visit.parts})
    stock: Counter[tuple[str, str]] = Counter()
    for held in case.problem.van_stock:
        stock[held.technician, held.part] += held.quantity
    for (technician, part), quantity in sorted(carried.items()):
        if quantity > stock[technician, part]:
            yield Violation("part_missing", technician, f"{quantity} of {part}, has {stock[technician, part]}")


def _changes(case: Case, plan: Plan) -> Iterator[Violation]:
    """No more visits of the plan in force change than may."""
    most = case.problem.most_changes
    if most is None:
        return
    changed = {entry.visit for entry in plan.unplanned if _in_force(case, case.visits[entry.visit])}
    for name, crew in _stays(case, plan).items():
        visit = case.visits[name]
        if visit.previous is not None and _in_force(case, visit):
            apart = abs(crew[0].start - visit.previous.start) > case.problem.prices.told_tolerance
            elsewhere = all(stay.shift.id != visit.previous.shift for stay in crew)
            if elsewhere or (visit.told and apart):
                changed.add(name)
    if len(changed) > most:
        yield Violation("too_many_changes", "plan", f"{len(changed)} > {most}")


def _in_force(case: Case, visit: Visit) -> bool:
    return visit.previous is not None and visit.previous.shift in case.shifts


def _explanations(plan: Plan) -> Iterator[Violation]:
    """Every visit left out or late has a reason of a known kind; nothing else is called late."""
    for unplanned in plan.unplanned:
        if not _explained(unplanned.reasons):
            yield Violation("unplanned_without_reason", unplanned.visit)
    late = {
        stop.visit: (stop.late_seconds, stop.promise_late_seconds)
        for route in plan.routes
        for stop in route.stops
        if stop.late_seconds or stop.promise_late_seconds
    }
    listed = {entry.visit: (entry.late_seconds, entry.promise_late_seconds) for entry in plan.late}
    if late != listed or len(listed) != len(plan.late):
        yield Violation("late_list_wrong", "plan", f"{sorted(late.keys() ^ listed.keys())}")
    for entry in plan.late:
        if not _explained(entry.reasons):
            yield Violation("late_without_reason", entry.visit)


def _explained(reasons: tuple[Reason, ...]) -> bool:
    return bool(reasons) and all(reason.code in REASON_TEXTS and reason.basis in BASES for reason in reasons)


def _labels(case: Case, plan: Plan) -> Iterator[Violation]:
    if (plan.travel_source, plan.travel_estimated) != (case.travel.source, case.travel.estimated):
        yield Violation("travel_label_wrong", "plan", plan.travel_source)


def _costs(case: Case, plan: Plan) -> Iterator[Violation]:
    """Each cost term is the sum that prices and stated times give."""
    sums: Counter[str] = Counter()
    for route in plan.routes:
        shift = case.shifts[route.shift]
        driven = route.end_travel_seconds + sum(stop.travel_seconds for stop in route.stops)
        sums["travel"] += driven * case.problem.prices.travel_second
        sums["overtime"] += route.overtime_seconds * case.problem.prices.overtime_second
        service = 0
        for stop in route.stops:
            sums.update(_stop_cost(case.problem, case.visits[stop.visit], shift, stop.start))
            service += case.visits[stop.visit].duration
        fair = (shift.end - shift.start) * case.problem.prices.fair_per_mille // PER_MILLE
        sums["fairness"] += case.problem.prices.unfair_second * max(0, service - fair)
    for name, crew in _stays(case, plan).items():
        sums["churn"] += _churn(case.problem, case.visits[name], {stay.shift.id for stay in crew}, crew[0].start)
    horizon = max((shift.end + shift.overtime_allowed for shift in case.problem.shifts), default=0)
    for unplanned in plan.unplanned:
        visit = case.visits[unplanned.visit]
        sums["unserved"] += _unserved_cost(case.problem, visit, horizon)
    for term, stated in msgspec.structs.asdict(plan.cost).items():
        if stated != sums[term]:
            yield Violation("cost_wrong", term, f"{stated}, not {sums[term]}")


def _stop_cost(problem: Problem, visit: Visit, shift: Shift, start: int) -> dict[str, int]:
    prices = problem.prices
    late, past = _past_margin(visit, start), _past_promise(visit, start)
    preference = 0
    if visit.preferred_technician not in {None, shift.technician}:
        preference += prices.not_preferred
    if None not in {visit.territory, shift.territory} and visit.territory != shift.territory:
        preference += prices.outside_territory
    return {
        "late": (prices.late.of(visit.priority) + prices.late_second.of(visit.priority) * late) if late else 0,
        "promise": (prices.promise_broken + prices.promise_second * past) if past else 0,
        "delay": _delay_second(problem, visit) * max(0, start - _first_moment(visit)),
        "preference": preference,
    }


def _delay_second(problem: Problem, visit: Visit) -> int:
    return problem.prices.delay_second.of(visit.priority) * visit.delay_per_mille // PER_MILLE


def _churn(problem: Problem, visit: Visit, shifts: set[str], start: int) -> int:
    """Return the price of having moved: to other shifts, or, if the customer was told, in time."""
    if visit.previous is None:
        return 0
    if visit.previous.shift not in shifts:
        return problem.prices.told_moved if visit.told else problem.prices.moved
    within = abs(start - visit.previous.start) <= problem.prices.told_tolerance
    return 0 if within or not visit.told else problem.prices.told_moved


def _first_moment(visit: Visit) -> int:
    """Return the first moment at which service could start, whoever came; 0 when its rules leave none."""
    if visit.frozen and visit.previous is not None:
        return max(0, visit.previous.start)
    begin = max(0, visit.earliest, visit.promise.start if visit.promise is not None else 0)
    moments = [begin] if not visit.windows else [max(begin, w.start) for w in visit.windows if w.end >= begin]
    if visit.pin is not None and visit.pin.start is not None:
        pinned = visit.pin.start
        inside = not visit.windows or any(window.start <= pinned <= window.end for window in visit.windows)
        moments = [pinned] if inside and pinned >= begin else []
    return min(moments, default=0)


def _unserved_cost(problem: Problem, visit: Visit, horizon: int) -> int:
    """Return the price of leaving out: that of not serving, and all that serving at the horizon's end would cost."""
    prices = problem.prices
    cost = prices.unserved.of(visit.priority)
    cost += _delay_second(problem, visit) * max(0, horizon - _first_moment(visit))
    if visit.commitment_due is not None:
        cost += prices.late.of(visit.priority) + prices.late_second.of(visit.priority) * _past_margin(visit, horizon)
    if visit.promise is not None:
        cost += prices.promise_broken + prices.promise_second * max(0, horizon - visit.promise.end)
    cost *= visit.technicians
    if visit.previous is not None:
        cost += prices.told_moved if visit.told else prices.moved
    if visit.pin is not None:
        cost += prices.pin_unserved
    return cost
