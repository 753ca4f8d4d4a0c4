"""Deciding a conflict: a person takes one side or says the values; the row is then written as an edit would write it.

`mine` is what the phone's edit wanted, `theirs` leaves the server's row as it is now. Where one side had deleted the
row, `mine` may also bring it back under the same id, or let it go.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from sync.handler import Call, Handler, Outcome, Rejection, applied, quarantined, refused
from sync.limits import SUCCESSOR_HOPS
from sync.merge import same
from sync.policy import POLICY, SUCCESSOR, EntityPolicy, Policy
from sync.schemas import SHIPPED, Schemas
from sync.store import ROW_GROUP, Conflict, Decision, Fields, Row, RowKey, RowWrite, Transaction, WriteKind
from sync.texts import TEXTS

CONFLICT_DECIDE: Final = "conflict.decide"
"""The mutation by which a phone decides the conflict `row`."""
CONFLICT_ENTITY: Final = "field_conflict"


class Take(StrEnum):
    """What a person made of a conflict."""

    MINE = "mine"
    THEIRS = "theirs"
    VALUES = "values"


class DecisionArgs(msgspec.Struct, frozen=True):
    """`conflict.decide`: `seen` is the row's part the person compared (`part_in_conflict`), empty for no row."""

    take: Take
    seen: dict[str, Any]
    values: dict[str, Any] = {}


@dataclass(frozen=True)
class Choice:
    """One person's decision. `seen`: decide only if the row is still so (None: the caller has made sure)."""

    take: Take
    values: Fields = field(default_factory=dict[str, Any])
    seen: Fields | None = None


def part_in_conflict(conflict: Conflict, row: Row | None, policy: Policy = POLICY) -> Fields:
    """Return what a conflict is about, as the row has it now; empty when there is no row."""
    fields = None if row is None or row.deleted else row.fields
    return part_shown(conflict.group, conflict.base, conflict.mine, fields, policy.of(conflict.key.entity))


def part_shown(group: str, base: Fields, mine: Fields, row: Fields | None, rules: EntityPolicy) -> Fields:
    """Return the part of a row (None: there is none) a conflict of this group is about."""
    if row is None:
        return {}
    if group == ROW_GROUP:
        return rules.editable_part(row)
    return {name: row.get(name) for name in sorted({*base, *mine})}


async def standing_row(tx: Transaction, key: RowKey) -> Row | None:
    """Return the row a conflict is about, locked; of a record merged into another, the one that stands."""
    row = (await tx.rows([key])).get(key)
    for _ in range(SUCCESSOR_HOPS):
        following = row.fields.get(SUCCESSOR) if row else None
        into = RowKey(key.entity, following) if following else None
        found = (await tx.rows([into])).get(into) if into else None
        if found is None:
            break
        row = found
    return row


async def decide(
    tx: Transaction, conflict_id: str, choice: Choice, *, person: str, now: datetime, mutation_id: str = "",
    policy: Policy = POLICY,
) -> Conflict:  # fmt: skip
    """Decide an open conflict and write the row; return the conflict as it is then.

    Raises Rejection, before anything is written: `no_conflict`, `conflict_decided`, `conflict_moved` (the row is no
    longer as `choice.seen`), `wrong_values`, `not_restorable`, and whatever the business has against the values.
    """
    conflict = await tx.conflict(conflict_id)
    if conflict is None:
        raise refusal("no_conflict")
    if conflict.decision is not None:
        raise refusal("conflict_decided")
    row = await standing_row(tx, conflict.key)
    if choice.seen is not None and not same(dict(choice.seen), dict(part_in_conflict(conflict, row, policy))):
        raise refusal("conflict_moved")
    write = await _Deciding(tx, conflict, row, policy.of(conflict.key.entity), mutation_id).write(choice)
    if write is not None:
        await tx.write([write])
    decided = replace(conflict, decision=Decision(choice.take.value, person, now, mutation_id))
    await tx.save_conflicts([decided])
    return decided


def refusal(code: str) -> Rejection:
    """Return one of sync's own refusals as an exception."""
    return Rejection(code, TEXTS[code].zh, TEXTS[code].en)


def deciding(schemas: Schemas = SHIPPED, policy: Policy = POLICY) -> Handler[Any]:
    """Return the command `conflict.decide`: who opened a conflict by an edit may decide it, while its row is in scope.

    A phone of an older schema says it in its own words, and compared only what it knows.
    """

    async def decide_on_phone(tx: Transaction, call: Call) -> Outcome:
        if not call.in_scope:
            return refused("not_granted")
        mutation = call.mutation
        try:
            args = msgspec.convert(mutation.args, DecisionArgs)
        except msgspec.ValidationError:
            return quarantined("unreadable_mutation")
        conflict = await tx.conflict(mutation.row)
        if conflict is not None and conflict.person != call.person:
            return refused("not_yours_to_decide")
        entity = conflict.key.entity if conflict else ""
        values, seen = (schemas.named(entity, fields, mutation.schema) for fields in (args.values, args.seen))
        await decide(
            tx, mutation.row, Choice(args.take, values, seen), person=call.person, now=call.now,
            mutation_id=mutation.id, policy=schemas.policy(policy, mutation.schema),
        )  # fmt: skip
        return applied()

    return Handler(decide_on_phone, lambda mutation: RowKey(CONFLICT_ENTITY, mutation.row))


DECIDE: Final = deciding()


@dataclass(frozen=True)
class _Deciding:
    """One conflict and its row as they stand."""

    tx: Transaction
    conflict: Conflict
    row: Row | None
    rules: EntityPolicy
    mutation_id: str

    async def write(self, choice: Choice) -> RowWrite | None:
        """Return the change the choice asks for, or None where the row already is as it should be."""
        if choice.take is Take.THEIRS:
            return None
        wanted = self.conflict.mine if choice.take is Take.MINE else choice.values
        gone = self.row is None or self.row.deleted
        if choice.take is Take.MINE and self._is_removal:
            return None if self.row is None or gone else await self._removed(self.row)
        self._check(wanted)
        return await self._restored(wanted) if self.row is None or gone else await self._changed(self.row, wanted)

    @property
    def _is_removal(self) -> bool:
        return self.conflict.group == ROW_GROUP and not self.conflict.mine

    def _check(self, wanted: Fields) -> None:
        if self.conflict.group == ROW_GROUP:
            fits = bool(wanted) and wanted.keys() <= set(self.rules.editable())
        else:
            fits = wanted.keys() == self.conflict.mine.keys()
        if not fits:
            raise refusal("wrong_values")

    async def _removed(self, row: Row) -> RowWrite:
        write = RowWrite(WriteKind.DELETE, row.key, {}, self.mutation_id)
        await self.tx.admitted(write, row, _Standing(self.tx))
        return write

    async def _changed(self, row: Row, wanted: Fields) -> RowWrite | None:
        changes = {name: value for name, value in wanted.items() if not same(value, row.fields.get(name))}
        if not changes:
            return None
        write = RowWrite(WriteKind.UPDATE, row.key, changes, self.mutation_id)
        return replace(write, fields=await self.tx.admitted(write, row, _Standing(self.tx)))

    async def _restored(self, wanted: Fields) -> RowWrite:
        """Bring a deleted row back as it last was, under the same id, with what is wanted of it."""
        parent = await self._parent()
        former = await self.tx.former(self.conflict.key)
        known = {**former, **self.conflict.base, **wanted, self.rules.parent_column: parent.row}
        told = {*self.rules.editable(), *self.rules.born_with, self.rules.parent_column}
        write = RowWrite(WriteKind.INSERT, self.conflict.key, _only(known, told), self.mutation_id)
        admitted = await self.tx.admitted(write, None, _Standing(self.tx))
        rest = {name: value for name, value in former.items() if name != "id"}
        return replace(write, fields={**rest, **admitted})

    async def _parent(self) -> RowKey:
        """Return the row above, which must still be there: it names the bucket the row was in."""
        former = await self.tx.former(self.conflict.key)
        above = former.get(self.rules.parent_column) or self.conflict.bucket.removeprefix(f"{self.rules.parent}:")
        found = await standing_row(self.tx, RowKey(self.rules.parent, above)) if self.rules.parent else None
        if found is None or found.deleted:
            raise refusal("not_restorable")
        return found.key


@dataclass(frozen=True)
class _Standing:
    """The rows as they are: a decision is written alone (see sync.store.Pending)."""

    tx: Transaction

    async def row(self, key: RowKey) -> Row | None:
        return (await self.tx.rows([key])).get(key)

    async def flush(self) -> None:
        pass


def _only(fields: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name in names}
