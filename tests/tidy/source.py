"""The project's own files, found and parsed once, for the tests that look at code."""

import ast
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


@cache
def syntax(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"), str(file))


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def is_product(file: Path) -> bool:
    return file.relative_to(ROOT).parts[0] in PRODUCT


def functions(file: Path) -> list[Function]:
    return [node for node in ast.walk(syntax(file)) if isinstance(node, Function)]


def classes(file: Path) -> list[ast.ClassDef]:
    return [node for node in ast.walk(syntax(file)) if isinstance(node, ast.ClassDef)]


def lines_of(node: Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def methods_of(node: ast.ClassDef) -> int:
    return sum(isinstance(part, Function) for part in node.body)
