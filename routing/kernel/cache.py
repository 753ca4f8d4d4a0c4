"""Where compiled code lies, and whether it is there: asked without loading the compiler."""

import hashlib
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

ROUTING: Final = Path(__file__).parents[1]
INTERPRET: Final = "NUMBA_DISABLE_JIT"


def _sources() -> list[Path]:
    return [ROUTING / "arrays.py", ROUTING / "simulate.py", *sorted((ROUTING / "kernel").glob("*.py"))]


def folder() -> Path:
    """Return where compiled code lies: beside the sources, or in the person's cache where those cannot be written.

    numba looks at one file only when it decides whether its cache is still good, so the folder is named after all
    sources, the compiler and the interpreter.
    """
    digest = hashlib.sha256(f"{version('numba')} {sys.version}".encode())
    for source in _sources():
        digest.update(source.read_bytes())
    beside = ROUTING / "kernel" / "__pycache__"
    writable = os.access(beside if beside.exists() else beside.parent, os.W_OK)
    own = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "paigong"
    return (beside if writable else own) / digest.hexdigest()[:16]


def stamp() -> Path:
    """Return the file that exists once everything the search needs has been compiled."""
    return folder() / "compiled"


def prefer_compiled() -> None:
    """Let this process run the search as plain Python, with OR-Tools to improve plans, until it has been compiled.

    To be called before anything of `routing.simulate` is imported. Compiling takes about half a minute, and nobody
    should wait that long for a first plan.
    """
    if not stamp().exists():
        os.environ.setdefault(INTERPRET, "1")
