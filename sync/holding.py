"""What a phone holds: the rows of its last complete pull, and how the pages of the next one replace them. Pure."""

from collections.abc import Mapping, Sequence

import msgspec

from sync.feed import CHECKSUM_MODULUS, entry_sum
from sync.protocol import Check, Drop, PullAnswer, Put

Rows = dict[str, str]
"""JSON text of each row, by "table/id"."""


def place(entity: str, row: str) -> str:
    """Return a row's key within its bucket."""
    return f"{entity}/{row}"


class Holding(msgspec.Struct, frozen=True):
    """A complete pull. A None `cookie` asks for everything anew.

    `acked_n` counts in the ledger of `incarnation`; `made_n` is the last number the phone had given there. `durable` is
    the ledger a backup holds, and up to which number, as last told (None: no backup was ever heard of).
    """

    cookie: str | None = None
    v: int = 0
    incarnation: str = ""
    acked_n: int = 0
    buckets: dict[str, Rows] = {}
    made_n: int = 0
    durable: tuple[str, int] | None = None

    def body(self, entity: str, row: str) -> str | None:
        """Return a row's JSON text, whichever bucket it is in."""
        key = place(entity, row)
        return next((rows[key] for rows in self.buckets.values() if key in rows), None)


def swapped(holding: Holding, pages: Sequence[PullAnswer], incarnation: str, made_n: int) -> Holding:
    """Return what is held once all pages of a pull are in; the phone shows nothing of them before."""
    last = pages[-1]
    buckets = {} if pages[0].reset else {name: dict(rows) for name, rows in holding.buckets.items()}
    for page in pages:
        applied(buckets, page)
    durable = holding.durable if last.durable_n is None else (incarnation, last.durable_n)
    return Holding(last.cookie, last.v, incarnation, last.acked_n or 0, buckets, made_n, durable)


def applied(buckets: dict[str, Rows], page: PullAnswer) -> None:
    """Change rows as a page says."""
    for op in page.ops:
        if isinstance(op, Drop):
            buckets.pop(op.bucket, None)
        elif isinstance(op, Put):
            buckets.setdefault(op.bucket, {})[place(op.entity, op.row)] = bytes(op.body).decode()
        else:
            buckets.get(op.bucket, {}).pop(place(op.entity, op.row), None)


def damaged(buckets: Mapping[str, Rows], checks: Mapping[str, Check]) -> list[str]:
    """Return the buckets whose rows are not what the server says they are."""
    return [name for name, check in checks.items() if check_of(buckets.get(name, {})) != check]


def check_of(rows: Rows) -> Check:
    """Count and sum a bucket's rows as the server does."""
    total = 0
    for key, body in rows.items():
        entity, row = key.split("/", 1)
        total += entry_sum(entity, row, body)
    return Check(len(rows), total % CHECKSUM_MODULUS)
