"""Merging an edit made on an old picture of a row into the row as it is: per field, or per group of fields. Pure.

For each group touched, with `was` and `now` from the phone and `current` from the server, the first that holds:
this device has an open conflict there → the edit joins it; now = was or now = current → nothing to do; current = was →
apply; otherwise → an open conflict {base, mine, theirs}, and the server's value stays until a person decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from sync.policy import EntityPolicy
from sync.protocol import Edit, Status
from sync.store import ROW_GROUP, Conflict, Fields


@dataclass(frozen=True)
class Clash:
    """A group two people changed differently; `joins` is the id of the open conflict it belongs to, if there is one."""

    group: str
    base: Fields
    mine: Fields
    theirs: Fields
    joins: str | None = None


@dataclass(frozen=True)
class Merged:
    """What an edit comes to: fields to write, clashes to keep, groups that already were as wanted."""

    changes: dict[str, Any] = field(default_factory=dict[str, Any])
    clashes: tuple[Clash, ...] = ()
    idle: tuple[str, ...] = ()

    def status(self, *, moved: bool) -> Status:
        """Return how the mutation ends; `moved`: others changed the row since the phone saw it."""
        if self.clashes:
            return Status.CONFLICT
        if not self.changes:
            return Status.NOOP
        return Status.MERGED if moved or self.idle else Status.APPLIED


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: 1 equals 1.0, but neither equals true."""
    if isinstance(one, str) or one is None:
        return one == other
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        left, right = cast("dict[str, Any]", one), cast("dict[str, Any]", other)
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    if isinstance(one, list) and isinstance(other, list):
        items, others = cast("list[Any]", one), cast("list[Any]", other)
        return len(items) == len(others) and all(map(same, items, others))
    return one == other


def merge_edits(
    edits: Mapping[str, Edit], current: Fields, policy: EntityPolicy, conflicts: Mapping[str, Conflict]
) -> Merged:
    """Merge edits of fields `policy` allows into a live row. `conflicts` are this device's open ones on it, by group.

    Every group touched must be whole: the policy's fields of it that the row has (see `missing_from_groups`).
    """
    changes: dict[str, Any] = {}
    clashes: list[Clash] = []
    idle: list[str] = []
    for group, members in policy.groups.items():
        part = {name: edits[name] for name in members if name in edits}
        if not part:
            continue
        was = {name: edit.was for name, edit in part.items()}
        now = {name: edit.now for name, edit in part.items()}
        theirs = {name: current.get(name) for name in part}
        if group in conflicts:
            clashes.append(_joined(group, was, now, theirs, conflicts[group]))
        elif same(now, was) or same(now, theirs):
            idle.append(group)
        elif same(was, theirs):
            changes.update({name: value for name, value in now.items() if not same(value, theirs[name])})
        else:
            clashes.append(Clash(group, was, now, theirs))
    return Merged(changes, tuple(clashes), tuple(idle))


def merge_into_deleted(edits: Mapping[str, Edit], conflict: Conflict | None) -> Clash:
    """Keep an edit of a row that was deleted meanwhile: it neither comes back silently nor is the edit lost."""
    was = {name: edit.was for name, edit in edits.items()}
    now = {name: edit.now for name, edit in edits.items()}
    return _joined(ROW_GROUP, was, now, {}, conflict) if conflict else Clash(ROW_GROUP, was, now, {})


def merge_removal(
    edits: Mapping[str, Edit], current: Fields, policy: EntityPolicy, conflict: Conflict | None
) -> Clash | None:
    """Return None when the row is as the person saw it and may go, or the clash with what others made of it since."""
    was = {name: edit.was for name, edit in edits.items()}
    theirs = policy.editable_part(current)
    if same(was, theirs):
        return None
    return Clash(ROW_GROUP, was, {}, theirs, joins=conflict.id if conflict else None)


def missing_from_groups(edits: Mapping[str, Edit], current: Fields, policy: EntityPolicy) -> frozenset[str]:
    """Return fields an edit should have named because they belong to a group it touches.

    An address changed without its position would leave the old position under the new address.
    """
    return frozenset(
        name
        for members in policy.groups.values()
        if any(member in edits for member in members)
        for name in members
        if name in current and name not in edits
    )


def _joined(group: str, was: Fields, now: Fields, theirs: Fields, conflict: Conflict) -> Clash:
    return Clash(
        group,
        base={**was, **conflict.base},
        mine={**conflict.mine, **now},
        theirs=theirs,
        joins=conflict.id,
    )
