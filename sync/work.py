"""What a person does on a phone: it is numbered, kept in the outbox and seen at once, with or without signal."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sync.deciding import CONFLICT_DECIDE, CONFLICT_ENTITY, part_shown
from sync.edits import ADD, EDIT, REMOVE
from sync.limits import SUCCESSOR_HOPS
from sync.outbox import Item
from sync.policy import SUCCESSOR
from sync.protocol import Edit
from sync.replica import Replica
from sync.shown import Shown


class Wiped(Exception):
    """The phone was told to forget everything; nothing new can be done on it."""


def edit(
    replica: Replica, entity: str, row: str, changes: Mapping[str, Any], *, mutation_id: str, now: datetime
) -> Item:
    """Change fields of a row the person sees. The whole of each group is sent, because a group changes together.

    Raises LookupError when the phone shows no such row.
    """
    seen = _seen(replica, entity, row)
    touched = [group for group in replica.policy.of(entity).groups.values() if changes.keys() & set(group)]
    names = changes.keys() | {name for group in touched for name in group if name in seen}
    edits = {name: Edit(seen.get(name), changes.get(name, seen.get(name))) for name in sorted(names)}
    return _do(replica, EDIT, mutation_id, now, entity=entity, row=row, fields=edits)


def remove(replica: Replica, entity: str, row: str, *, mutation_id: str, now: datetime) -> Item:
    """Delete a row the person sees; raises LookupError when the phone shows no such row."""
    part = replica.policy.of(entity).editable_part(_seen(replica, entity, row))
    edits = {name: Edit(value, None) for name, value in part.items()}
    return _do(replica, REMOVE, mutation_id, now, entity=entity, row=row, fields=edits)


def add(replica: Replica, entity: str, row: str, fields: Mapping[str, Any], *, mutation_id: str, now: datetime) -> Item:
    """Add a row under an id made on this phone."""
    return _do(replica, ADD, mutation_id, now, entity=entity, row=row, args=dict(fields))


def command(
    replica: Replica,
    name: str,
    entity: str,
    row: str,
    args: Mapping[str, Any],
    *,
    mutation_id: str,
    now: datetime,
    blobs: tuple[str, ...] = (),
) -> Item:
    """Do a business command, such as a visit's event or the filing of a form; `row` is the row it makes or is about."""
    return _do(replica, name, mutation_id, now, entity=entity, row=row, args=dict(args), blobs=blobs)


def decide(
    replica: Replica,
    conflict: str,
    take: str,
    *,
    mutation_id: str,
    now: datetime,
    values: Mapping[str, Any] | None = None,
) -> Item:
    """Decide a conflict the phone holds: take `mine`, `theirs` or `values`, on the row as the last pull had it.

    Raises LookupError when the phone holds no such conflict.
    """
    held = Shown(replica.holding)
    known = held.get(CONFLICT_ENTITY, conflict)
    if known is None:
        raise LookupError(f"the phone holds no conflict {conflict}")
    row = held.get(known["entity"], known["subject_id"])
    for _ in range(SUCCESSOR_HOPS):
        following = held.get(known["entity"], row[SUCCESSOR]) if row and row.get(SUCCESSOR) else None
        row = following or row
    seen = part_shown(known["field"], known["base"], known["mine"], row, replica.policy.of(known["entity"]))
    args = {"take": take, "seen": seen, "values": dict(values or {})}
    return _do(replica, CONFLICT_DECIDE, mutation_id, now, entity=CONFLICT_ENTITY, row=conflict, args=args)


def _seen(replica: Replica, entity: str, row: str) -> Mapping[str, Any]:
    seen = replica.shown().get(entity, row)
    if seen is None:
        raise LookupError(f"the phone shows no {entity} {row}")
    return seen


def _do(replica: Replica, name: str, mutation_id: str, now: datetime, **content: Any) -> Item:
    if replica.wiped:
        raise Wiped(mutation_id)
    return replica.outbox.put(name, mutation_id, now, base_v=replica.holding.v, **content)
