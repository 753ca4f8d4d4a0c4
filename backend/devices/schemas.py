"""What the desk is shown of conflicts, and how it decides them."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from sync.texts import Text

Take = Literal["mine", "theirs", "values"]


class WhoView(msgspec.Struct, frozen=True):
    """A person and when."""

    person_id: UUID | None
    name: str | None
    at: datetime


class ConflictView(msgspec.Struct, frozen=True, kw_only=True):
    """One thing two people changed differently. `field` is a field, a group of fields, or `*` for the whole record.

    `edited` is whose edit came from a phone and waits; `decision` is how it ended.
    """

    id: UUID
    entity: str
    entity_words: Text
    subject_id: UUID
    bucket: str | None
    field: str
    edited: WhoView
    opened_at: datetime
    decision: str | None
    decided: WhoView | None


class FieldView(msgspec.Struct, frozen=True):
    """One field of a conflict: what the phone saw, what it made of it, what the server had, and what it has now."""

    name: str
    words: Text
    base: Any
    mine: Any
    theirs: Any
    current: Any


class ConflictDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A conflict to compare. `row_exists` says whether the record is there now; `theirs` who changed it meanwhile.

    Of the whole record, `mine_removes` says that the phone deleted it; else somebody else did.
    """

    conflict: ConflictView
    fields: list[FieldView]
    row_exists: bool
    mine_removes: bool
    theirs: WhoView | None


class DecisionBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Take one side, or say the values of the fields in conflict (all of a group)."""

    take: Take
    values: dict[str, Any] = {}
