"""What the docs name exists: files, headings, make targets, commands with their options, settings."""

import re
import shlex
from urllib.parse import unquote

import click
import pytest

from backend.cli import main
from backend.settings import Settings
from tests.docs.pages import ROOT, Page, pages, read_page

TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
every_page = pytest.mark.parametrize("page", pages(), ids=str)


@every_page
def test_links_lead_somewhere(page: Page) -> None:
    broken = [link for link in page.links if not _leads_somewhere(page, link)]
    assert not broken


def _leads_somewhere(page: Page, link: str) -> bool:
    if re.match(r"(https?|mailto):", link):
        return True
    name, _, fragment = unquote(link).partition("#")
    target = (page.path.parent / name).resolve() if name else page.path
    if not target.exists() or not target.is_relative_to(ROOT):
        return False
    return not fragment or target.suffix != ".md" or fragment in read_page(target).anchors


@every_page
def test_make_targets_exist(page: Page) -> None:
    named = {word for line in page.commands for word in re.findall(r"(?:^|[;&(] *)make ([a-z][a-z-]*)\b", line)}
    assert named <= TARGETS


@every_page
def test_commands_and_their_options_exist(page: Page) -> None:
    wrong = [line for line in page.commands if (words := _our_command(line)) and not _is_understood(words)]
    assert not wrong


def _our_command(line: str) -> list[str]:
    """The words after `paigong`, however it is called; empty when the line is about something else."""
    found = re.search(r"(?:^|[\s;&|(])(?:\S*/)?(?:paigong|python3? -m backend\.cli) +([a-z-].*)", line)
    if not found:
        return []
    return shlex.split(re.split(r"[|;&>]", found[1])[0], comments=True)


def _is_understood(words: list[str]) -> bool:
    """Whether the words name commands down to the last one, and every option is one it takes."""
    command: click.Command = main
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        known = command.commands.get(words[0])
        if known is None:
            return False
        command, words = known, words[1:]
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    used = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    return used <= options | {"--help", "-h"}


@every_page
def test_settings_exist(page: Page) -> None:
    text = page.path.read_text("utf-8")
    named = {name.lower() for name in re.findall(r"\bPAIGONG_([A-Z][A-Z_]*[A-Z])\b", text)}
    assert named <= set(Settings.__struct_fields__)


@every_page
def test_files_named_exist(page: Page) -> None:
    paths = [
        code
        for code in page.code
        if re.fullmatch(r"(backend|sync|routing|migrations|tests|bench|docs|\.ci)/[\w./-]+", code)
    ]
    missing = [path for path in paths if not any(ROOT.glob(path.rstrip("/")))]
    assert not missing
