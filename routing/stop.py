"""When to stop searching: after some seconds, after some solutions, or when told to."""

from collections.abc import Callable
from dataclasses import dataclass

from routing.limits import MAX_SOLUTIONS, MAX_SOLVE_SECONDS
from routing.problem import ProblemError


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
            raise ProblemError("stop_without_limit", "stop", limit=int(MAX_SOLVE_SECONDS))
        if self.seconds is not None and not 0 < self.seconds <= MAX_SOLVE_SECONDS:
            raise ProblemError("stop_without_limit", "stop.seconds", limit=int(MAX_SOLVE_SECONDS))
        if self.solutions is not None and not 0 < self.solutions <= MAX_SOLUTIONS:
            raise ProblemError("stop_without_limit", "stop.solutions", limit=MAX_SOLUTIONS)
