# pyright: basic
"""How functions are compiled: two decorators, so that nothing else imports numba.

Compiled code lies on disk and is loaded from there by later processes. numba looks at one file only when it decides
whether its cache is still good, so the cache's folder is named after all sources. With NUMBA_DISABLE_JIT=1 in the
environment the same functions run as plain Python, slowly: that is how the tests see inside them.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba
from numba.core import config

F = TypeVar("F", bound=Callable[..., Any])

ROUTING: Final = Path(__file__).parents[1]


def _sources() -> list[Path]:
    return [ROUTING / "arrays.py", ROUTING / "simulate.py", *sorted((ROUTING / "kernel").glob("*.py"))]


def _cache_folder() -> Path:
    """Return where compiled code lies: beside the sources, or in the person's cache where those cannot be written."""
    digest = hashlib.sha256(numba.__version__.encode())
    for source in _sources():
        digest.update(source.read_bytes())
    beside = ROUTING / "kernel" / "__pycache__"
    writable = os.access(beside if beside.exists() else beside.parent, os.W_OK)
    own = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "paigong"
    return (beside if writable else own) / digest.hexdigest()[:16]


FOLDER: Final = _cache_folder()
COMPILED: Final = FOLDER / "compiled"
"""Exists once everything the search needs has been compiled into this folder."""
INTERPRETED: Final = bool(config.DISABLE_JIT)
"""Whether functions run as plain Python."""
if not config.CACHE_DIR:
    config.CACHE_DIR = str(FOLDER)


def compiled(function: F) -> F:
    """Return `function` compiled on its first call, without Python's lock and without checks of bounds."""
    return cast("F", numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def inlined(function: F) -> F:
    """Return `function` compiled into each of its callers: for what takes less time than handing over its arguments."""
    return cast("F", numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)(function))
