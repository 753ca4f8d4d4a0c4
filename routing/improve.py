"""The search: a first plan, then rounds that each improve a few neighbouring routes.

A round takes some shifts near each other with their visits (a *lot*), lets the solver improve them, simulates the
answer exactly, puts in what was left out, and keeps the whole when it is cheaper. Small lots make a round take
hundredths of a second, so there are many, the best plan is always at hand, and cancelling is prompt. When rounds stop
helping, some visits are taken out of the lot first, which leads out of local optima.
"""

from collections.abc import Callable, Sequence
from typing import Final

from routing.clusters import clusters
from routing.draft import Draft, DraftRoute, put_in_order, simulate_route
from routing.instance import FOREVER
from routing.lots import Search, cold_lot, troubled, warm_lot
from routing.ortools.model import Limits, first_routes, improved_routes
from routing.scan import apply, cheapest_insertion, fill, relocated, settle

FAILED_SHARE: Final = 0.05
"""Visits without room, of all, at which building by insertion gives up: then choosing matters more than order."""
LOT_SECONDS: Final = 2.0
"""Wall time of one round where the search is bounded by seconds."""
RUIN_SHARE: Final = 0.4
RUIN_CHANCE: Final = 0.7
STALE_BEFORE_RUIN: Final = 10
"""Rounds without gain after which ruining begins to become likely."""
RELOCATIONS: Final = 8
RELOCATION_CHANCE: Final = 0.3
STALE_ROUNDS: Final = 40
STALE_ROUNDS_PER_ROUTE: Final = 2
"""Rounds without gain after which the search is complete."""


def first_plan(search: Search) -> Draft:
    """Return a first plan: the plan in force with the new visits put in, or where there is none, a built one."""
    base, out_of_time = search.base, search.budget.out_of_time
    free = sorted(base.unplanned - search.hopeless)
    known = sum(1 for visit in free if base.instance.problem.visits[visit].previous is not None)
    if 2 * known >= len(free):
        draft = _plan_in_force(base)
        fill(draft, draft.unplanned - search.hopeless, stop=out_of_time)
        settle(draft, stop=out_of_time)
        return draft
    draft = _inserted(search, free)
    if search.budget.spent() or not troubled(search, draft):
        return draft
    built = _built(search, free)
    return built if built.price() < draft.price() else draft


def _inserted(search: Search, visits: list[int]) -> Draft:
    """Return a plan built by insertion: scarce skills first, then the earliest deadline.

    The better start where there is room for nearly everything; it gives up once that is seen not to be so.
    """
    draft, instance, deadlines = search.base.copy(), search.base.instance, search.deadlines

    def urgency(visit: int) -> tuple[int, int, int, int]:
        data, able = instance.visits[visit], len(instance.eligible[visit])
        last = min(deadlines.get(visit, FOREVER), data.promise_end, data.opens[-1][1])
        return 4 * able // (len(instance.shifts) + 1), last, -data.unserved, visit

    failed = 0
    for visit in sorted(visits, key=urgency):
        if search.budget.out_of_time() or failed > FAILED_SHARE * len(visits):
            break
        insertion = cheapest_insertion(draft, visit, limit=instance.visits[visit].unserved)
        if insertion is None:
            failed += 1
        else:
            apply(draft, insertion)
    settle(draft, stop=search.budget.out_of_time)
    return draft


def _plan_in_force(base: Draft) -> Draft:
    """Return the draft that repeats the plan in force as far as it is still legal."""
    draft = base.copy()
    instance = base.instance
    shift_index = {shift.id: index for index, shift in enumerate(instance.problem.shifts)}
    by_shift: dict[int, list[tuple[int, int]]] = {}
    for visit in sorted(base.unplanned):
        previous = instance.problem.visits[visit].previous
        shift = None if previous is None else shift_index.get(previous.shift)
        if previous is not None and shift is not None and shift in instance.eligible[visit]:
            by_shift.setdefault(shift, []).append((previous.start, visit))
    for shift, planned in by_shift.items():
        put_in_order(draft, shift, [visit for _, visit in sorted(planned)])
    return draft


def _built(search: Search, visits: list[int]) -> Draft:
    """Return a plan built by the solver from the frozen visits up, cluster by cluster."""
    draft = search.base.copy()
    for cluster_visits, shifts in clusters(draft.instance, visits, list(range(len(draft.routes)))):
        if search.budget.spent():
            break
        lot = cold_lot(search, shifts, cluster_visits)
        answer = first_routes(draft.instance, lot, _limits(search, search.budget.seconds_left))
        if answer is not None:
            search.budget.solutions += answer.solutions
            take_over(search.base, draft, lot.shifts, answer.routes)
    fill(draft, draft.unplanned - search.hopeless, stop=search.budget.out_of_time)
    settle(draft, stop=search.budget.out_of_time)
    return draft


def improve(search: Search, draft: Draft, report: Callable[[Draft], None]) -> Draft:
    """Return the best draft that rounds lead to until the budget is spent or rounds have long stopped helping."""
    stale, rng = 0, search.rng
    price = draft.price()
    report(draft)
    while not search.budget.spent() and stale < _patience(draft):
        better = _round(search, draft, stale) if rng.random() >= _exact_chance(stale) else _relocation(search, draft)
        stale += 1
        if better is not None and better.price() < price:
            draft, price, stale = better, better.price(), 0
        report(draft)
    settle(draft, stop=search.budget.out_of_time)
    return draft


def _exact_chance(stale: int) -> float:
    """Return how likely the next round is one of exact relocations: they find what the solver's model leaves out."""
    return RELOCATION_CHANCE if stale >= STALE_BEFORE_RUIN else 0.0


def _relocation(search: Search, draft: Draft) -> Draft | None:
    """Return the draft with the first of some visits, drawn by chance, moved that is cheaper elsewhere."""
    search.budget.solutions += 1
    planned = [visit for route in draft.routes for visit in route.visits]
    for visit in search.rng.sample(planned, min(RELOCATIONS, len(planned))):
        moved = relocated(draft, visit)
        if moved is not None:
            fill(moved, moved.unplanned - search.hopeless, stop=search.budget.out_of_time)
            return moved
    return None


def _patience(draft: Draft) -> int:
    """Return after how many rounds without gain to give up: none where there is nothing to choose."""
    used = sum(1 for route in draft.routes if route.visits)
    return STALE_ROUNDS + STALE_ROUNDS_PER_ROUTE * used if used else 0


def _round(search: Search, draft: Draft, stale: int) -> Draft | None:
    """Return the draft with one lot improved, or None when the lot offers nothing to do."""
    rng = search.rng
    lot, routes = warm_lot(search, draft)
    if not lot.visits:
        search.budget.solutions += 1
        return None
    if rng.random() < min(RUIN_CHANCE, (stale + 1 - STALE_BEFORE_RUIN) / STALE_BEFORE_RUIN):
        routes = [[visit for visit in route if rng.random() >= RUIN_SHARE] for route in routes]
    left = search.budget.seconds_left
    limits = _limits(search, None if left is None else min(left, LOT_SECONDS))
    answer = improved_routes(draft.instance, lot, routes, limits)
    search.budget.solutions += 1 if answer is None else answer.solutions
    if answer is None:
        return None
    better = draft.copy()
    take_over(search.base, better, lot.shifts, answer.routes)
    fill(better, better.unplanned - search.hopeless, stop=search.budget.out_of_time)
    return better


def _limits(search: Search, seconds: float | None) -> Limits:
    budget = search.budget
    return Limits(seconds=seconds, solutions=budget.solutions_left, cancelled=budget.cancelled)


def take_over(base: Draft, draft: Draft, shifts: Sequence[int], routes: Sequence[Sequence[int]]) -> None:
    """Put the solver's `routes`, behind the frozen visits, on `shifts`; what does not fit exactly becomes unplanned."""
    for shift in shifts:
        draft.replace(shift, base.routes[shift])
    for shift, visits in zip(shifts, routes, strict=True):
        route: DraftRoute | None = simulate_route(draft.instance, shift, [*base.routes[shift].visits, *visits])
        if route is not None:
            draft.replace(shift, route)
        else:
            put_in_order(draft, shift, visits)
