"""The change feed as values: what a bucket holds, what a device was sent, and what it must be sent now. Pure."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from sync.limits import VIEWS_KEPT

CHECKSUM_MODULUS: Final = 2**48


def entry_sum(entity: str, row_id: str, body: str) -> int:
    """Return one live row's share of its bucket's checksum: 6 bytes, big endian, of sha256(entity|row_id|body).

    Shares are added modulo 2**48, so a bucket's checksum follows each change without reading its other rows. A deleted
    row has no share.
    """
    return int.from_bytes(hashlib.sha256(f"{entity}|{row_id}|{body}".encode()).digest()[:6], "big")


@dataclass(frozen=True)
class Head:
    """A bucket's newest `v`, live rows and checksum; a bucket nobody wrote to has zeros."""

    v: int = 0
    count: int = 0
    checksum: int = 0


class Entry(msgspec.Struct, frozen=True):
    """The newest change of one row in one bucket; `body` is the row as JSON in UTF-8, empty when it is deleted."""

    bucket: str
    entity: str
    row: str
    v: int
    deleted: bool
    body: bytes

    @property
    def position(self) -> "Position":
        """Where the entry stands in the order pages are sent in."""
        return Position(self.bucket, self.entity, self.row)


@dataclass(frozen=True, order=True)
class Position:
    """A place in the order pages are sent in: by bucket, entity and row, each by code point."""

    bucket: str
    entity: str
    row: str


@dataclass(frozen=True)
class Scope:
    """What a person may hold now: buckets with their heads, and when time alone will change the set (None: never)."""

    heads: Mapping[str, Head]
    valid_until: datetime | None


@dataclass(frozen=True)
class View:
    """What a device was sent, or is being sent.

    Everything in `buckets` that is newer than its number there, and not newer than `v`, has been sent once the view's
    pull is complete (0: the whole bucket); after that, all of it up to `v` is held.
    """

    generation: str
    v: int
    buckets: Mapping[str, int]
    valid_until: datetime | None
    served_at: datetime

    def outlives(self, floor: int) -> bool:
        """Whether nothing that was deleted up to this `v` is still to be told to whoever goes on from this view."""
        return self.v >= floor and all(above == 0 or above >= floor for above in self.buckets.values())


@dataclass(frozen=True)
class Want:
    """Entries to read: the live rows of `fresh`, and every change after `since` in `stayed`."""

    fresh: tuple[str, ...]
    stayed: tuple[str, ...]
    since: int


@dataclass(frozen=True)
class Plan:
    """What a pull has to do: buckets that entered, left, or stayed and changed after `since`."""

    enter: tuple[str, ...]
    leave: tuple[str, ...]
    stay: tuple[str, ...]
    since: int

    @property
    def empty(self) -> bool:
        """Whether the phone already holds it all."""
        return not (self.enter or self.leave or self.stay)

    @property
    def want(self) -> Want:
        """The entries that have to be read."""
        return Want(self.enter, self.stay, self.since)


def compare(held: Collection[str], since: int, scope: Scope) -> Plan:
    """Compare what is held, complete up to `since`, with the scope now."""
    heads = scope.heads
    return Plan(
        enter=tuple(sorted(set(heads).difference(held))),
        leave=tuple(sorted(set(held).difference(heads))),
        stay=tuple(sorted(name for name in held if name in heads and heads[name].v > since)),
        since=since,
    )


def unsent(view: View) -> Want:
    """Return what a view being sent still asks for; where in it the last page ended is the page token's to say."""
    fresh = tuple(sorted(name for name, above in view.buckets.items() if above == 0))
    stayed = tuple(sorted(name for name, above in view.buckets.items() if above > 0))
    return Want(fresh, stayed, max(view.buckets.values(), default=0))


def kept(views: Iterable[View], needed: Collection[str]) -> frozenset[str]:
    """Choose the generations to remember beside a new one: those in `needed`, and the newest, `VIEWS_KEPT` - 1 in all.

    A phone may still receive an answer sent before the newest, so the newest are as good a guess as the proven one.
    """
    newest_first = sorted(views, key=lambda view: (view.v, view.served_at, view.generation), reverse=True)
    ranked = sorted(newest_first, key=lambda view: view.generation not in needed)
    return frozenset(view.generation for view in ranked[: VIEWS_KEPT - 1])
