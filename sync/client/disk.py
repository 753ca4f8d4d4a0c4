"""A phone's disk: one SQLite file that always holds a whole replica, whenever the phone dies."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from sync.holding import Holding
from sync.outbox import Item
from sync.policy import POLICY, Policy
from sync.protocol import EnrolAnswer, PullAnswer
from sync.replica import Replica, Stored
from sync.shown import Effect

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS part (name TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS page (place INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS item (place INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, body BLOB NOT NULL);
"""
PAGES: Final = "SELECT body FROM page ORDER BY place"
ITEMS: Final = "SELECT body FROM item ORDER BY place"
BUSY_SECONDS: Final = 10


class Head(msgspec.Struct, frozen=True):
    """The small parts of a replica."""

    identity: EnrolAnswer
    printed: int
    too_old: bool
    wiped: bool
    rewinding: bool = False
    rewinds: int = 0
    wipe_told: bool = False


class Disk:
    """Stores a replica; only what changed since the last save is written, in one transaction with fsync."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.executescript(SCHEMA)
        self._head: Head | None = None
        self._holding: Holding | None = None
        self._pages: list[PullAnswer] = []
        self._items: dict[str, Item] = {}

    def load(self, *, policy: Policy = POLICY, effects: Mapping[str, Effect] | None = None) -> Replica | None:
        """Return the stored phone, or None on a new disk."""
        parts: dict[str, bytes] = dict(self._connection.execute("SELECT name, body FROM part"))
        if not parts:
            return None
        self._head = msgspec.json.decode(parts["head"], type=Head)
        self._holding = msgspec.json.decode(parts["holding"], type=Holding)
        self._pages = [msgspec.json.decode(body, type=PullAnswer) for body in self._bodies(PAGES)]
        items = [msgspec.json.decode(body, type=Item) for body in self._bodies(ITEMS)]
        self._items = {item.id: item for item in items}
        head = self._head
        stored = Stored(
            head.identity, self._holding, list(self._pages), items, head.printed, head.too_old, head.wiped,
            head.rewinding, head.rewinds, head.wipe_told,
        )  # fmt: skip
        return Replica.restored(stored, policy=policy, effects=effects)

    def save(self, replica: Replica) -> None:
        """Store the phone as it is now; when this returns, a power cut takes nothing of it."""
        stored = replica.stored()
        head = Head(
            stored.identity, stored.printed, stored.too_old, stored.wiped, stored.rewinding, stored.rewinds,
            stored.wipe_told,
        )  # fmt: skip
        cursor = self._connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        try:
            self._write_parts(cursor, head, stored.holding)
            self._write_pages(cursor, stored.pages)
            self._write_items(cursor, stored.items)
        except BaseException:
            cursor.execute("ROLLBACK")
            raise
        cursor.execute("COMMIT")
        self._head, self._holding, self._pages = head, stored.holding, stored.pages
        self._items = {item.id: item for item in stored.items}

    def scrub(self) -> None:
        """Leave nothing of what was deleted in the file, nor in its log."""
        self._connection.execute("VACUUM")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _write_parts(self, cursor: sqlite3.Cursor, head: Head, holding: Holding) -> None:
        changed: list[tuple[str, msgspec.Struct]] = []
        if head != self._head:
            changed.append(("head", head))
        if holding is not self._holding:
            changed.append(("holding", holding))
        cursor.executemany(
            "INSERT OR REPLACE INTO part (name, body) VALUES (?, ?)",
            [(name, msgspec.json.encode(part)) for name, part in changed],
        )

    def _write_pages(self, cursor: sqlite3.Cursor, pages: list[PullAnswer]) -> None:
        known = len(self._pages)
        if [id(page) for page in pages[:known]] != [id(page) for page in self._pages]:
            cursor.execute("DELETE FROM page")
            known = 0
        cursor.executemany(
            "INSERT INTO page (place, body) VALUES (?, ?)",
            [(place, msgspec.json.encode(page)) for place, page in enumerate(pages[known:], start=known)],
        )

    def _write_items(self, cursor: sqlite3.Cursor, items: list[Item]) -> None:
        changed = [item for item in items if item is not self._items.get(item.id)]
        gone = self._items.keys() - {item.id for item in items}
        cursor.executemany("DELETE FROM item WHERE id = ?", [(item_id,) for item_id in gone])
        cursor.executemany(
            "INSERT INTO item (id, body) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            [(item.id, msgspec.json.encode(item)) for item in changed],
        )

    def _bodies(self, query: str) -> list[bytes]:
        return [body for (body,) in self._connection.execute(query)]
