"""The project's own files, found and read once, for the tests that look at code."""

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("backend", "sync", "routing")
FOLDERS = (*PRODUCT, "bench", "migrations", "tests", "docs", "web", ".ci")
NOT_OURS = {"__pycache__", "node_modules", "dist", "out"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def project_files() -> tuple[Path, ...]:
    """Every file of the project, but for what is installed or made by running it."""
    at_top = [path for path in ROOT.iterdir() if path.is_file() and not path.name.startswith(".coverage")]
    below = [
        path
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and not NOT_OURS & set(path.relative_to(ROOT).parts)
    ]
    return tuple(sorted(at_top + below))


@cache
def python_files() -> tuple[Path, ...]:
    return tuple(file for file in project_files() if file.suffix == ".py")


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def is_product(file: Path) -> bool:
    return file.relative_to(ROOT).parts[0] in PRODUCT


@dataclass(frozen=True)
class Source:
    """What these tests ask of a Python file.

    Its syntax tree is not kept: all of them together are millions of objects, and looking for garbage among those took
    longer than every test here.
    """

    functions: tuple[tuple[str, int], ...]
    """Names and lines, also of methods and of functions in functions."""
    classes: tuple[tuple[str, int], ...]
    """Names and how many methods."""
    imports: frozenset[str]
    """Modules, and what is taken from them as `module.name`, wherever in the file."""


@cache
def source(file: Path) -> Source:
    """Read a file, once."""
    nodes = list(ast.walk(ast.parse(file.read_text("utf-8"), str(file))))
    return Source(
        functions=tuple((node.name, _lines_of(node)) for node in nodes if isinstance(node, Function)),
        classes=tuple((node.name, _methods_of(node)) for node in nodes if isinstance(node, ast.ClassDef)),
        imports=frozenset(name for node in nodes for name in _imported(node)),
    )


def _lines_of(node: Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _methods_of(node: ast.ClassDef) -> int:
    return sum(isinstance(part, Function) for part in node.body)


def _imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.module:
        return {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return set()
