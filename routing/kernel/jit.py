# pyright: basic
"""How functions are compiled: two decorators, so that nothing else imports numba.

Compiled code lies on disk (`routing.kernel.cache`) and is loaded from there by later processes. With
NUMBA_DISABLE_JIT=1 in the environment the same functions run as plain Python, slowly: so tests can see inside them.
"""

import os
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from routing.kernel.cache import INTERPRET, folder

os.environ.setdefault("NUMBA_CACHE_DIR", str(folder()))  # read when numba is loaded

import numba

F = TypeVar("F", bound=Callable[..., Any])

OPTIONS: Final[dict[str, Any]] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}
"""How everything is compiled: without checks of bounds and without numba's runtime. Nothing here makes an array, the
caller holds all of them, and counting references to them, atomically at every call, took three quarters of the time."""

INTERPRETED: Final = os.environ.get(INTERPRET, "0") not in {"", "0"}
"""Whether functions run as plain Python."""


def compiled(function: F) -> F:
    """Return `function` compiled on its first call, without Python's lock and without checks of bounds."""
    return cast("F", numba.njit(**OPTIONS)(function))


def inlined(function: F) -> F:
    """Return `function` compiled into each of its callers: for what takes less time than handing over its arguments."""
    return cast("F", numba.njit(forceinline=True, **OPTIONS)(function))
