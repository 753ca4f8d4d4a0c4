"""Who is where, what is under way, what waits: the state of the simulated service, and the laws it moves by."""

from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Final, Literal, TypeAlias

from routing.problem import Break, Shift
from routing.twin.world import DAY, HOUR, MOST_ATTEMPTS, Call, Fate, World

NOBODY_WAIT: Final = 15 * 60
"""How long a technician waits where nobody answers the door."""
AGAIN_AFTER: Final = 4 * HOUR
"""How long after finding nobody there the visit may be tried again."""
LEAST_REMAINING: Final = 5 * 60
"""What work that has outlasted its plan is expected to take still."""
TOLD_TOLERANCE: Final = HOUR
"""A customer told of a time is moved when it changes by more, or another technician is to come."""

EventKind: TypeAlias = Literal["day", "call", "begin", "van", "arrive", "wake", "tick"]
ActivityKind: TypeAlias = Literal["drive", "work", "nobody", "rest", "home"]


@dataclass(frozen=True, slots=True)
class Activity:
    """One thing a technician did. `table_seconds`: what the travel table says of a drive; 0 for everything else."""

    technician: str
    shift: str
    kind: ActivityKind
    start: int
    end: int
    origin: str
    destination: str
    case: int | None = None
    table_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """What a customer was told: who comes (that shift's technician), and when."""

    shift: str
    start: int


@dataclass(slots=True)
class Case:
    """A call and what became of it. `arrived_at`: when first somebody came and found the customer there."""

    number: int
    call: Call
    fate: Fate
    release: int = 0
    attempts: int = 0
    told: Told | None = None
    moves: list[int] = field(default_factory=list[int])
    """When this customer was told another time or technician, or met one."""
    arrived_at: int | None = None
    done_at: int | None = None
    given_up_at: int | None = None


@dataclass(slots=True)
class Task:
    """A visit under way: who goes, when they should arrive as the table has it, and when they do."""

    case: Case
    expected_arrival: int
    arrival: int
    end: int
    nobody: bool
    arrived: bool = False


@dataclass(slots=True)
class Worker:
    """A technician on shift. `place`: where they are, or will be after the visit under way."""

    shift: Shift
    place: str
    breaks: list[Break]
    busy_until: int = 0
    task: Task | None = None
    out: bool = False
    """The van has stopped for the day: what is under way is finished, nothing else is begun."""


@dataclass(slots=True)
class Counts:
    """Seconds and occurrences of one day."""

    travel: int = 0
    overtime: int = 0
    done: int = 0
    nobody: int = 0
    moved: int = 0
    waiting: int = 0


class Calendar:
    """What is still to happen, and what time it is."""

    def __init__(self) -> None:
        self.now = 0
        self._events: list[tuple[int, int, EventKind, str]] = []
        self._wakes: set[tuple[int, str]] = set()
        self._number = 0

    def plan_event(self, at: int, kind: EventKind, which: str = "") -> None:
        """Let something happen at `at`; what is planned first happens first among equals. One waking is enough."""
        if kind == "wake":
            if (at, which) in self._wakes:
                return
            self._wakes.add((at, which))
        self._number += 1
        heappush(self._events, (at, self._number, kind, which))

    def next_event(self) -> tuple[EventKind, str] | None:
        """Move on to the next event and return it, or None when there is none."""
        if not self._events:
            return None
        self.now, _, kind, which = heappop(self._events)
        self._wakes.discard((self.now, which))
        return kind, which


class Field(Calendar):
    """The simulated service at one moment, `now`. Policies read it, and act on it as `Policy` says."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.cases = [Case(n, call, fate) for n, (call, fate) in enumerate(zip(world.calls, world.fates, strict=True))]
        self.waiting: dict[int, Case] = {}
        self.workers: dict[str, Worker] = {}
        """Who is on shift now, by shift."""
        self.absent: set[str] = set()
        """Shifts known to be lost: ill, or without a van."""
        self.log: list[Activity] = []
        self.days = [Counts() for _ in range(world.end // DAY + 2)]

    @property
    def today(self) -> Counts:
        """Return the counts of the day it is."""
        return self.days[self.now // DAY]

    def take_call(self, number: int) -> Case:
        """A call comes in."""
        case = self.cases[number]
        case.release = self.now
        self.waiting[number] = case
        return case

    def begin_shift(self, shift: Shift) -> bool:
        """A shift begins, unless its technician is ill; return whether it does."""
        if shift.id in self.world.ill:
            self.absent.add(shift.id)
            return False
        self.workers[shift.id] = Worker(shift, shift.start_place, list(shift.breaks))
        for pause in shift.breaks:
            self.plan_event(max(self.now, pause.earliest), "wake", shift.id)
        self._plan_way_home(self.workers[shift.id])
        return True

    def stop_van(self, shift: str) -> None:
        """The van of a shift stops: nothing more is begun on it."""
        self.absent.add(shift)
        if shift in self.workers:
            self.workers[shift].out = True

    def is_free(self, worker: Worker) -> bool:
        """Return whether the technician could set out now."""
        return worker.task is None and worker.busy_until <= self.now and not worker.out

    def can_go(self, worker: Worker, case: Case, *, overtime: int) -> bool:
        """Return whether the technician knows the work and is expected home at most `overtime` after the shift."""
        world, place = self.world, case.call.place
        leg = world.table(worker.place, place) + world.table(place, worker.shift.end_place)
        able = set(case.call.skills) <= set(worker.shift.skills)
        return able and self.now + leg + case.call.planned_seconds <= worker.shift.end + overtime

    def send(self, worker: Worker, case: Case) -> None:
        """Send a free technician to a waiting case, now. The customer hears of it if they have not."""
        world, call, attempt = self.world, case.call, case.attempts
        if not self.is_free(worker) or case.number not in self.waiting or self.now < case.release:
            raise AssertionError(f"{worker.shift.id} cannot set out for {call.id} at {self.now}")
        del self.waiting[case.number]
        table = world.table(worker.place, call.place)
        arrival = self.now + world.drive(worker.place, call.place, self.now, case.fate.drive_factors[attempt])
        nobody = case.fate.nobody_there[attempt]
        end = arrival + (NOBODY_WAIT if nobody else case.fate.work_seconds[attempt])
        self.tell(case, Told(worker.shift.id, case.told.start if case.told else self.now + table))
        worker.task = Task(case, self.now + table, arrival, end, nobody)
        worker.busy_until = end
        self._record(worker, "drive", arrival, call.place, case=case.number, table=table)
        worker.place = call.place
        self.plan_event(arrival, "arrive", worker.shift.id)
        self.plan_event(end, "wake", worker.shift.id)

    def tell(self, case: Case, told: Told | None) -> None:
        """Tell a customer of a time, or that it is off; who was told otherwise before is moved."""
        before = case.told
        if before is None or told is None:
            moved = before is not told and before is not None
        else:
            moved = before.shift != told.shift or abs(before.start - told.start) > TOLD_TOLERANCE
        if moved:
            _count_move(self, case)
        if moved or before is None:
            case.told = told

    def arrive(self, worker: Worker) -> None:
        """The technician arrives."""
        task = worker.task
        if task is None or task.arrived or task.arrival != self.now:
            raise AssertionError(f"{worker.shift.id} arrives nowhere at {self.now}")
        task.arrived = True
        case = task.case
        if case.told is not None and abs(case.told.start - self.now) > TOLD_TOLERANCE:
            _count_move(self, case)
        if not task.nobody and case.arrived_at is None:
            case.arrived_at = self.now

    def wake(self, worker: Worker) -> None:
        """Something may be over: end the visit under way, take a break that is due."""
        if worker.busy_until > self.now:
            return
        if worker.task is not None:
            self._end_visit(worker, worker.task)
        if worker.breaks and worker.breaks[0].earliest <= self.now and not worker.out:
            pause = worker.breaks.pop(0)
            worker.busy_until = self.now + pause.duration
            self._record(worker, "rest", worker.busy_until, worker.place)
            self.plan_event(worker.busy_until, "wake", worker.shift.id)

    def go_home_if_due(self, worker: Worker) -> None:
        """End the shift of a technician with nothing to do: the van has stopped, or it is time to set out for home."""
        if worker.task is not None or worker.busy_until > self.now:
            return
        shift = worker.shift
        if worker.out:
            del self.workers[shift.id]
            return
        table = self.world.table(worker.place, shift.end_place)
        if self.now + table < shift.end:
            self._plan_way_home(worker)
            return
        home = self.now + self.world.drive(worker.place, shift.end_place, self.now, self.world.homeward[shift.id])
        self._record(worker, "home", home, shift.end_place, table=table)
        self.today.overtime += max(0, home - shift.end)
        del self.workers[shift.id]

    def _plan_way_home(self, worker: Worker) -> None:
        leave = worker.shift.end - self.world.table(worker.place, worker.shift.end_place)
        if leave > self.now:
            self.plan_event(leave, "wake", worker.shift.id)

    def _end_visit(self, worker: Worker, task: Task) -> None:
        case = task.case
        worker.task = None
        self.log.append(
            Activity(
                worker.shift.technician, worker.shift.id, "nobody" if task.nobody else "work", task.arrival, task.end,
                worker.place, worker.place, case.number,
            )
        )  # fmt: skip
        case.attempts += 1
        case.told = None
        if not task.nobody:
            case.done_at = self.now
            self.today.done += 1
        else:
            self.today.nobody += 1
            case.release = self.now + AGAIN_AFTER
            if case.attempts >= MOST_ATTEMPTS:
                case.given_up_at = self.now
            else:
                self.waiting[case.number] = case
                self.plan_event(case.release, "wake")

    def _record(
        self, worker: Worker, kind: ActivityKind, end: int, destination: str, *, case: int | None = None, table: int = 0
    ) -> None:
        if kind in {"drive", "home"}:
            self.today.travel += end - self.now
        shift = worker.shift
        activity = Activity(shift.technician, shift.id, kind, self.now, end, worker.place, destination, case, table)
        self.log.append(activity)


def expected_free(field: Field, worker: Worker) -> int:
    """Return when a technician is expected to be free, as far as the office can tell."""
    task, now = worker.task, field.now
    if task is None:
        return max(now, worker.busy_until)
    if not task.arrived:
        return max(task.expected_arrival, now + 60) + task.case.call.planned_seconds
    length = NOBODY_WAIT if task.nobody else task.case.call.planned_seconds
    return max(task.arrival + length, now + LEAST_REMAINING)


def _count_move(field: Field, case: Case) -> None:
    case.moves.append(field.now)
    field.today.moved += 1
