"""What keeps the project fit for strangers: reasons beside dependencies, locks that hold anywhere, no local paths."""

import re
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.tidy.source import ROOT, is_product, name_of, project_files, python_files, source

PYPROJECT = (ROOT / "pyproject.toml").read_text("utf-8")
LOCKS = ("requirements.lock", "requirements-dev.lock")
TEXT = {
    ".py",
    ".md",
    ".toml",
    ".ini",
    ".lock",
    ".sh",
    ".yml",
    ".yaml",
    ".json",
    ".ts",
    ".js",
    ".svelte",
    ".html",
    ".css",
    "",
}
MACHINE_PATHS = re.compile(r"(?<![\w.$}])/(?:home|Users|work|root|tmp|opt|mnt)/\w", re.ASCII)
BASIC_TYPES = re.compile(r"^#\s*pyright:\s*(basic|standard|false)", re.MULTILINE)

MAY_BE_BASIC = {
    "routing/kernel/jit.py": "numba carries no types",
    "backend/dispatch/twin_plot.py": "matplotlib leaves half of its types unknown",
    "bench/sync/raw.py": "asyncpg, used by itself, carries no types",
    "routing/ortools/exact.py": "OR-Tools' Python wrapper is generated and carries no types",
    "routing/ortools/model.py": "OR-Tools' Python wrapper is generated and carries no types",
    "routing/travel/osm.py": "osmium's classes are made by pybind11",
    "routing/travel/roads.py": "scipy carries no types",
}
"""Files that wrap a library without types, and the library."""


NOT_IMPORTED = {
    "aiosqlite": "SQLAlchemy loads it by the database's URL",
    "httptools": "uvicorn uses it when it is there",
    "uvloop": "uvicorn uses it when it is there",
    "tzdata": "zoneinfo reads it where the system has no time zones",
}
"""Run-time dependencies that no line of ours imports, and who does."""


def _project() -> dict[str, list[str]]:
    parsed = tomllib.loads(PYPROJECT)
    return {
        "runtime": parsed["project"]["dependencies"],
        "extras": list(chain(*parsed["project"]["optional-dependencies"].values())),
        "development": parsed["dependency-groups"]["dev"],
    }


def _locked(name: str) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9_.-]+)==([^ \\]+)", (ROOT / name).read_text("utf-8"), re.MULTILINE)
    return {canonicalize_name(package): version for package, version in found}


def test_every_dependency_says_why_it_is_there() -> None:
    for requirement in chain(*_project().values()):
        line = next(line for line in PYPROJECT.splitlines() if f'"{requirement}"' in line)
        assert line.partition("  # ")[2].strip(), f"{requirement} has no reason beside it"


def test_what_the_product_imports_is_what_it_depends_on() -> None:
    distributions = packages_distributions()
    imported = {
        canonicalize_name(distribution)
        for file in python_files()
        if is_product(file)
        for package in {name.partition(".")[0] for name in source(file).imports}
        for distribution in distributions.get(package, ())
    } - {"paigong"}
    extras = {canonicalize_name(Requirement(text).name) for text in _project()["extras"]}
    assert extras <= imported, "an extra that nobody imports need not be offered"
    assert set(_project()["extras"]) <= set(_project()["development"]), "what is an extra must be tested too"
    declared = {canonicalize_name(Requirement(text).name) for text in _project()["runtime"]} | extras
    assert imported <= declared, "declare in pyproject.toml what is imported, then make lock"
    assert declared - imported == set(NOT_IMPORTED), "what nobody imports need not be installed"


@pytest.mark.parametrize(("kind", "lock"), [("runtime", LOCKS[0]), ("development", LOCKS[1])])
def test_what_the_project_asks_for_is_locked_at_a_version_it_accepts(kind: str, lock: str) -> None:
    locked = _locked(lock)
    for asked in map(Requirement, _project()[kind]):
        name = canonicalize_name(asked.name)
        assert name in locked, f"{asked} is not in {lock}: make lock"
        assert asked.specifier.contains(locked[name]), f"{lock} has {asked.name} {locked[name]}, asked is {asked}"


def test_both_locks_agree() -> None:
    runtime, development = map(_locked, LOCKS)
    assert {name: development[name] for name in runtime.keys() & development} == {
        name: runtime[name] for name in runtime.keys() & development
    }


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_hold_hashes_and_no_place_to_fetch_from(lock: str) -> None:
    text = (ROOT / lock).read_text("utf-8")
    entries = re.split(r"\n(?=\S)", text)
    pinned = [entry for entry in entries if "==" in entry.partition("\n")[0] and not entry.startswith("#")]
    assert pinned
    assert all("--hash=sha256:" in entry for entry in pinned)
    assert not re.search(r"https?:|file:/|--index-url|--extra-index-url|--find-links| @ ", text)


def test_no_path_of_one_machine() -> None:
    found = {
        f"{name_of(file)}:{number}"
        for file in project_files()
        if file.suffix in TEXT
        for number, line in enumerate(file.read_text("utf-8", "replace").splitlines(), 1)
        if MACHINE_PATHS.search(line)
    }
    assert not found


def test_types_are_strict_but_for_the_listed_wrappers() -> None:
    basic = {name_of(file) for file in python_files() if BASIC_TYPES.search(file.read_text("utf-8"))}
    assert basic == set(MAY_BE_BASIC)


def test_nothing_is_left_for_later() -> None:
    unfinished = re.compile(r"\bNotImplementedError\b|#\s*(TODO|FIXME|XXX|HACK)\b")
    found = [name_of(file) for file in python_files() if unfinished.search(file.read_text("utf-8"))]
    assert [name for name in found if not name.startswith("tests/tidy/")] == []


def test_tests_replace_nothing_by_mocks() -> None:
    for file in python_files():
        assert not source(file).imports & {"unittest.mock", "mock", "pytest_mock"}, name_of(file)
