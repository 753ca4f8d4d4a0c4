"""The mutations sync does itself: `edit`, `add` and `remove` of rows, by the rules of `sync.policy`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from sync.desk import Desk
from sync.handler import Call, Outcome, Rejection, applied, noop, quarantined, refused
from sync.merge import Clash, merge_edits, merge_into_deleted, merge_removal, missing_from_groups, same
from sync.policy import EntityPolicy, Policy, Rule
from sync.protocol import Edit, Mutation, Status, is_uuid
from sync.store import ROW_GROUP, Conflict, Row, RowKey, RowWrite, WriteKind
from sync.texts import TEXTS

EDIT: Final = "edit"
ADD: Final = "add"
REMOVE: Final = "remove"
ROW_MUTATIONS: Final = frozenset((EDIT, ADD, REMOVE))

NOT_FOR_PHONES: Final = {Rule.SERVER: "server_decides", Rule.APPEND: "append_only", Rule.SEALED: "sealed"}


def row_target(mutation: Mutation, policy: Policy) -> RowKey | Outcome:
    """Return the row in whose bucket a row mutation happens, or how it ends without reading anything."""
    rules = policy.of(mutation.entity)
    if rules.rule in NOT_FOR_PHONES:
        return refused(NOT_FOR_PHONES[rules.rule])
    if not is_uuid(mutation.row):
        return quarantined("unreadable_mutation")
    if mutation.name == ADD:
        return _parent(mutation, rules)
    if mutation.name == REMOVE and not rules.removable:
        return refused("server_decides")
    if not mutation.fields:
        return refused("no_edit")
    return RowKey(mutation.entity, mutation.row)


def _parent(mutation: Mutation, rules: EntityPolicy) -> RowKey | Outcome:
    if not rules.parent:
        return refused("server_decides")
    if not is_uuid(mutation.args.get(rules.parent_column)):
        return quarantined("unreadable_mutation")
    if not mutation.args.keys() <= {rules.parent_column, *rules.editable(), *rules.born_with}:
        return quarantined("unknown_field")
    return RowKey(rules.parent, mutation.args[rules.parent_column])


@dataclass(frozen=True)
class RowEdits:
    """Does row mutations on a desk; `new_id` makes ids of conflicts."""

    desk: Desk
    policy: Policy
    new_id: Callable[[], str]

    async def do(self, call: Call, target: Row) -> Outcome:
        """Do one row mutation; `target` is the row `row_target` named, found within the device's reach."""
        rules = self.policy.of(call.mutation.entity)
        row = await self.desk.successor(target)
        try:
            if call.mutation.name == ADD:
                return await self._add(call, rules, row)
            if call.mutation.name == REMOVE:
                return await self._remove(call, rules, row)
            return await self._edit(call, rules, row)
        except Rejection as rejection:  # before anything was written
            return rejection.outcome

    async def _edit(self, call: Call, rules: EntityPolicy, row: Row) -> Outcome:
        edits = call.mutation.fields
        if row.deleted:
            standing = (await self.desk.conflicts(row.key)).get(ROW_GROUP)
            return await self._conflict(call, row, (merge_into_deleted(edits, standing),), "row_gone")
        if not edits.keys() <= row.fields.keys():
            return quarantined("unknown_field")
        if not edits.keys() <= set(rules.editable()):
            return refused("server_decides")
        if missing_from_groups(edits, row.fields, rules):
            return refused("partial_group")
        edits = await self._admitted(call, row)
        merged = merge_edits(edits, row.fields, rules, await self.desk.conflicts(row.key))
        if merged.changes:
            self.desk.change(row, RowWrite(WriteKind.UPDATE, row.key, merged.changes, call.mutation.id))
        if merged.clashes:
            return await self._conflict(call, row, merged.clashes, "edited_meanwhile")
        base_v = call.mutation.base_v
        return Outcome(merged.status(moved=base_v is not None and row.v > base_v))

    async def _admitted(self, call: Call, row: Row) -> Mapping[str, Edit]:
        """Return the edits with their values as the business stores them; raises Rejection. What stays is not asked."""
        edits = call.mutation.fields
        wanted = {name: edit.now for name, edit in edits.items() if not same(edit.was, edit.now)}
        if not wanted:
            return edits
        write = RowWrite(WriteKind.UPDATE, row.key, wanted, call.mutation.id)
        admitted = await self.desk.tx.admitted(write, row, self.desk)
        return {name: Edit(edit.was, admitted.get(name, edit.now)) for name, edit in edits.items()}

    async def _add(self, call: Call, rules: EntityPolicy, parent: Row) -> Outcome:
        mutation = call.mutation
        if parent.deleted:
            return quarantined("row_gone")
        fields = {**mutation.args, rules.parent_column: parent.key.row}
        key = RowKey(mutation.entity, mutation.row)
        existing = await self.desk.row(key)
        if existing is not None:
            return noop() if _holds(existing, fields) else refused("id_taken")
        write = RowWrite(WriteKind.INSERT, key, fields, mutation.id)
        self.desk.insert(replace(write, fields=await self.desk.tx.admitted(write, None, self.desk)))
        return applied()

    async def _remove(self, call: Call, rules: EntityPolicy, row: Row) -> Outcome:
        if row.deleted:
            return noop()
        standing = (await self.desk.conflicts(row.key)).get(ROW_GROUP)
        clash = merge_removal(call.mutation.fields, row.fields, rules, standing)
        if clash is not None:
            return await self._conflict(call, row, (clash,), "edited_meanwhile")
        write = RowWrite(WriteKind.DELETE, row.key, {}, call.mutation.id)
        await self.desk.tx.admitted(write, row, self.desk)
        self.desk.change(row, write)
        return applied()

    async def _conflict(self, call: Call, row: Row, clashes: tuple[Clash, ...], code: str) -> Outcome:
        standing = {conflict.id: conflict for conflict in (await self.desk.conflicts(row.key)).values()}
        held: set[str] = set()
        ids: list[str] = []
        for clash in clashes:
            conflict = standing.get(clash.joins or "") or self._opened(call, row, clash)
            self.desk.keep_conflict(replace(conflict, base=clash.base, mine=clash.mine, theirs=clash.theirs))
            ids.append(conflict.id)
            held |= clash.base.keys() & call.mutation.fields.keys()
        return Outcome(Status.CONFLICT, code, TEXTS[code], conflicts=tuple(ids), held=tuple(sorted(held)))

    def _opened(self, call: Call, row: Row, clash: Clash) -> Conflict:
        return Conflict(
            id=self.new_id(), key=row.key, bucket=row.bucket, group=clash.group,
            base=clash.base, mine=clash.mine, theirs=clash.theirs,
            mutation_id=call.mutation.id, device=call.device, person=call.person,
            edited_at=call.effective_at, opened_at=call.now,
        )  # fmt: skip


def _holds(row: Row, fields: Mapping[str, Any]) -> bool:
    return not row.deleted and all(name in row.fields and same(row.fields[name], fields[name]) for name in fields)
