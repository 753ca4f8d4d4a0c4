"""One policy living through one world, event by event."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from routing.twin.field import Activity, Case, Counts, EventKind, Field, Worker
from routing.twin.world import DAY, World


class Policy(Protocol):
    """Decides who goes where, and when. It may read all of `Field` but the fates of its cases.

    It acts through `send`, `tell` and, to be asked again at a moment, `plan_event` alone.
    """

    def called(self, field: Field, case: Case) -> None:
        """A call came in."""
        ...

    def lost(self, field: Field, shift: str) -> None:
        """A shift will bring nothing more: its technician is ill, or the van has stopped."""
        ...

    def tick(self, field: Field) -> None:
        """A fixed moment to plan."""
        ...

    def holds(self, worker: Worker) -> bool:
        """Return whether an idle technician is to stay for something."""
        ...

    def act(self, field: Field) -> None:
        """Send whoever should set out now; asked after everything that happens."""
        ...


@dataclass(frozen=True)
class Outcome:
    """What became of a world under a policy. `days`: counts of each whole day; fewer than lived when cancelled."""

    world: World
    cases: tuple[Case, ...]
    waiting: int
    days: tuple[Counts, ...]
    log: tuple[Activity, ...]
    cancelled: bool


def _never() -> bool:
    return False


def _silent(_day: int, _of: int) -> None:
    return None


def live(
    world: World,
    policy: Policy,
    *,
    every: int,
    on_day: Callable[[int, int], None] = _silent,
    cancelled: Callable[[], bool] = _never,
) -> Outcome:
    """Let `policy` dispatch `world` and return what became of it.

    `every`: seconds between the moments to plan. `on_day` is told each day that is over, and of how many. Once
    `cancelled` answers True the run ends, and the outcome holds the days that are over.
    """
    field = Field(world)
    _expect(field, every)
    days = 0
    while (event := field.next_event()) is not None and field.now < world.end and not cancelled():
        kind, which = event
        if kind == "day":
            days = field.now // DAY
            field.days[days - 1].waiting = _open(field)
            on_day(days, world.end // DAY)
            continue
        _happen(field, policy, kind, which)
        policy.act(field)
        for worker in list(field.workers.values()):
            if not policy.holds(worker) or worker.out:
                field.go_home_if_due(worker)
    over = event is None or field.now >= world.end
    if over:
        days = world.end // DAY
        field.days[days - 1].waiting = _open(field)
        on_day(days, days)
    return Outcome(world, tuple(field.cases), _open(field), tuple(field.days[:days]), tuple(field.log), not over)


def _expect(field: Field, every: int) -> None:
    """Put everything that happens from outside into the calendar."""
    world = field.world
    for day in range(1, world.end // DAY):
        field.plan_event(day * DAY, "day")
    for number, call in enumerate(world.calls):
        field.plan_event(call.received_at, "call", str(number))
    for number, shift in enumerate(world.shifts):
        if shift.end > 0:
            field.plan_event(max(0, shift.start), "begin", str(number))
    for shift, at in world.van_stops.items():
        field.plan_event(max(0, at), "van", shift)
    for at in range(0, world.end, every):
        field.plan_event(at, "tick")


def _happen(field: Field, policy: Policy, kind: EventKind, which: str) -> None:
    if kind == "call":
        policy.called(field, field.take_call(int(which)))
    elif kind == "begin":
        shift = field.world.shifts[int(which)]
        if not field.begin_shift(shift):
            policy.lost(field, shift.id)
    elif kind == "van":
        field.stop_van(which)
        policy.lost(field, which)
    elif kind == "tick":
        policy.tick(field)
    elif which in field.workers:
        worker = field.workers[which]
        if kind == "arrive":
            field.arrive(worker)
        else:
            field.wake(worker)


def _open(field: Field) -> int:
    """Return how many calls are in and neither done nor given up, whether they wait or somebody is on the way."""
    under_way = sum(worker.task is not None for worker in field.workers.values())
    return len(field.waiting) + under_way
