"""The reckoning: what the notebooks and the phones say, beside what PostgreSQL holds."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from sqlalchemy import text

from backend.core.sessions import Database
from bench.chaos.writers import Writer
from sync.protocol import Status

DONE: Final = (Status.APPLIED, Status.MERGED)
LEDGER: Final = "SELECT mutation_id, status FROM ledger_entry WHERE mutation_id IS NOT NULL"
TRAIL: Final = "SELECT mutation_id, count(*) FROM audit_entry WHERE mutation_id IS NOT NULL GROUP BY 1"
ASSETS: Final = "SELECT id, site_id, note FROM asset"


@dataclass
class Figures:
    """What went wrong, by kind, and how everything ended."""

    asked: int = 0
    """Mutations that were to be written."""
    died: int = 0
    """Servers that ended though nobody killed them."""
    mutations: int = 0
    missed: int = 0
    """Rows a phone should hold and does not, or holds otherwise, or should no longer hold."""
    lost: int = 0
    """Acknowledged, and not there."""
    duplicated: int = 0
    """Done more than once."""
    undelivered: int = 0
    ends: Counter[Status] = field(default_factory=Counter[Status])

    @property
    def good(self) -> bool:
        """Whether all was written and nothing went wrong; nobody does anything a server should refuse or set aside."""
        unwanted = self.ends[Status.REJECTED] + self.ends[Status.QUARANTINED]
        wrong = self.missed or self.lost or self.duplicated or self.undelivered or unwanted or self.died
        return not wrong and self.mutations >= self.asked


@dataclass(frozen=True)
class _Stored:
    ledger: dict[str, str]
    trail: dict[str, int]
    assets: dict[str, tuple[str, str]]
    """Of each asset, its site's bucket and its note."""


async def reckon(database: Database, writers: list[Writer]) -> Figures:
    """Compare notebooks and phones with rows."""
    async with database.read() as session:
        stored = _Stored(
            {str(row[0]): row[1] for row in await session.execute(text(LEDGER))},
            {str(row[0]): row[1] for row in await session.execute(text(TRAIL))},
            {str(row[0]): (f"site:{row[1]}", row[2]) for row in await session.execute(text(ASSETS))},
        )
    figures = Figures(duplicated=sum(times > 1 for times in stored.trail.values()))
    for writer in writers:
        items = writer.phone.replica.outbox.items.values()
        told = {item.id: item.result.status for item in items if item.result is not None}
        figures.mutations += writer.book.made
        figures.undelivered += writer.waiting
        figures.ends.update(told.values())
        figures.lost += _lost(writer, told, stored)
        figures.missed += _missed(writer, stored)
    return figures


def _lost(writer: Writer, told: dict[str, Status], stored: _Stored) -> int:
    """Count what the phone was told is done and the database does not know, and what the notebook says otherwise."""
    lost = writer.book.made - len(told) - writer.waiting
    lost += sum(stored.ledger.get(name) != status.value for name, status in told.items())
    lost += sum(status in DONE and name not in stored.trail for name, status in told.items())
    lost += sum(stored.assets.get(asset, ("", None))[1] != note for asset, note in writer.book.notes.items())
    return lost + sum((asset in stored.assets) is (asset in writer.book.removed) for asset in writer.book.added)


def _missed(writer: Writer, stored: _Stored) -> int:
    """Count the assets that the phone does not hold as they are, and those it holds that are gone."""
    held: dict[str, tuple[str, str]] = {}
    for bucket, rows in writer.phone.replica.holding.buckets.items():
        bodies = (msgspec.json.decode(body) for key, body in rows.items() if key.startswith("asset/"))
        held |= {body["id"]: (bucket, body["note"]) for body in bodies}
    within = writer.phone.replica.holding.buckets.keys()
    due = {asset: row for asset, row in stored.assets.items() if row[0] in within}
    return sum(held.get(asset) != due.get(asset) for asset in held.keys() | due.keys())


def line(named: dict[str, Any]) -> str:
    """Return figures as one line that a program can read, too."""
    return " ".join(f"{name}={value}" for name, value in named.items())
