"""What an import knows when it decides on a row: what the database holds, and what earlier rows decided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from backend.imports.rows import Reference

Columns = dict[str, Any]
"""A row as columns and values."""
Identity = tuple[object, ...]
"""What a record is recognised by: its external id, or the values of the target's identity."""


@dataclass
class Known:
    """Rows of the database, as far as the rows in hand may meet them."""

    rows: dict[str, dict[UUID, Columns]] = field(default_factory=dict[str, dict[UUID, Columns]])
    external_ids: dict[tuple[str, str], UUID] = field(default_factory=dict[tuple[str, str], UUID])
    names: dict[tuple[str, str], list[UUID]] = field(default_factory=dict[tuple[str, str], list[UUID]])
    """Entity and what rows may be known by; several rows can share a name."""
    identities: dict[tuple[str, Identity], UUID] = field(default_factory=dict[tuple[str, Identity], UUID])
    taken: dict[tuple[str, str, object], UUID] = field(default_factory=dict[tuple[str, str, object], UUID])
    """Entity, column and value of what no two rows share."""


@dataclass(frozen=True)
class Seen:
    """A record one of the run's rows spoke of."""

    id: UUID
    line: int
    said: int
    """Hash of what the row said of it."""


@dataclass
class Decided:
    """What rows of this run have decided. A run, a chunk and a row each have one, so that a row can be given up."""

    seen: dict[tuple[str, Identity], Seen] = field(default_factory=dict[tuple[str, Identity], Seen])
    names: dict[tuple[str, str], list[UUID]] = field(default_factory=dict[tuple[str, str], list[UUID]])
    taken: dict[tuple[str, str, object], UUID] = field(default_factory=dict[tuple[str, str, object], UUID])
    rows: dict[UUID, Columns] = field(default_factory=dict[UUID, Columns])
    """Records created and not yet readable in the database."""

    def forget_what_is_stored(self) -> None:
        """Keep only what no query can answer: which records earlier rows spoke of, and how."""
        self.names.clear()
        self.taken.clear()
        self.rows.clear()

    def absorb(self, other: "Decided") -> None:
        """Take over what another one decided."""
        self.seen |= other.seen
        self.taken |= other.taken
        self.rows |= other.rows
        for name, ids in other.names.items():
            self.names.setdefault(name, []).extend(ids)


class View:
    """The database and the run's decisions as one, looked at by one row."""

    def __init__(self, known: Known, run: Decided, chunk: Decided, catalogues: Mapping[str, frozenset[str]]) -> None:
        self.known = known
        self.catalogues = catalogues
        """Keys of preset sets, by set."""
        self.mine = Decided()
        self._layers: Sequence[Decided] = (self.mine, chunk, run)

    def seen(self, entity: str, identity: Identity) -> Seen | None:
        """What an earlier row of this run said of a record."""
        return next((layer.seen[entity, identity] for layer in self._layers if (entity, identity) in layer.seen), None)

    def existing(self, entity: str, identity: Identity, *, by_external_id: bool) -> UUID | None:
        """Return the id of the database's row for a record."""
        if by_external_id:
            return self.known.external_ids.get((entity, str(identity[0])))
        return self.known.identities.get((entity, identity))

    def candidates(self, reference: Reference) -> list[UUID]:
        """Return the records a reference may mean."""
        if reference.by_external_id:
            earlier = self.seen(reference.entity, (reference.text,))
            found = earlier.id if earlier else self.known.external_ids.get((reference.entity, reference.text))
            return [found] if found else []
        key = (reference.entity, reference.text)
        found = [one for layer in self._layers for one in layer.names.get(key, ())]
        return list(dict.fromkeys([*found, *self.known.names.get(key, ())]))

    def row(self, entity: str, row_id: UUID) -> Columns:
        """Return a record's columns, created by this run or read from the database; empty when neither has it."""
        for layer in self._layers:
            if row_id in layer.rows:
                return layer.rows[row_id]
        return self.known.rows.get(entity, {}).get(row_id, {})

    def survivor(self, entity: str, row_id: UUID) -> UUID:
        """Follow a merged record to the one that stands for it."""
        followed = set[UUID]()
        while row_id not in followed:
            followed.add(row_id)
            row_id = self.row(entity, row_id).get("merged_into_id") or row_id
        return row_id

    def holder(self, entity: str, column: str, value: object) -> UUID | None:
        """Return the record that has a value no two may share."""
        key = (entity, column, value)
        return next((layer.taken[key] for layer in self._layers if key in layer.taken), self.known.taken.get(key))
