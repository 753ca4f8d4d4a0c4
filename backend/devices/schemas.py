"""What the desk is shown of conflicts and of what was set aside, and how it settles them."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec

from sync.texts import Text

REASON_LENGTH: Final = 500
"""Characters of the reason for which something set aside is dismissed."""

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


class QuarantineView(msgspec.Struct, frozen=True, kw_only=True):
    """One mutation that was set aside: from whom, and why. `settlement` is `accepted`, `dismissed` or null."""

    id: UUID
    person_id: UUID
    person_name: str
    device_id: UUID
    device_name: str
    name: str
    code: str
    why: Text | None
    received_at: datetime
    settlement: str | None
    settled: WhoView | None
    reason: str | None


class OutcomeView(msgspec.Struct, frozen=True):
    """How it ended when it was last accepted, as a phone would be told."""

    status: str
    code: str
    text: Text | None
    conflicts: tuple[str, ...]


class QuarantineDetail(msgspec.Struct, frozen=True, kw_only=True):
    """What was set aside, to read. `payload` is what the phone sent, or text where it is no JSON."""

    item: QuarantineView
    payload: Any
    outcome: OutcomeView | None


class DismissalBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why it will not be done."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=REASON_LENGTH, pattern=r"\S")]
