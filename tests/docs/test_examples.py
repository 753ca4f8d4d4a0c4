"""What the docs show is run: see pages.py for how a block asks for it."""

import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from bench.server import newcomers_environment
from tests.databases import Databases
from tests.docs.city import served_city
from tests.docs.pages import ADDRESS, Block, Page, appears, pages

BLOCK_SECONDS = 120
BETWEEN = "=== the next block ==="


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, env=newcomers_environment(folder), timeout=BLOCK_SECONDS,
        check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("page", [page for page in pages() if page.tested("bash")], ids=str)
def test_commands_do_what_the_page_shows(page: Page, databases: Databases, tmp_path: Path) -> None:
    blocks = page.tested("bash")
    wants_server = any("server" in block.words for block in blocks)
    with served_city(databases, tmp_path) if wants_server else nullcontext(ADDRESS) as address:
        script = f"\necho '{BETWEEN}'\n".join(re.sub(r"^\$ ", "", block.text, flags=re.MULTILINE) for block in blocks)
        output = _run(["bash", "-euo", "pipefail", "-c", script.replace(ADDRESS, address)], tmp_path)
    for block, printed in zip(blocks, output.replace(address, ADDRESS).split(BETWEEN + "\n"), strict=True):
        assert _as_shown(page, block, printed), f"{page}:{block.line} printed\n{printed}"


@pytest.mark.parametrize(
    ("page", "block"), [(page, block) for page in pages() for block in page.tested("python")], ids=str
)
def test_programs_do_what_the_page_shows(page: Page, block: Block, tmp_path: Path) -> None:
    printed = _run([sys.executable, "-c", block.text], tmp_path)
    assert _as_shown(page, block, printed), f"{page}:{block.line} printed\n{printed}"


def _as_shown(page: Page, block: Block, printed: str) -> bool:
    expected = page.expected_after(block)
    return expected is None or appears(expected, printed)


def test_the_first_page_is_tested() -> None:
    readme = pages()[0]
    assert readme.tested("bash"), "the README's walk is run, not only read"
