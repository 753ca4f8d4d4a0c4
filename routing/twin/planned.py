"""Our planner dispatching: it re-plans at fixed moments, and puts an emergency into the plan in force at once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from routing.backlog import Backlog
from routing.plan import Cost, Plan, Route, Stop
from routing.problem import Break, Pace, Previous, Prices, Problem, ProblemError, Shift, Visit
from routing.stop import StopWhen
from routing.twin.field import TOLD_TOLERANCE, Case, Field, Told, Worker, expected_free
from routing.twin.refusal import within
from routing.twin.world import DAY, HOUR

MOST_PLANNED: Final = 1_500
"""Visits in one plan; of a longer backlog the oldest."""
EMERGENCY: Final = 1
PER_MILLE: Final = 1_000

MOST_URGENCY: Final = 20.0
USUAL: Final = Backlog()


@dataclass(frozen=True, kw_only=True)
class Planning:
    """How the planner is used. Bounded by `solutions` a run repeats exactly; `seconds` bounds it by the clock instead.

    `margin`, `escalated` and `urgency` are those of `routing.backlog.Backlog`, which the product plans with, too.
    `filled`: of a backlog, the oldest calls are planned up to the working time of so many seconds ahead.
    `frozen`: a visit that starts within this stays where it is. `told_ahead`: customers are told of a visit that is
    planned within this. `churn_priced`: moving a told customer has its price; without, the planner is free to.
    """

    every: int = HOUR
    look_ahead: int = 30 * HOUR
    margin: int = USUAL.margin
    escalated: int = USUAL.escalated
    urgency: float = USUAL.urgency
    filled: int = DAY
    frozen: int = HOUR // 2
    told_ahead: int = 2 * HOUR
    solutions: int = 300
    seconds: float | None = None
    churn_priced: bool = True

    def __post_init__(self) -> None:
        """Refuse figures that make no plan; raises `TwinError`."""
        within("every", self.every, 60, DAY)
        within("look_ahead", self.look_ahead, HOUR, 14 * DAY)
        within("margin", self.margin, 0, 2 * DAY)
        within("escalated", self.escalated, 0, 2 * DAY)
        within("urgency", self.urgency, 0, MOST_URGENCY)
        within("filled", self.filled, HOUR, 14 * DAY)
        within("frozen", self.frozen, 0, DAY)
        within("told_ahead", self.told_ahead, 0, 14 * DAY)
        within("solutions", self.solutions, 1, 1_000_000)
        if self.seconds is not None:
            within("seconds", self.seconds, 0.01, 600)

    def stop(self, cancelled: Callable[[], bool]) -> StopWhen:
        """Return when one planning run ends."""
        if self.seconds is not None:
            return StopWhen(seconds=self.seconds, cancelled=cancelled)
        return StopWhen(solutions=self.solutions, cancelled=cancelled)

    @property
    def backlog(self) -> Backlog:
        """Return what is done about work that waits."""
        return Backlog(margin=self.margin, escalated=self.escalated, urgency=self.urgency)

    def prices(self) -> Prices:
        """Return the planner's prices; without churn, moving anybody is free."""
        usual = Prices(told_tolerance=TOLD_TOLERANCE)
        return usual if self.churn_priced else Prices(told_moved=0, moved=0)


@dataclass(frozen=True, slots=True)
class Due:
    """A stop of the plan in force: the case, and when service is to start."""

    case: int
    start: int


class Planned:
    """Keeps a plan in force, re-plans it with churn in its price, and sends technicians along their routes."""

    def __init__(self, planning: Planning, seed: int, cancelled: Callable[[], bool] = lambda: False) -> None:
        self._planning = planning
        self._seed = seed
        self._cancelled = cancelled
        self._routes: dict[str, list[Due]] = {}
        self.runs = 0

    def called(self, field: Field, case: Case) -> None:
        """An emergency goes into the plan at once, and so does any call while there are more idle people than calls.

        Everything else waits for the next moment to plan: nobody jumps a queue.
        """
        if case.call.priority == EMERGENCY:
            if not self._insert(field, case):
                self._plan(field)
        elif len(field.waiting) <= sum(field.is_free(one) and not self.holds(one) for one in field.workers.values()):
            self._insert(field, case)

    def lost(self, field: Field, shift: str) -> None:
        """A shift is lost: whoever was planned on it is planned anew at once."""
        if self._routes.pop(shift, []):
            self._plan(field)

    def tick(self, field: Field) -> None:
        """Re-plan while anybody works, or is about to."""
        soon = field.now + self._planning.every
        if field.waiting and any(shift.start <= soon for shift in self._working(field)):
            self._plan(field)

    def holds(self, worker: Worker) -> bool:
        """Return whether the technician still has a stop to wait for."""
        return bool(self._routes.get(worker.shift.id))

    def act(self, field: Field) -> None:
        """Send everybody free who should leave for the next stop by now; wake the others when they should."""
        for worker in list(field.workers.values()):
            route = self._routes.get(worker.shift.id, [])
            while route and field.is_free(worker) and worker.busy_until <= field.now:
                case = field.cases[route[0].case]
                if not field.can_go(worker, case, overtime=worker.shift.overtime_allowed):
                    route.pop(0)  # too late in the day for it by now; the next plan finds another place
                    continue
                leave = self._leave(field, worker, case)
                if leave > field.now:
                    field.plan_event(leave, "wake", worker.shift.id)
                    break
                route.pop(0)
                field.send(worker, case)

    def _leave(self, field: Field, worker: Worker, case: Case) -> int:
        """Return when to set out: not before the visit may start, nor much before the time the customer was told."""
        leave = case.release
        if case.told is not None:
            told = case.told.start - TOLD_TOLERANCE * 3 // 4
            leave = max(leave, told - field.world.table(worker.place, case.call.place))
        return leave

    def _plan(self, field: Field) -> None:
        from routing.solve import solve  # noqa: PLC0415 - what only names the policies does not load the search

        problem = self._problem(field)
        if not problem.visits or not problem.shifts:
            return
        self.runs += 1
        plan = solve(problem, self._planning.stop(self._cancelled), self._seed + self.runs)
        self._put_in_force(field, plan.routes)

    def _insert(self, field: Field, case: Case) -> bool:
        """Put `case` into the plan in force, one route changed; return whether a place was found."""
        from routing.insertion import propose  # noqa: PLC0415 - as in `_plan`

        problem = self._problem(field)
        visits = {visit.id for visit in problem.visits}
        shifts = {shift.id: shift for shift in problem.shifts}
        routes = [
            _route(shifts[shift], [str(due.case) for due in route if str(due.case) in visits])
            for shift, route in self._routes.items()
            if shift in shifts and route
        ]
        if not shifts or str(case.number) not in visits:
            return False
        plan = Plan(
            status="complete", seed=0, routes=tuple(routes), unplanned=(), late=(), cost=Cost(), travel_source="",
            travel_estimated=True,
        )  # fmt: skip
        try:
            found = propose(problem, plan, str(case.number), limit=1)
        except ProblemError as error:
            if error.code == "plan_contradicts_problem":  # reality has left the plan behind: plan anew
                return False
            raise
        if not found or found[0].late_seconds:
            return False
        changed = found[0].route
        self._routes[changed.shift] = [Due(int(stop.visit), field.now + stop.start) for stop in changed.stops]
        self._tell(field)
        return True

    def _put_in_force(self, field: Field, routes: tuple[Route, ...]) -> None:
        self._routes = {
            route.shift: [Due(int(stop.visit), field.now + stop.start) for stop in route.stops] for route in routes
        }
        self._tell(field)

    def _tell(self, field: Field) -> None:
        """Tell customers of visits that come soon, and those told before of what has changed."""
        planned = {due.case: Told(shift, due.start) for shift, route in self._routes.items() for due in route}
        for case in field.waiting.values():
            told = planned.get(case.number)
            if case.told is not None or (told is not None and told.start <= field.now + self._planning.told_ahead):
                field.tell(case, told)

    def _problem(self, field: Field) -> Problem:
        """Return what is to be planned now, in seconds from now."""
        shifts = list(self._working(field))
        usable = {shift.id: shift for shift in shifts}
        in_force = {due.case: (shift, due.start) for shift, route in self._routes.items() for due in route}
        admitted = self._admitted(field, shifts)
        visits = [self._visit(field, case, in_force.get(case.number), usable) for case in admitted]
        used = {visit.place for visit in visits} | {place for shift in shifts for place in _ends(shift)}
        now = field.now
        return Problem(
            places=tuple(place for place in field.world.places if place.id in used),
            shifts=tuple(_shifted(shift, -now) for shift in shifts),
            visits=tuple(visits),
            prices=self._planning.prices(),
            pace=pace_from(field.world.reality.hour_factors, now, self._planning.look_ahead),
        )

    def _admitted(self, field: Field, shifts: list[Shift]) -> list[Case]:
        """Return what is planned now: emergencies, who was told, then the oldest up to the work of some hours.

        Of a backlog that does not fit into `filled` the newest calls wait outside; a plan of everything at once would
        do the short ones first and the long ones never.
        """
        until = field.now + self._planning.filled
        room = sum(max(0, min(shift.end, until) - max(shift.start, field.now)) for shift in shifts)
        order = sorted(
            field.waiting.values(),
            key=lambda case: (case.call.priority > EMERGENCY, case.told is None, case.call.due_at, case.number),
        )
        admitted: list[Case] = []
        for case in order[:MOST_PLANNED]:
            if room <= 0 and case.told is None and case.call.priority > EMERGENCY:
                break
            admitted.append(case)
            room -= case.call.planned_seconds
        return admitted

    def _working(self, field: Field) -> Iterator[Shift]:
        """Yield what is left of each shift within the look-ahead, from when and where its technician will be free."""
        until = field.now + self._planning.look_ahead
        for shift in field.world.shifts:
            if shift.start >= until:
                return
            worker = field.workers.get(shift.id)
            if shift.id in field.absent or shift.end <= field.now or (worker is None and shift.start < field.now):
                continue
            left = shift if worker is None else _left(field, worker)
            if left.start < left.end:
                yield left

    def _visit(self, field: Field, case: Case, due: tuple[str, int] | None, shifts: dict[str, Shift]) -> Visit:
        now, call, planning = field.now, case.call, self._planning
        placed = planning.backlog.placed(call.priority, call.planned_seconds, call.due_at - now, planning.prices())
        frozen = due is not None and due[0] in shifts and due[1] <= now + planning.frozen
        known = due
        if case.told is not None and not frozen:
            known = (case.told.shift, case.told.start)
        return Visit(
            id=str(case.number),
            place=call.place,
            duration=call.planned_seconds,
            priority=placed.priority,
            earliest=max(0, case.release - now),
            commitment_due=call.due_at - now,
            commitment_margin=placed.margin,
            delay_per_mille=placed.delay_per_mille,
            skills=call.skills,
            told=case.told is not None,
            previous=None if known is None else Previous(shift=known[0], start=known[1] - now),
            frozen=frozen,
        )


def pace_from(hour_factors: Sequence[float], now: int, ahead: int) -> Pace | None:
    """Return how fast traffic moves from now on, as the office has learnt it; None where all hours are alike."""
    if len(set(hour_factors)) == 1:
        return None
    first = now // HOUR
    hours = range(first, first + ahead // HOUR + DAY // HOUR)
    return Pace(
        begins=first * HOUR - now,
        per_mille=tuple(round(PER_MILLE / hour_factors[hour % len(hour_factors)]) for hour in hours),
    )


def _left(field: Field, worker: Worker) -> Shift:
    """Return what is left of a shift: from when its technician is expected to be free, with the breaks to come."""
    shift, free = worker.shift, expected_free(field, worker)
    coming: list[Break] = []
    for pause in worker.breaks:
        if pause.earliest <= free:
            free += pause.duration  # taken as soon as they are free
        else:
            coming.append(pause)
    still_ahead = tuple(pause for pause in coming if pause.earliest >= free)
    return msgspec.structs.replace(shift, start=free, start_place=worker.place, breaks=still_ahead)


def _shifted(shift: Shift, by: int) -> Shift:
    breaks = tuple(
        Break(earliest=pause.earliest + by, latest=pause.latest + by, duration=pause.duration) for pause in shift.breaks
    )
    return msgspec.structs.replace(shift, start=shift.start + by, end=shift.end + by, breaks=breaks)


def _ends(shift: Shift) -> tuple[str, str]:
    return shift.start_place, shift.end_place


def _route(shift: Shift, visits: list[str]) -> Route:
    """Return a route of which only the order counts: whoever proposes places simulates it anew."""
    stops = tuple(
        Stop(visit=visit, arrival=0, start=0, departure=0, travel_seconds=0, travel_metres=0, waiting_seconds=0)
        for visit in visits
    )
    return Route(
        shift=shift.id, technician=shift.technician, leaves=0, stops=stops, rests=(), end=0, end_travel_seconds=0,
        end_travel_metres=0, overtime_seconds=0,
    )  # fmt: skip
