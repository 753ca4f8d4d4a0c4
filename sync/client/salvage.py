"""Reading the queue file of a phone that broke: what SQLite still gives, then whatever its bytes still say.

The file is never written to: a copy is opened, with its write-ahead log if that was saved too.
"""

import json
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from sync.client.disk import Head
from sync.outbox import Item
from sync.texts import Text

LOG: Final = "-wal"
"""What SQLite appends to a file's name for its write-ahead log."""
ITEM_BEGINS: Final = re.compile(rb'\{"id":"([0-9a-f-]{36})","n":')
HEAD_BEGINS: Final = re.compile(rb'\{"identity":\{"device":"')
CARVED_BYTES: Final = 8_388_608
"""The longest item looked for in bytes no table leads to."""
LOOKED_BYTES: Final = 4_096
"""How much is looked at first; as long as a value goes on beyond, four times as much."""
LONGEST_WORD: Final = 12
"""Characters of the longest word of JSON that may be cut in two (an escaped pair of surrogates)."""

Part = TypeVar("Part", Head, Item)


@dataclass
class Salvage:
    """What could be read, in the order it was made, and in words what could not."""

    device: str | None = None
    items: dict[str, Item] = field(default_factory=dict[str, Item])
    damages: list[Text] = field(default_factory=list[Text])

    @property
    def unanswered(self) -> list[Item]:
        """What the server never answered, as far as the file knows."""
        return [item for item in self.items.values() if item.result is None]


def salvage(path: Path) -> Salvage:
    """Read a queue file, however damaged; raises OSError when there is none."""
    found = Salvage()
    with tempfile.TemporaryDirectory() as folder:
        copies = list(_copied(path, Path(folder)))
        try:
            with closing(sqlite3.connect(copies[0])) as connection:
                _read(connection, found)
        except sqlite3.DatabaseError as error:
            found.damages.append(Text(f"数据库已损坏:{error}", f"the database is damaged: {error}"))
    if found.damages or found.device is None:
        for part in (path, path.with_name(path.name + LOG)):
            if part.exists():
                _carve(part.read_bytes(), found)
    found.items = dict(sorted(found.items.items(), key=lambda known: (known[1].incarnation, known[1].n)))
    return found


def _copied(path: Path, folder: Path) -> Iterator[Path]:
    for name in (path.name, path.name + LOG):
        source = path.with_name(name)
        if name == path.name or source.exists():
            yield Path(shutil.copyfile(source, folder / name))


def _read(connection: sqlite3.Connection, found: Salvage) -> None:
    for (body,) in connection.execute("SELECT body FROM part WHERE name = 'head'"):
        head = _decoded(body, Head)
        found.device = head and head.identity.device
    for order in ("ASC", "DESC"):  # a damaged page is reached from both sides
        try:
            for row_id, body in connection.execute(f"SELECT id, body FROM item ORDER BY place {order}"):  # noqa: S608 - our own word
                _take(row_id, body, found)
            break
        except sqlite3.DatabaseError as error:
            found.damages.append(Text(f"部分队列无法读取:{error}", f"a part of the queue cannot be read: {error}"))


def _take(row_id: object, body: object, found: Salvage) -> None:
    item = _decoded(body, Item)
    if item is None:
        found.damages.append(Text(f"第 {row_id} 项内容已损坏", f"item {row_id} is damaged"))
    else:
        found.items.setdefault(item.id, item)


def _carve(content: bytes, found: Salvage) -> None:
    """Look for items in the bytes themselves. A long one lies in pieces, and only its beginning is found."""
    for match in HEAD_BEGINS.finditer(content):
        head = _decoded(_json_at(content, match.start()), Head)
        found.device = found.device or (head and head.identity.device)
    cut: dict[str, None] = {}
    for match in ITEM_BEGINS.finditer(content):
        item = _decoded(_json_at(content, match.start()), Item)
        if item is None:
            cut[match[1].decode()] = None
        else:
            found.items.setdefault(item.id, item)
    lost = [name for name in cut if name not in found.items]
    found.damages += [Text(f"第 {name} 项只剩开头", f"only the beginning of item {name} is left") for name in lost]


def _json_at(content: bytes, start: int) -> bytes:
    """Return the JSON value that begins there, or nothing."""
    size = LOOKED_BYTES
    while size <= CARVED_BYTES:
        text = content[start : start + size].decode("utf-8", "surrogateescape")
        try:
            _, end = json.JSONDecoder().raw_decode(text)
        except (ValueError, RecursionError) as error:
            if not _cut_off(error, text):
                return b""
            size *= 4
            continue
        return text[:end].encode("utf-8", "surrogateescape")
    return b""


def _cut_off(error: Exception, text: str) -> bool:
    """Whether a value may only have been cut off by the end of the text; all else is wrong however much follows."""
    if not isinstance(error, json.JSONDecodeError):
        return False
    unended = error.msg.startswith("Unterminated string")
    return unended or error.pos >= len(text) - LONGEST_WORD


def _decoded(body: object, kind: type[Part]) -> Part | None:
    """Return what a body says, or None: a damaged table may give any value there."""
    try:
        return msgspec.json.decode(body, type=kind) if isinstance(body, bytes) else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
