"""Wire structs of call-backs."""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec

from backend.people.schemas import Request, View
from backend.requests.schemas import NO_NUL, Text

NOTE_MAXIMUM: Final = 400
"""It becomes part of a reason."""

Satisfaction = Annotated[int, msgspec.Meta(ge=1, le=5, description="From 1, very dissatisfied, to 5 (A105).")]


class FollowUpAnswer(Request, frozen=True):
    """What the customer said when called (A170, A173): solved, how satisfied, what else they need.

    `note` says why it was not solved; it becomes the reason of the reopening.
    """

    solved: bool
    satisfaction: Satisfaction | None = None
    other_needs: Text | None = None
    note: Annotated[str, msgspec.Meta(max_length=NOTE_MAXIMUM, pattern=NO_NUL)] = ""


class FollowUpView(View, frozen=True):
    """A call-back that is due, or what was said. `rule` is the key of the preset it follows."""

    id: UUID
    request_id: UUID | None
    request_number: str | None
    request_state: str | None
    customer_id: UUID
    customer_name: str
    reporter_name: str | None
    reporter_phone: str | None
    rule: str
    due_at: datetime
    called_at: datetime | None
    caller_id: UUID | None
    solved: bool | None
    satisfaction: int | None
    other_needs: str | None
