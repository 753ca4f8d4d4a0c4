"""The rows as a person sees them: those of the last pull, with the phone's own unfinished work on top. Pure."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from sync.edits import ADD, EDIT, REMOVE
from sync.holding import Holding, place
from sync.protocol import Mutation, Result, Status

Seen: TypeAlias = Mapping[str, Any]


class Shown:
    """Rows by table and id. Bodies are decoded when somebody looks."""

    def __init__(self, holding: Holding) -> None:
        self._holding = holding
        self._over: dict[str, Seen | None] = {}

    def get(self, entity: str, row: str) -> Seen | None:
        """Return a row, or None when the phone shows none."""
        key = place(entity, row)
        if key in self._over:
            return self._over[key]
        body = self._holding.body(entity, row)
        return None if body is None else msgspec.json.decode(body)

    def all(self, entity: str) -> dict[str, Seen]:
        """Return every row of a table by id."""
        found = {row: self.get(entity, row) for row in sorted(self._ids(entity))}
        return {row: fields for row, fields in found.items() if fields is not None}

    def put(self, entity: str, row: str, fields: Seen) -> None:
        """Show a row with these fields over whatever it has; a row that was not there appears."""
        self._over[place(entity, row)] = {"id": row, **(self.get(entity, row) or {}), **fields}

    def hide(self, entity: str, row: str) -> None:
        """Show a row no longer."""
        self._over[place(entity, row)] = None

    def _ids(self, entity: str) -> set[str]:
        return set(_ids_in(self._over, entity)).union(
            *(_ids_in(rows, entity) for rows in self._holding.buckets.values())
        )


def _ids_in(keys: Mapping[str, object], entity: str) -> Iterator[str]:
    prefix = place(entity, "")
    return (key.removeprefix(prefix) for key in keys if key.startswith(prefix))


Effect: TypeAlias = Callable[[Shown, Mutation], None]
"""What a business command does to the rows a person sees, until the server's answer is part of them."""


def taken(mutation: Mutation, result: Result | None) -> Mutation:
    """Return an edit without the fields that wait for a person's decision."""
    if mutation.name != EDIT or result is None or not result.held:
        return mutation
    fields = {name: edit for name, edit in mutation.fields.items() if name not in result.held}
    return msgspec.structs.replace(mutation, fields=fields)


def lay_over(shown: Shown, mutation: Mutation, result: Result | None, effects: Mapping[str, Effect]) -> None:
    """Show one mutation's effect, of an edit what was `taken`."""
    if mutation.name == EDIT:
        now = {name: edit.now for name, edit in mutation.fields.items()}
        if shown.get(mutation.entity, mutation.row) is not None and now:
            shown.put(mutation.entity, mutation.row, now)
    elif mutation.name == ADD:
        shown.put(mutation.entity, mutation.row, mutation.args)
    elif mutation.name == REMOVE:
        if result is None or result.status is not Status.CONFLICT:
            shown.hide(mutation.entity, mutation.row)
    elif mutation.name in effects:
        effects[mutation.name](shown, mutation)
