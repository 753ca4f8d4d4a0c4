"""Each import contract catches what it is there for: copy the tree, add one bad line, and the check must fail."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("backend", "sync", "routing")
LINT = Path(sys.executable).parent / "lint-imports"

VIOLATIONS = [
    ("house", "sync/limits.py", "import backend.core.ids", "sync.limits -> backend.core.ids"),
    ("house", "routing/limits.py", "import sync.limits", "routing.limits -> sync.limits"),
    ("house", "sync/limits.py", "import routing.limits", "sync.limits -> routing.limits"),
    (
        "capabilities",
        "backend/people/models.py",
        "import backend.jobs.models",
        "people.models -> backend.jobs",
    ),
    ("capabilities", "backend/core/ids.py", "import backend.people.models", "core.ids -> backend.people.models"),
    ("capabilities", "backend/surveys/__init__.py", "", "backend.surveys"),
    ("files", "backend/forms/rules.py", "import backend.forms.models", "forms.rules -> backend.forms.models"),
    ("files", "backend/jobs/models.py", "import backend.jobs.actions", "jobs.models -> backend.jobs.actions"),
    ("files", "backend/jobs/schemas.py", "import backend.jobs.models", "jobs.schemas -> backend.jobs.models"),
    ("files", "backend/jobs/helpers.py", "", "backend.jobs.helpers"),
    ("core", "backend/core/ids.py", "import backend.core.db", "core.ids -> backend.core.db"),
    ("core", "backend/core/helpers.py", "", "backend.core.helpers"),
    ("solver", "backend/dispatch/plan.py", "import ortools", "backend.dispatch.plan -> ortools"),
    ("solver", "routing/problem.py", "import ortools.sat", "routing.problem -> ortools"),
    ("compiler", "routing/draft.py", "import numba", "routing.draft -> numba"),
    ("server", "backend/dispatch/desk.py", "import routing.desk", "routing.kernel.jit -> numba"),
    ("routing", "routing/check.py", "import routing.simulate", "routing.check -> routing.simulate"),
    ("routing", "routing/helpers.py", "", "routing.helpers"),
    ("sync", "sync/helpers.py", "", "sync.helpers"),
    ("pure", "sync/merge.py", "import sqlite3", "sync.merge -> sqlite3"),
    ("pure", "sync/merge.py", "import httpx", "sync.merge -> httpx"),
    ("pure", "routing/problem.py", "import sqlalchemy", "routing.problem -> sqlalchemy"),
    ("sync", "sync/merge.py", "import sync.client", "sync.merge -> sync.client"),
    ("product", "backend/settings.py", "import bench.postgres", "backend.settings -> bench"),
]


@pytest.fixture
def copied_tree(tmp_path: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "*.typ"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def _contracts() -> configparser.ConfigParser:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter", "utf-8")
    return contracts


def _lint(tree: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    wanted = [part for contract in contracts for part in ("--contract", contract)]
    return subprocess.run(
        [LINT, "--no-cache", "--no-logo", *wanted],
        cwd=tree, check=False, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", "COLUMNS": "300"},
    )  # fmt: skip


@pytest.mark.parametrize(("contract", "file", "line", "told"), VIOLATIONS)
def test_a_violation_is_caught_and_named(copied_tree: Path, contract: str, file: str, line: str, told: str) -> None:
    bad = copied_tree / file
    bad.parent.mkdir(exist_ok=True)
    with bad.open("a", encoding="utf-8") as source:
        source.write(f"\n{line}\n")
    checked = _lint(copied_tree, contract)
    assert checked.returncode == 1, checked.stdout + checked.stderr
    assert f"{_contracts()[f'importlinter:contract:{contract}']['name']} BROKEN" in checked.stdout
    assert told in checked.stdout


def test_every_contract_has_a_violation_above_and_holds_without_it(copied_tree: Path) -> None:
    names = [section.rpartition(":")[2] for section in _contracts().sections() if section.startswith("importlinter:c")]
    tried = {contract for contract, *_ in VIOLATIONS}
    assert set(names) == tried
    checked = _lint(copied_tree, *names)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"Contracts: {len(names)} kept, 0 broken" in checked.stdout


def test_the_order_of_files_is_held_in_every_capability() -> None:
    held = {name.strip() for name in _contracts()["importlinter:contract:files"]["containers"].split()}
    capabilities = {f"backend.{folder.parent.name}" for folder in (ROOT / "backend").glob("*/__init__.py")}
    assert capabilities - held == {"backend.core"}, "core has a contract of its own"
    assert held <= capabilities
