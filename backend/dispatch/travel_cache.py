"""Legs that roads have answered, kept in blocks of the database: places in 16 groups, a block for each pair of groups.

A new place touches 31 of 256 blocks. A block holds at most BUCKET_PLACES places a side, so that all the blocks of one
version take at most 256 x 128 x 128 x 8 bytes = 34 MB; where a group is full, the places asked for least lately give
way. Nothing is lost with a block: it is asked again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.db import insert_ignoring
from backend.core.ids import new_id
from backend.dispatch.travel_models import TravelBlock
from backend.dispatch.travel_rules import UNASKED

BUCKETS: Final = 16
BUCKET_PLACES: Final = 128
"""Places a side of a block: about 2,000 in all under one version."""
KEPT: Final = timedelta(days=30)
"""Blocks stored longer ago are asked anew: a server's map may have changed without a word."""
VERSIONS_KEPT: Final = 2
"""The versions stored last; older ones are forgotten, so that the table takes at most 68 MB."""
ROUNDED: Final = 100_000
"""Positions are told apart by 0.00001 degrees, about a metre."""


def place_keys(latitudes: Sequence[float], longitudes: Sequence[float]) -> NDArray[np.int64]:
    """Return a number for each position; the same for positions within about a metre."""
    lat = np.rint(np.asarray(latitudes) * ROUNDED).astype(np.int64)
    lon = np.rint(np.asarray(longitudes) * ROUNDED).astype(np.int64)
    return (lat + 90 * ROUNDED) * (512 * ROUNDED) + lon + 180 * ROUNDED


def buckets_of(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the group of each place, spread evenly whatever the town's shape (Fibonacci hashing, Knuth 6.4)."""
    return ((keys.astype(np.uint64) * np.uint64(11_400_714_819_323_198_485)) >> np.uint64(60)).astype(np.int64)


@dataclass(frozen=True)
class Block:
    """Legs from some places to others; `legs` is seconds and metres, UNASKED where nobody asked, NO_ROAD for none."""

    origins: NDArray[np.int64]
    destinations: NDArray[np.int64]
    legs: NDArray[np.int32]


class Known:
    """What is known of the legs between some places; `table[0]` seconds, `table[1]` metres."""

    def __init__(self, keys: NDArray[np.int64]) -> None:
        self.keys = keys
        self.table = np.full((2, len(keys), len(keys)), UNASKED, dtype=np.int32)

    def take(self, block: Block) -> None:
        """Take over what a block knows of these places."""
        rows, at_rows = _found(self.keys, block.origins)
        columns, at_columns = _found(self.keys, block.destinations)
        self.table[:, rows[:, None], columns] = block.legs[:, at_rows[:, None], at_columns]

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Which legs nobody has asked for; never from a place to itself."""
        unasked = self.table[0] == UNASKED
        np.fill_diagonal(unasked, val=False)
        return unasked


async def known_legs(session: AsyncSession, version: str, keys: NDArray[np.int64], now: datetime) -> Known:
    """Return what is kept of the legs between these places under a version."""
    known = Known(keys)
    if not len(keys):
        return known
    wanted = np.unique(buckets_of(keys)).tolist()
    fresh = select(TravelBlock).where(
        TravelBlock.version == version, TravelBlock.stored_at > now - KEPT,
        TravelBlock.origin_bucket.in_(wanted), TravelBlock.destination_bucket.in_(wanted),
    )  # fmt: skip
    for row in (await session.execute(fresh)).scalars():
        known.take(_unpacked(row))
    return known


async def newest_version(session: AsyncSession, family: str) -> str | None:
    """Return the version that was stored last of those that begin like this; None where nothing is kept."""
    stored = select(TravelBlock.version).where(TravelBlock.version.startswith(family, autoescape=True))
    return (await session.execute(stored.order_by(TravelBlock.id.desc()).limit(1))).scalar_one_or_none()


async def keep_legs(
    session: AsyncSession, version: str, known: Known, learnt: NDArray[np.bool_], *, now: datetime
) -> None:
    """Keep what has become known; `learnt` marks the legs that are new, and only their blocks are written."""
    groups = buckets_of(known.keys)
    stale = delete(TravelBlock).where(TravelBlock.version == version, TravelBlock.stored_at <= now - KEPT)
    await session.execute(stale)
    kept = select(TravelBlock).where(TravelBlock.version == version)
    rows = {(one.origin_bucket, one.destination_bucket): one for one in (await session.execute(kept)).scalars()}
    fresh: list[dict[str, Any]] = []
    for origin in np.unique(groups).tolist():
        for destination in np.unique(groups).tolist():
            sides = np.flatnonzero(groups == origin), np.flatnonzero(groups == destination)
            if not learnt[np.ix_(*sides)].any():
                continue
            row = rows.get((origin, destination))
            packed = _packed(_merged(known, *sides, None if row is None else _unpacked(row)))
            if row is None:
                where = {"version": version, "origin_bucket": origin, "destination_bucket": destination}
                fresh.append({"id": new_id(), "stored_at": now, **where, **packed})
                continue
            row.origins, row.destinations, row.legs = packed["origins"], packed["destinations"], packed["legs"]
    if fresh:
        await session.run_sync(insert_ignoring, TravelBlock.__table__, fresh)


async def forget_old_blocks(session: AsyncSession, now: datetime) -> int:
    """Delete blocks kept longer than KEPT, and those of all but the newest versions; return how many."""
    newest = (
        select(TravelBlock.version)
        .group_by(TravelBlock.version)
        .order_by(func.max(TravelBlock.stored_at).desc(), TravelBlock.version)
        .limit(VERSIONS_KEPT)
    )
    versions = (await session.execute(newest)).scalars().all()
    old = delete(TravelBlock).where((TravelBlock.stored_at <= now - KEPT) | TravelBlock.version.not_in(versions))
    return len((await session.execute(old.returning(TravelBlock.id))).all())


def _merged(known: Known, rows: NDArray[np.intp], columns: NDArray[np.intp], old: Block | None) -> Block:
    """Return a block with what was kept and what is known, the places asked for now first."""
    new = Block(known.keys[rows], known.keys[columns], known.table[:, rows[:, None], columns])
    if old is None:
        return _cut(new)
    origins = _in_order(new.origins, old.origins)
    destinations = _in_order(new.destinations, old.destinations)
    legs = np.full((2, len(origins), len(destinations)), UNASKED, dtype=np.int32)
    for block in (old, new):
        at_rows, from_rows = _found(origins, block.origins)
        at_columns, from_columns = _found(destinations, block.destinations)
        part = block.legs[:, from_rows[:, None], from_columns]
        before = legs[:, at_rows[:, None], at_columns]
        legs[:, at_rows[:, None], at_columns] = np.where(part == UNASKED, before, part)
    return Block(origins, destinations, legs)


def _cut(block: Block) -> Block:
    most = BUCKET_PLACES
    return Block(block.origins[:most], block.destinations[:most], block.legs[:, :most, :most])


def _in_order(first: NDArray[np.int64], then: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate((first, then[~np.isin(then, first)]))[:BUCKET_PLACES]


def _found(wanted: NDArray[np.int64], there: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return which of `wanted` are `there`, and where; `there` holds each once."""
    order = np.argsort(there)
    at = np.searchsorted(there, wanted, sorter=order)
    at[at == len(there)] = 0
    hit = there[order[at]] == wanted if len(there) else np.zeros(len(wanted), dtype=bool)
    which = np.flatnonzero(hit)
    return which, order[at[which]]


def _packed(block: Block) -> dict[str, bytes]:
    return {
        "origins": block.origins.astype("<i8").tobytes(),
        "destinations": block.destinations.astype("<i8").tobytes(),
        "legs": block.legs.astype("<i4").tobytes(),
    }


def _unpacked(row: TravelBlock) -> Block:
    origins = np.frombuffer(row.origins, dtype="<i8").astype(np.int64)
    destinations = np.frombuffer(row.destinations, dtype="<i8").astype(np.int64)
    legs = np.frombuffer(row.legs, dtype="<i4").astype(np.int32).reshape(2, len(origins), len(destinations))
    return Block(origins, destinations, legs)
