"""`solve`: problem in, plan out. No clock but for its own limits, no database, no network."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Lock
from typing import Final

from routing.areas import Area, Map, Members, cut_along_routes, first_cut, mapped
from routing.coupling import Couplings
from routing.draft import Draft
from routing.finish import Piece, finished
from routing.improve import Report, Slice, Start, cores, drafted, first_plan, improve, improve_slice, start_of
from routing.instance import prepare
from routing.limits import AREA_VISITS, FIRST_VISITS, WHOLE_VISITS
from routing.plan import Plan, Progress
from routing.problem import Problem, ProblemError, coupled
from routing.scan import fill
from routing.stays import apart
from routing.stop import Budget, StopWhen
from routing.validate import validate

ROUNDS: Final = 4
"""How often a large problem is cut anew at least, and coupled visits are placed anew."""
MOST_ROUNDS: Final = 16
AREA_SECONDS: Final = 4.0
"""Search that an area gets in a round, of one core, before there are more rounds."""
VISIT_SECONDS: Final = 0.03
VISIT_STEPS: Final = 2_000
"""Search of one core for each visit with which cutting gains nothing any more."""


def solve(
    problem: Problem, stop: StopWhen, seed: int = 0, on_progress: Callable[[Progress], None] | None = None
) -> Plan:
    """Return the best plan found until `stop`; every visit is in a route or unplanned with reasons.

    The same problem, seed and `stop.solutions` (without `stop.seconds`) give the same plan, once the search is
    compiled. `on_progress` is called now and then with the best so far, of a large problem on several threads, but
    never twice at a time. Raises `ProblemError` for a problem that cannot be planned as given.
    """
    validate(problem)
    budget = Budget(stop)

    def tell(so_far: _SoFar) -> None:
        if on_progress is not None:
            on_progress(so_far.progress(problem, budget))

    def report(draft: Draft) -> None:
        tell(_SoFar.of([draft]))

    if coupled(problem):
        return _coupled(problem, budget, seed, report)
    if len(problem.visits) <= in_one_piece(budget) or problem.most_changes is not None:
        pieces = [_in_one(problem, budget, seed, report)]
    else:
        pieces = _InAreas(problem, budget, seed, tell).pieces()
    return finished(problem, pieces, status=budget.spent() or "complete", seed=seed, solutions=budget.solutions)


def in_one_piece(budget: Budget) -> int:
    """Return how many visits are best searched in one piece within `budget`."""
    seconds, steps = budget.seconds_left, budget.solutions_left
    enough = [] if seconds is None else [seconds * cores() / VISIT_SECONDS]
    enough += [] if steps is None else [steps / VISIT_STEPS]
    return max(AREA_VISITS, min(WHOLE_VISITS, int(min(enough))))


def _rounds(budget: Budget, visits: int) -> int:
    """Return how often to cut: oftener where the areas get long turns anyway."""
    seconds, areas = budget.seconds_left, visits / AREA_VISITS
    return ROUNDS if seconds is None else min(MOST_ROUNDS, max(ROUNDS, int(seconds * cores() / areas / AREA_SECONDS)))


def _in_one(problem: Problem, budget: Budget, seed: int, report: Report) -> Piece:
    start = start_of(prepare(problem))
    draft = first_plan(start, budget, ask_solver=True)
    report(draft)
    draft = improve(start, draft, budget, seed, report)
    report(draft)
    return Piece(start.base, draft)


def _coupled(problem: Problem, budget: Budget, seed: int, report: Report) -> Plan:
    """Return the plan of a problem whose visits depend on each other: rounds of search, and of placing those anew."""
    stays = apart(problem)
    start = start_of(prepare(stays.problem))
    couplings = Couplings(stays, start.base.instance)
    held = couplings.stays()
    start = replace(start, hopeless=start.hopeless | held, held=held)
    draft = first_plan(start, budget, ask_solver=True)
    couplings.settle(draft, budget.overdue)
    if problem.most_changes is None:
        draft = _or_coupled_first(start, couplings, draft, budget)
    if problem.most_changes is not None and draft.changes() > problem.most_changes:
        facts = {"needed": draft.changes(), "allowed": problem.most_changes}
        raise ProblemError("change_budget_too_small", "most_changes", **facts)
    report(draft)
    for turn in range(ROUNDS):
        if budget.spent():
            break
        share = budget.slice(ROUNDS - turn)
        draft = improve(start, draft, share, seed + turn, report)
        budget.solutions += share.solutions
        couplings.settle(draft, budget.out_of_time)
    stays.first_where_told(draft)
    report(draft)
    status = budget.spent() or "complete"
    piece = Piece(start.base, draft, couplings.not_looked_at())
    return finished(problem, [piece], status=status, seed=seed, solutions=budget.solutions)


def _or_coupled_first(start: Start, couplings: Couplings, draft: Draft, budget: Budget) -> Draft:
    """Return `draft`, or a plan in which the coupled visits had their choice before all others, if that is cheaper."""
    other = start.base.copy()
    couplings.settle(other, budget.out_of_time)
    fill(other, other.unplanned - start.hopeless, stop=budget.out_of_time)
    chosen = other if other.price() < draft.price() else draft
    couplings.settle(chosen, budget.out_of_time)
    return chosen


@dataclass(frozen=True, slots=True)
class _SoFar:
    """What is told of a search on its way: visits unplanned and late, and what the plan costs."""

    unplanned: int
    late: int
    cost: int

    @staticmethod
    def of(drafts: Sequence[Draft]) -> "_SoFar":
        missing = {draft.instance.problem.visits[index].id for draft in drafts for index in draft.unplanned}
        late, cost = sum(draft.late() for draft in drafts), sum(draft.price() for draft in drafts)
        return _SoFar(len(missing), late, cost)

    def improved(self, before: Draft, after: Draft) -> "_SoFar":
        """Return what is told once one of the drafts has become a better one."""
        return _SoFar(
            self.unplanned + len(after.unplanned) - len(before.unplanned),
            self.late + after.late() - before.late(),
            self.cost + after.price() - before.price(),
        )

    def progress(self, problem: Problem, budget: Budget) -> Progress:
        return Progress(
            elapsed_seconds=round(budget.elapsed, 3), served=len(problem.visits) - self.unplanned,
            unplanned=self.unplanned, late=self.late, cost=self.cost, share=budget.share,
        )  # fmt: skip


class _InAreas:
    """A plan made area by area: a first one along the map, then rounds of improvement along its routes."""

    def __init__(self, problem: Problem, budget: Budget, seed: int, tell: Callable[[_SoFar], None]) -> None:
        self._problem = problem
        self._budget = budget
        self._seed = seed
        self._tell = tell
        self._so_far, self._telling = _SoFar(len(problem.visits), 0, 0), Lock()
        self._plane: Map = mapped(problem)
        self._routes: list[list[int]] = [[] for _ in problem.shifts]

    def pieces(self) -> list[Piece]:
        """Return the areas of the last round with their drafts."""
        with ThreadPoolExecutor(cores()) as pool:
            areas = first_cut(self._plane, FIRST_VISITS)
            searched = list(pool.map(self._first, areas))
            self._take_over(searched)
            rounds = _rounds(self._budget, len(self._problem.visits))
            for turn in range(rounds):
                if self._budget.spent() or not any(self._routes):
                    break
                areas = cut_along_routes(self._plane, self._routes, self._left_out(), AREA_VISITS, turn)
                share = Slice.of(self._budget, turn, rounds, len(areas))
                first = turn * len(self._problem.visits)
                numbers, shares = range(first, first + len(areas)), [share] * len(areas)
                improved = list(pool.map(self._improved, numbers, areas, shares))
                searched = [one for one, _ in improved]
                self._budget.solutions += sum(steps for _, steps in improved)
                self._take_over(searched)
        return [piece for _, piece in searched]

    def _first(self, members: Members) -> tuple[Area, Piece]:
        area = self._plane.area(*members)
        start = start_of(area.instance)
        return area, Piece(start.base, first_plan(start, self._budget, ask_solver=False))

    def _improved(self, number: int, members: Members, share: Slice) -> tuple[tuple[Area, Piece], int]:
        area = self._plane.area(*members)
        start = start_of(area.instance)
        draft = drafted(start, area.own(self._routes))
        better, steps = improve_slice(start, draft, self._budget, self._seed + number, share)
        with self._telling:
            self._so_far = self._so_far.improved(draft, better)
            if self._budget.time_to_report():
                self._tell(self._so_far)
        return (area, Piece(start.base, better)), steps

    def _left_out(self) -> list[int]:
        planned = {visit for route in self._routes for visit in route}
        return [visit for visit in range(len(self._problem.visits)) if visit not in planned]

    def _take_over(self, searched: Sequence[tuple[Area, Piece]]) -> None:
        for area, piece in searched:
            for shift, route in zip(area.shifts, piece.draft.routes, strict=True):
                self._routes[shift] = [area.visits[visit] for visit in route.visits]
        self._so_far = _SoFar.of([piece.draft for _, piece in searched])
        self._tell(self._so_far)
