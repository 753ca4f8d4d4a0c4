"""From nothing to a first plan, and from there to better ones: anytime, cancellable, the exact price deciding."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from routing.arrays import FOREVER
from routing.draft import Draft, DraftRoute, empty_draft, put_in_order, simulate_route
from routing.instance import Instance
from routing.kernel.jit import INTERPRETED
from routing.lane import Lane
from routing.ortools.model import Answer, Departure, Limits, Lot, first_routes, improved_routes
from routing.problem import ProblemError
from routing.reach import bounding_seconds, earliest_starts
from routing.scan import apply, candidates, cheapest_insertion, fill, inserted, settle, urgency
from routing.stop import Budget

FAILED_SHARE: Final = 0.05
"""Visits without room, of all, at which building by insertion gives up: then choosing matters more than order."""
BUILT_VISITS: Final = 700
"""Visits for which OR-Tools is asked for a first plan at most: its time grows with their cube."""
BUILT_SHARE: Final = 0.1
"""Share of the time left that OR-Tools gets for it, and BUILT_SECONDS at most: it does not hear a wish to stop."""
BUILT_SECONDS: Final = 5.0
TRIED_WITHIN: Final = 40
"""Places tried for a visit where the changes are counted."""
HOT_LEGS: Final = 2.0
"""The first temperature: the price of so many drives of mean length. The search begins by accepting that much worse."""
COOLED_TO: Final = 0.005
"""What is left of the first temperature at the end."""
EXCHANGES: Final = 20
"""How often searches on several cores go on from the best of them."""
STEPS_A_VISIT: Final = 30_000
"""Steps for each visit after which a search is complete."""
STEPS_A_CHUNK: Final = 500
"""Steps between two looks at the limits, where these are steps."""

Report = Callable[[Draft], None]


@dataclass(frozen=True, slots=True)
class Start:
    """Where a search begins.

    `base`: the draft with the frozen visits only; `hopeless`: visits nobody can do, or that others put in (`held`);
    `deadlines`: the commitments somebody can keep.
    """

    base: Draft
    hopeless: frozenset[int]
    deadlines: dict[int, int]
    held: frozenset[int] = frozenset()


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start_of(instance: Instance) -> Start:
    """Return where searching `instance` begins."""
    base = empty_draft(instance)
    starts = earliest_starts(base, bounding_seconds(instance))
    deadlines = {
        visit.index: visit.due for visit in instance.visits if visit.due < FOREVER and starts[visit.index] <= visit.due
    }
    hopeless = frozenset(visit for visit in base.unplanned if starts[visit] == FOREVER)
    instance.arrays.eligible[list(hopeless)] = 0  # the search need not try what cannot be
    return Start(base, hopeless, deadlines)


def first_plan(start: Start, budget: Budget, *, ask_solver: bool) -> Draft:
    """Return a first plan: the plan in force with the new visits put in, or where there is none, a built one.

    `ask_solver`: where insertion leaves visits out or late, let OR-Tools build one, too, and keep the cheaper.
    """
    base, most_changes = start.base, start.base.instance.problem.most_changes
    if most_changes is not None:
        return _within(start, most_changes, budget)
    free = sorted(base.unplanned - start.hopeless)
    known = sum(1 for visit in free if base.instance.problem.visits[visit].previous is not None)
    if 2 * known >= len(free):
        draft = plan_in_force(start)
        fill(draft, draft.unplanned - start.hopeless, stop=budget.overdue)
        settle(draft, stop=budget.out_of_time)
        return draft
    draft = _inserted(start, free, budget)
    if not ask_solver or len(free) > BUILT_VISITS or budget.spent() or not _troubled(start, draft):
        return draft
    built = _built(start, free, budget)
    return built if built.price() < draft.price() else draft


def _within(start: Start, most_changes: int, budget: Budget) -> Draft:
    """Return the plan in force with as much put in as changes no more than `most_changes` of its visits.

    Raises `ProblemError` 'change_budget_too_small' when what has happened changes more than that already.
    """
    draft = plan_in_force(start)
    held = sum(1 for visit in start.held if draft.instance.visits[visit].previous_shift >= 0)
    needed = draft.changes() - held
    if needed > most_changes:
        raise ProblemError("change_budget_too_small", "most_changes", needed=needed, allowed=most_changes)
    most_changes += held  # they are put in later, and count as changed till then
    for visit in sorted(draft.unplanned - start.hopeless, key=lambda index: urgency(draft.instance, index)):
        if budget.overdue():
            break
        insertion = cheapest_insertion(draft, visit, limit=draft.instance.visits[visit].unserved)
        if insertion is not None and not _keeps_within(draft, insertion.shift, insertion.route, most_changes):
            _put_in_within(draft, visit, most_changes)
    return draft


def _put_in_within(draft: Draft, visit: int, most_changes: int) -> None:
    """Put `visit` in where it changes few enough, at one of the cheapest places; nowhere when none of them does."""
    for added, shift, position in candidates(draft, visit)[:TRIED_WITHIN]:
        after = inserted(draft, visit, shift, position)
        if added >= draft.instance.visits[visit].unserved:
            return
        if after is not None and _keeps_within(draft, shift, after, most_changes):
            return


def _keeps_within(draft: Draft, shift: int, route: DraftRoute, most_changes: int) -> bool:
    """Put `route` in the draft; False, and nothing changed, when that changes too many visits."""
    before = draft.routes[shift]
    draft.replace(shift, route)
    if draft.changes() <= most_changes:
        return True
    draft.replace(shift, before)
    return False


def _troubled(start: Start, draft: Draft) -> bool:
    """Return whether a visit is left out or late though somebody could do better by it."""
    late = any(
        begun > start.deadlines.get(visit, FOREVER)
        for route in draft.routes
        for visit, begun in zip(route.visits, route.starts(), strict=True)
    )
    return late or bool(draft.unplanned - start.hopeless)


def _inserted(start: Start, visits: list[int], budget: Budget) -> Draft:
    """Return a plan built by insertion: scarce skills first, then the earliest deadline.

    The better start where there is room for nearly everything; it gives up once that is seen not to be so.
    """
    draft, instance = start.base.copy(), start.base.instance

    def scarce_first(visit: int) -> tuple[int, int, int, int]:
        data, able = instance.visits[visit], len(instance.eligible[visit])
        last = min(start.deadlines.get(visit, FOREVER), data.promise_end, data.opens[-1][1])
        return 4 * able // (len(instance.shifts) + 1), last, -data.unserved, visit

    failed = 0
    for visit in sorted(visits, key=scarce_first):
        if budget.overdue() or failed > FAILED_SHARE * len(visits):
            break
        insertion = cheapest_insertion(draft, visit, limit=instance.visits[visit].unserved)
        if insertion is None:
            failed += 1
        else:
            apply(draft, insertion)
    fill(draft, draft.unplanned - start.hopeless, stop=budget.overdue)
    settle(draft, stop=budget.out_of_time)
    return draft


def plan_in_force(start: Start) -> Draft:
    """Return the draft that repeats the plan in force as far as it is still legal."""
    draft, instance = start.base.copy(), start.base.instance
    shift_index = {shift.id: index for index, shift in enumerate(instance.problem.shifts)}
    by_shift: dict[int, list[tuple[int, int]]] = {}
    for visit in sorted(draft.unplanned - start.hopeless):
        previous = instance.problem.visits[visit].previous
        shift = None if previous is None else shift_index.get(previous.shift)
        if previous is not None and shift is not None and shift in instance.eligible[visit]:
            by_shift.setdefault(shift, []).append((previous.start, visit))
    for shift, planned in by_shift.items():
        put_in_order(draft, shift, [visit for _, visit in sorted(planned)])
    return draft


def _built(start: Start, visits: list[int], budget: Budget) -> Draft:
    """Return a plan built by OR-Tools from the frozen visits up."""
    seconds = None if budget.seconds_left is None else min(budget.seconds_left * BUILT_SHARE, BUILT_SECONDS)
    limits = Limits(seconds=seconds, solutions=None, cancelled=budget.cancelled)
    answer = first_routes(start.base.instance, _lot(start, visits), limits)
    draft = start.base.copy() if answer is None else _taken_over(start, answer)
    fill(draft, draft.unplanned - start.hopeless, stop=budget.out_of_time)
    settle(draft, stop=budget.out_of_time)
    return draft


def _lot(start: Start, visits: list[int]) -> Lot:
    shifts = tuple(range(len(start.base.routes)))
    return Lot(
        shifts=shifts,
        departures=tuple(departure(start.base, shift) for shift in shifts),
        visits=tuple(visits),
        deadlines=start.deadlines,
    )


def _taken_over(start: Start, answer: Answer) -> Draft:
    """Return the draft with the solver's routes behind the frozen visits; what does not fit exactly is left out."""
    draft = start.base.copy()
    for shift, routed in enumerate(answer.routes):
        route = simulate_route(draft.instance, shift, [*start.base.routes[shift].visits, *routed])
        if route is not None:
            draft.replace(shift, route)
        else:
            put_in_order(draft, shift, routed)
    return draft


def departure(base: Draft, shift: int) -> Departure:
    """Return where and when the part of `shift` behind its frozen visits begins, later by the breaks still to come."""
    day, route = base.instance.shifts[shift], base.routes[shift]
    free, place = day.start, day.start_place
    if route.visits:
        free, place = route.times.stops[-1].ends, base.instance.visits[route.visits[-1]].place
    rest = sum(pause.duration for pause in day.pauses if pause.latest >= free)
    return Departure(place, min(free + rest, day.last))


def temperature(draft: Draft) -> float:
    """Return the first temperature of a search from `draft`: the price of HOT_LEGS drives of mean length."""
    legs = sum(len(route.visits) + 1 for route in draft.routes if route.visits)
    driving = sum(route.driving for route in draft.routes)
    return max(1.0, HOT_LEGS * draft.instance.prices.travel_second * driving / max(1, legs))


def improve(start: Start, draft: Draft, budget: Budget, seed: int, report: Report) -> Draft:
    """Return the best draft found until the budget is spent, or the search is complete.

    Where seconds limit it, one search runs on each core and all go on from the best of them now and then; where steps
    limit it, a single one runs, so that it repeats. Until the search is compiled OR-Tools improves the plan instead.
    """
    if not draft.routes or not start.base.unplanned - start.hopeless:
        return draft  # there is nothing to choose
    if INTERPRETED:
        if start.held:
            return draft  # the solver's model knows nothing of what binds visits together
        return _improved_by_solver(start, draft, budget)
    visits = len(draft.instance.visits) - len(start.hopeless)
    lanes = [Lane(draft, seed + number) for number in range(cores() if budget.by_seconds else 1)]
    hot, whole, exchanged = temperature(draft), STEPS_A_VISIT * visits, 0
    with ThreadPoolExecutor(len(lanes)) as pool:
        while not budget.spent() and lanes[0].steps < whole:
            share = max(budget.share, lanes[0].steps / whole)
            before = sum(lane.steps for lane in lanes)
            now = hot * COOLED_TO**share
            if budget.by_seconds:
                list(pool.map(Lane.run, lanes, [now] * len(lanes)))
            else:
                lanes[0].run_steps(now, min(STEPS_A_CHUNK, budget.solutions_left or 0))
            budget.solutions += sum(lane.steps for lane in lanes) - before
            if share * EXCHANGES >= exchanged + 1:
                exchanged = int(share * EXCHANGES)
                _exchange(lanes)
            if budget.time_to_report():
                report(drafted(start, best_of(lanes)))
    return drafted(start, best_of(lanes))


def _improved_by_solver(start: Start, draft: Draft, budget: Budget) -> Draft:
    """Return what OR-Tools makes of the draft, or the draft where that is not better."""
    frozen = draft.instance.frozen
    free = [visit for visit in range(len(draft.instance.visits)) if not draft.instance.visits[visit].frozen]
    routes = [route.visits[len(frozen[shift]) :] for shift, route in enumerate(draft.routes)]
    limits = Limits(seconds=budget.seconds_left, solutions=budget.solutions_left, cancelled=budget.cancelled)
    answer = improved_routes(draft.instance, _lot(start, sorted(set(free) - start.hopeless)), routes, limits)
    if answer is None:
        return draft
    budget.solutions += answer.solutions
    better = _taken_over(start, answer)
    fill(better, better.unplanned - start.hopeless, stop=budget.out_of_time)
    most_changes = draft.instance.problem.most_changes
    within = most_changes is None or better.changes() <= most_changes
    return better if within and better.price() < draft.price() else draft


@dataclass(frozen=True, slots=True)
class Slice:
    """What one area gets of one round: `seconds` of one core or `steps`, and how the temperature falls meanwhile."""

    seconds: float | None
    steps: int | None
    cooled_from: float
    cooled_to: float

    @staticmethod
    def of(budget: Budget, turn: int, turns: int, areas: int) -> "Slice":
        """Return the share of one of `areas` in round `turn` of `turns`, worked on by all cores."""
        rounds, left, steps = turns - turn, budget.seconds_left, budget.solutions_left
        seconds = None if left is None else left / rounds * min(cores(), areas) / areas
        steps = None if steps is None else max(1, steps // (rounds * areas))
        return Slice(seconds, steps, COOLED_TO ** (turn / turns), COOLED_TO ** ((turn + 1) / turns))


def improve_slice(start: Start, draft: Draft, budget: Budget, seed: int, share: Slice) -> tuple[Draft, int]:
    """Return the best draft that one search finds within its slice, and its steps; cancelled, the best until then."""
    if not draft.routes or not start.base.unplanned - start.hopeless:
        return draft, 0  # there is nothing to choose
    lane, hot, began = Lane(draft, seed), temperature(draft), budget.elapsed
    most = min(STEPS_A_VISIT * len(draft.instance.visits), FOREVER if share.steps is None else share.steps)
    while lane.steps < most and not budget.out_of_time():
        done = lane.steps / most
        if share.seconds is not None:
            done = max(done, (budget.elapsed - began) / share.seconds)
        if done >= 1:
            break
        now = hot * share.cooled_from * (share.cooled_to / share.cooled_from) ** done
        if share.seconds is not None:
            lane.run(now)
        else:
            lane.run_steps(now, min(STEPS_A_CHUNK, most - lane.steps))
    return drafted(start, lane.best_routes()), lane.steps


def _exchange(lanes: list[Lane]) -> None:
    """Let every search go on from where the best of them is."""
    ahead = min(lanes, key=lambda lane: lane.price)
    routes = ahead.routes()
    for lane in lanes:
        if lane is not ahead:
            lane.go_on_from(routes)


def best_of(lanes: list[Lane]) -> list[list[int]]:
    """Return the best routes of all searches."""
    return min(lanes, key=lambda lane: lane.best_price).best_routes()


def drafted(start: Start, routes: list[list[int]]) -> Draft:
    """Return the draft with these routes."""
    draft = start.base.copy()
    for shift, visits in enumerate(routes):
        route = simulate_route(draft.instance, shift, visits)
        if route is None:
            raise AssertionError(f"the search made a route that cannot be driven: {visits} on {shift}")
        draft.replace(shift, route)
    return draft
