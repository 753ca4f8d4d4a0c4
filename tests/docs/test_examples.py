"""What the docs show is run: see pages.py for how a block asks for it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from bench.postgres import free_port
from tests.docs.pages import ADDRESS, Block, Page, appears, pages

BLOCK_SECONDS = 120
BETWEEN = "=== the next block ==="


def _environment(home: Path) -> dict[str, str]:
    """A newcomer's shell: our Python first, an empty home, none of our settings."""
    return {"PATH": f"{Path(sys.executable).parent}:{os.defpath}", "HOME": str(home), "LANG": "C.UTF-8"}


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, env=_environment(folder), check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=BLOCK_SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@contextmanager
def _demo_server(folder: Path) -> Generator[str]:
    """A demo server with its data below `folder`; the address it says it listens on."""
    command = [sys.executable, "-m", "backend.cli", "demo", "--port", str(free_port())]
    with subprocess.Popen(
        command, cwd=folder, env=_environment(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        assert server.stdout is not None
        try:
            yield _address_said(server.stdout)
        finally:
            server.send_signal(signal.SIGINT)
            server.stdout.read()


def _address_said(lines: Iterable[str]) -> str:
    said: list[str] = []
    for line in lines:
        said.append(line)
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        if found:
            return found[0]
    pytest.fail("the demo server did not start:\n" + "".join(said))


@pytest.mark.parametrize("page", [page for page in pages() if page.tested("bash")], ids=str)
def test_commands_do_what_the_page_shows(page: Page, tmp_path: Path) -> None:
    blocks = page.tested("bash")
    wants_server = any("server" in block.words for block in blocks)
    with _demo_server(tmp_path) if wants_server else nullcontext(ADDRESS) as address:
        script = f"\necho '{BETWEEN}'\n".join(re.sub(r"^\$ ", "", block.text, flags=re.MULTILINE) for block in blocks)
        output = _run(["bash", "-euo", "pipefail", "-c", script.replace(ADDRESS, address)], tmp_path)
    for block, printed in zip(blocks, output.replace(address, ADDRESS).split(BETWEEN + "\n"), strict=True):
        _compare(page, block, printed)


@pytest.mark.parametrize(
    ("page", "block"), [(page, block) for page in pages() for block in page.tested("python")], ids=str
)
def test_programs_do_what_the_page_shows(page: Page, block: Block, tmp_path: Path) -> None:
    _compare(page, block, _run([sys.executable, "-c", block.text], tmp_path))


def _compare(page: Page, block: Block, printed: str) -> None:
    expected = page.expected_after(block)
    if expected is not None:
        assert appears(expected, printed), f"{page}:{block.line} printed\n{printed}"


def test_the_first_page_is_tested() -> None:
    readme = pages()[0]
    assert readme.tested("bash"), "the README's walk is run, not only read"
