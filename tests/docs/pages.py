"""README and docs as the tests see them: links, words set as code, and fenced blocks with what is asked of them.

A fenced block is run when its info string says so:

    ```bash tested            commands; the blocks of a page run in one shell, in order, in an empty folder
    ```bash tested server     the same, and a demo server runs meanwhile; http://127.0.0.1:8300 stands for its address
    ```python tested          a Python program, on its own
    ```text expected          what the block above printed; three dots stand for anything in a line, and a line of
                              three dots for any number of lines
"""

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
ADDRESS = "http://127.0.0.1:8300"


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the words after it, its text, and the line it begins on."""

    language: str
    words: frozenset[str]
    text: str
    line: int


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path
    links: tuple[str, ...] = ()
    anchors: frozenset[str] = frozenset()
    code: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = field(default=())

    def __str__(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def commands(self) -> tuple[str, ...]:
        """Each line somebody might type: words set as code, and the lines of shell blocks without their prompt."""
        shell = [block.text for block in self.blocks if block.language in {"", "bash", "sh", "console"}]
        joined = "\n".join([*self.code, *shell]).replace("\\\n", " ")
        return tuple(line.strip().removeprefix("$ ") for line in joined.splitlines() if line.strip())

    def tested(self, language: str) -> tuple[Block, ...]:
        return tuple(block for block in self.blocks if block.language == language and "tested" in block.words)

    def expected_after(self, block: Block) -> str | None:
        """The text a block must print, where the page shows it."""
        following = self.blocks[self.blocks.index(block) + 1 :]
        shown = next(iter(following), None)
        return shown.text if shown and "expected" in shown.words else None


@cache
def pages() -> tuple[Page, ...]:
    """README.md and everything below docs/."""
    return tuple(read_page(path) for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))])


def read_page(path: Path) -> Page:
    """Parse one file."""
    tokens = MarkdownIt("commonmark").enable("table").parse(path.read_text("utf-8"))
    inline = [child for token in tokens if token.type == "inline" for child in token.children or ()]
    targets = [child.attrs.get("href") or child.attrs.get("src") for child in inline]
    headings = [tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open"]
    return Page(
        path=path,
        links=tuple(str(target) for target in targets if target),
        anchors=frozenset(anchor(heading) for heading in headings),
        code=tuple(child.content for child in inline if child.type == "code_inline"),
        blocks=tuple(_block(token) for token in tokens if token.type == "fence"),
    )


def _block(token: Token) -> Block:
    language, *words = token.info.split() or [""]
    return Block(language, frozenset(words), token.content, (token.map or [0])[0] + 1)


def anchor(heading: str) -> str:
    """The fragment a forge makes of a heading: lower case, punctuation gone, spaces to hyphens; Chinese stays."""
    return re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).strip().replace(" ", "-")


def appears(expected: str, output: str) -> bool:
    """Whether the expected lines stand in the output one after the other, but for what `...` leaves out."""
    lines, at, may_skip = [line.rstrip() for line in output.splitlines()], 0, True
    for wanted in (line.rstrip() for line in expected.strip().splitlines()):
        if wanted == "...":
            may_skip = True
            continue
        pattern = ".*".join(map(re.escape, wanted.split("...")))
        found = next((n for n in range(at, len(lines)) if re.fullmatch(pattern, lines[n])), None)
        if found is None or (found != at and not may_skip):
            return False
        at, may_skip = found + 1, False
    return True
