"""The yardstick: first come, first served, to the nearest technician who is free when the call can be served."""

from typing import Final

from routing.twin.field import Case, Field, Worker
from routing.twin.world import DAY

OVERTIME_WHEN_DUE_WITHIN: Final = DAY
"""A call that would miss its commitment by tomorrow may be served in the overtime the shift allows."""


class Nearest:
    """Walks the queue from the oldest call whenever anything changes; nothing is planned ahead."""

    def called(self, field: Field, case: Case) -> None:
        """A call came in; `act` sees to it."""

    def lost(self, field: Field, shift: str) -> None:
        """A shift is lost; nothing was planned on it."""

    def tick(self, field: Field) -> None:
        """A moment to plan; there is no plan."""

    def holds(self, worker: Worker) -> bool:  # noqa: ARG002 - what other policies ask
        """Nobody waits for anything but the next call."""
        return False

    def act(self, field: Field) -> None:
        """Send the nearest free technician to each call that waits, oldest call first."""
        free = [worker for worker in field.workers.values() if field.is_free(worker)]
        for case in sorted(field.waiting.values(), key=lambda case: case.number):
            if not free:
                return
            chosen = self._nearest(field, case, free) if case.release <= field.now else None
            if chosen is not None:
                free.remove(chosen)
                field.send(chosen, case)

    def _nearest(self, field: Field, case: Case, free: list[Worker]) -> Worker | None:
        urgent = case.call.due_at - field.now <= OVERTIME_WHEN_DUE_WITHIN
        able = [
            worker
            for worker in free
            if field.can_go(worker, case, overtime=worker.shift.overtime_allowed if urgent else 0)
        ]
        return min(
            able,
            key=lambda worker: (field.world.table(worker.place, case.call.place), worker.shift.id),
            default=None,
        )
