"""Wire structs of files."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from backend.people.schemas import Request, View

HAVE_MAXIMUM = 500
"""Hashes asked about at once."""
NAME_MAXIMUM = 200
"""Characters of a file's name."""

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
FileName = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_MAXIMUM, pattern=r"^[^\x00/\\]+$")]
FileKind = Literal["photo", "drawing", "manual", "signature", "report", "document"]
UploadKind = Literal["photo", "drawing", "manual", "document"]
"""What a person may attach; signatures and reports come with their forms."""


class Have(Request, frozen=True):
    """Hashes a phone wants to know about."""

    sha256: Annotated[list[Sha256], msgspec.Meta(max_length=HAVE_MAXIMUM)]


class Had(View, frozen=True):
    """Those of the hashes whose bytes are here and may be read by the one who asks, or were sent by them."""

    have: list[str]


class Stored(View, frozen=True):
    """A file as it was stored."""

    sha256: str
    size: int
    media_type: str


class NewAttachment(Request, frozen=True):
    """A file for a record. Its bytes may be sent before or after (PUT /blobs/{sha256})."""

    entity: Annotated[str, msgspec.Meta(max_length=40)]
    subject_id: UUID
    sha256: Sha256
    kind: UploadKind
    name: FileName


class AttachedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file an action attaches; `id` where the phone made it."""

    sha256: str
    kind: FileKind
    name: str
    id: UUID | None = None


class AttachmentView(View, frozen=True):
    """A file of a record; `arrived` tells whether its bytes are here."""

    id: UUID
    entity: str
    subject_id: UUID
    sha256: str
    kind: str
    name: str
    position: int
    added_at: datetime
    added_by_id: UUID | None
    arrived: bool
