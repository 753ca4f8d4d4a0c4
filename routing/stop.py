"""When to stop searching: after some seconds, after some solutions, or when told to."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from routing.limits import FIRST_PLAN_GRACE, MAX_SOLUTIONS, MAX_SOLVE_SECONDS, REPORT_SECONDS
from routing.plan import Status
from routing.problem import ProblemError

LEAST_SECONDS: Final = 0.001
"""What a share of the time lasts at least: by the clock there may be nothing left of what there was a moment ago."""


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class StopWhen:
    """Limits of one search; at least one of `seconds` and `solutions` is given.

    `seconds`: wall time. `solutions`: plans looked at by the solver; a run bounded by solutions alone repeats exactly.
    `cancelled`: asked often, from the searching thread; once it answers True the best plan so far is returned.
    """

    seconds: float | None = None
    solutions: int | None = None
    cancelled: Callable[[], bool] = _never

    def __post_init__(self) -> None:
        """Refuse limits that are missing, not positive, or beyond `routing.limits`."""
        if self.seconds is None and self.solutions is None:
            raise ProblemError("stop_limit", "stop", limit=int(MAX_SOLVE_SECONDS))
        if self.seconds is not None and not 0 < self.seconds <= MAX_SOLVE_SECONDS:
            raise ProblemError("stop_limit", "stop.seconds", limit=int(MAX_SOLVE_SECONDS))
        if self.solutions is not None and not 0 < self.solutions <= MAX_SOLUTIONS:
            raise ProblemError("stop_limit", "stop.solutions", limit=MAX_SOLUTIONS)


class Budget:
    """What is left of a `StopWhen`, from the moment this is made."""

    def __init__(self, stop: StopWhen) -> None:
        self._stop = stop
        self._started = time.monotonic()
        self._cancelled = False
        self._reported = -REPORT_SECONDS
        self.solutions = 0

    @property
    def by_seconds(self) -> bool:
        """Return whether wall time limits the search, so that it need not repeat exactly."""
        return self._stop.seconds is not None

    def time_to_report(self) -> bool:
        """Return whether REPORT_SECONDS are over since this last said so."""
        if self.elapsed - self._reported < REPORT_SECONDS:
            return False
        self._reported = self.elapsed
        return True

    @property
    def elapsed(self) -> float:
        """Return the seconds since the search began."""
        return time.monotonic() - self._started

    @property
    def seconds_left(self) -> float | None:
        """Return the seconds left, 0 at least, or None when time is not limited."""
        return None if self._stop.seconds is None else max(0.0, self._stop.seconds - self.elapsed)

    @property
    def solutions_left(self) -> int | None:
        """Return the solutions left, 0 at least, or None when they are not limited."""
        return None if self._stop.solutions is None else max(0, self._stop.solutions - self.solutions)

    @property
    def share(self) -> float:
        """Return the part of the limits that is used up, 0 to 1."""
        shares = [0.0]
        if self._stop.seconds is not None:
            shares.append(self.elapsed / self._stop.seconds)
        if self._stop.solutions is not None:
            shares.append(self.solutions / self._stop.solutions)
        return min(1.0, max(shares))

    def slice(self, rounds: int) -> "Budget":
        """Return one of `rounds` equal shares of what is left."""
        seconds, solutions = self.seconds_left, self.solutions_left
        return Budget(
            StopWhen(
                seconds=None if seconds is None else max(LEAST_SECONDS, seconds / rounds),
                solutions=None if solutions is None else max(1, solutions // rounds),
                cancelled=self.cancelled,
            )
        )

    def cancelled(self) -> bool:
        """Return whether somebody asked to stop; once true it stays true."""
        self._cancelled = self._cancelled or self._stop.cancelled()
        return self._cancelled

    def out_of_time(self) -> bool:
        """Return whether the search was cancelled or its seconds are over."""
        return self.cancelled() or self.seconds_left == 0.0

    def overdue(self) -> bool:
        """Return whether even a first plan must end: cancelled, or FIRST_PLAN_GRACE after the seconds are over."""
        limit = self._stop.seconds
        return self.cancelled() or (limit is not None and self.elapsed > limit + FIRST_PLAN_GRACE)

    def spent(self) -> Status | None:
        """Return why the search must end now, or None while it may go on."""
        if self.cancelled():
            return "cancelled"
        if self.seconds_left == 0.0:
            return "seconds"
        return "solutions" if self.solutions_left == 0 else None
