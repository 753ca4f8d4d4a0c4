"""What each shipped schema changed, so that older apps are sent rows they know and nothing they send is refused. Pure.

The server speaks the newest schema only. A row for an older phone goes through `Lowered`, a mutation of one through
`Schemas.raised`. A name means the same in every table: a step that renames `note` renames it wherever it names the
table. Fields a phone does not know stay as they are: its edits name only what it knows.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

import msgspec

from sync.feed import CHECKSUM_MODULUS, Entry, Position, Scope, Want, entry_sum
from sync.limits import PULL_ENTRIES, PULL_SCHEMAS_BACK, SCHEMA
from sync.policy import EntityPolicy, Policy
from sync.protocol import Mutation
from sync.store import DeviceState, Fields, Snapshot

CONFLICT: Final = "field_conflict"
SIDES: Final = ("base", "mine", "theirs")


@dataclass(frozen=True)
class SchemaStep:
    """What one schema changed against the one before it.

    `renamed` says of a table {name before: name since}; `added` names fields a phone of the schema before does not
    know; `commands` turn the arguments of a business command of the schema before into those of this one.
    """

    renamed: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    added: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    commands: Mapping[str, Callable[[Fields], dict[str, Any]]] = field(
        default_factory=dict[str, Callable[[Fields], dict[str, Any]]]
    )

    def since(self, entity: str, name: str) -> str:
        """Name a field as this schema does."""
        return self.renamed.get(entity, {}).get(name, name)

    def before(self, entity: str, name: str) -> str:
        """Name a field as the schema before does."""
        return next((old for old, new in self.renamed.get(entity, {}).items() if new == name), name)


@dataclass(frozen=True)
class Schemas:
    """Every schema shipped: the newest, and by number the step that led to each."""

    current: int = SCHEMA
    steps: Mapping[int, SchemaStep] = field(default_factory=dict[int, SchemaStep])

    def serves(self, schema: int) -> bool:
        """Whether a phone of this schema is sent rows."""
        return schema >= max(1, self.current - PULL_SCHEMAS_BACK)

    def differs(self, schema: int) -> bool:
        """Whether rows look different to a phone of this schema."""
        return any(step.renamed for step in self._beyond(schema))

    def raised(self, mutation: Mutation) -> Mutation:
        """Return a mutation of an older schema as a phone of today would have made it; its schema stays to be seen.

        A decision keeps its words, for only its conflict says of which table they are: see `named`. Raises whatever an
        adapter of its command raises.
        """
        for step in self._beyond(mutation.schema):
            mutation = _raised(mutation, step)
        return mutation

    def named(self, entity: str, fields: Fields, schema: int) -> dict[str, Any]:
        """Return fields of a phone of this schema under the names of today."""
        named = dict(fields)
        for step in self._beyond(schema):
            named = {step.since(entity, name): value for name, value in named.items()}
        return named

    def held(self, entity: str, names: Iterable[str], schema: int) -> tuple[str, ...]:
        """Name fields as a phone of this schema does."""
        return tuple(self._before(entity, name, schema) for name in names)

    def policy(self, policy: Policy, schema: int) -> Policy:
        """Return the rules for a phone of this schema: what it does not know is in no group it must send whole."""
        unknown: dict[str, set[str]] = {}
        for step in self._beyond(schema):
            for entity, names in step.added.items():
                unknown.setdefault(entity, set()).update(names)
        if not unknown:
            return policy
        narrowed = {entity: _without(policy.of(entity), names) for entity, names in unknown.items()}
        return Policy({**policy.entities, **narrowed})

    def lowered(self, entry: Entry, schema: int) -> Entry:
        """Return an entry with its row as a phone of this schema knows it."""
        if entry.deleted or not self._touches(entry.entity, schema):
            return entry
        fields: dict[str, Any] = msgspec.json.decode(entry.body)
        body = msgspec.json.encode(self._row(entry.entity, fields, schema), order="sorted")
        return msgspec.structs.replace(entry, body=body)

    def _row(self, entity: str, fields: Fields, schema: int) -> dict[str, Any]:
        if entity != CONFLICT:
            return self._named(entity, fields, schema)
        about = fields["entity"]
        sides = {side: self._named(about, fields[side], schema) for side in SIDES}
        return {**fields, **sides, "field": self._before(about, fields["field"], schema)}

    def _named(self, entity: str, fields: Fields, schema: int) -> dict[str, Any]:
        return {self._before(entity, name, schema): value for name, value in fields.items()}

    def _before(self, entity: str, name: str, schema: int) -> str:
        for step in reversed(self._beyond(schema)):
            name = step.before(entity, name)
        return name

    def _touches(self, entity: str, schema: int) -> bool:
        return any(step.renamed and entity in (CONFLICT, *step.renamed) for step in self._beyond(schema))

    def _beyond(self, schema: int) -> Sequence[SchemaStep]:
        """The steps a phone of this schema has not made, oldest first."""
        if schema == self.current:
            return ()
        return [self.steps[number] for number in sorted(self.steps) if schema < number <= self.current]


SHIPPED: Final = Schemas()
"""What this code knows: one schema so far."""


@dataclass(frozen=True)
class Lowered:
    """A snapshot as a phone of an older schema sees it: its rows, and checks that fit them.

    The checks cost a reading of every row of the tables that changed; only phones that lag behind pay for it.
    """

    snapshot: Snapshot
    schemas: Schemas
    schema: int

    async def device(self, device: str, incarnation: str) -> DeviceState | None:
        """See sync.store.Snapshot."""
        return await self.snapshot.device(device, incarnation)

    async def scope(self, person: str, now: datetime) -> Scope:
        """See sync.store.Snapshot."""
        scope = await self.snapshot.scope(person, now)
        heads = dict(scope.heads)
        want, after = Want(tuple(sorted(heads)), (), 0), None
        while True:
            entries = await self.snapshot.entries(want, after, PULL_ENTRIES)
            for entry in entries:
                head = heads[entry.bucket]
                moved = _share(self.schemas.lowered(entry, self.schema)) - _share(entry)
                heads[entry.bucket] = replace(head, checksum=(head.checksum + moved) % CHECKSUM_MODULUS)
                after = entry.position
            if len(entries) < PULL_ENTRIES:
                return Scope(heads, scope.valid_until)

    async def entries(self, want: Want, after: Position | None, limit: int) -> Sequence[Entry]:
        """See sync.store.Snapshot."""
        found = await self.snapshot.entries(want, after, limit)
        return [self.schemas.lowered(entry, self.schema) for entry in found]


def seen_by(snapshot: Snapshot, schemas: Schemas, schema: int) -> Snapshot:
    """Return the snapshot as a phone of this schema sees it."""
    return Lowered(snapshot, schemas, schema) if schemas.differs(schema) else snapshot


def _share(entry: Entry) -> int:
    return entry_sum(entry.entity, entry.row, entry.body.decode())


def _raised(mutation: Mutation, step: SchemaStep) -> Mutation:
    fields = {step.since(mutation.entity, name): edit for name, edit in mutation.fields.items()}
    args = {step.since(mutation.entity, name): value for name, value in mutation.args.items()}
    if mutation.name in step.commands:
        args = step.commands[mutation.name](args)
    return msgspec.structs.replace(mutation, fields=fields, args=args)


def _without(rules: EntityPolicy, names: set[str]) -> EntityPolicy:
    groups = {group: tuple(name for name in members if name not in names) for group, members in rules.groups.items()}
    return replace(rules, groups={group: members for group, members in groups.items() if members})
