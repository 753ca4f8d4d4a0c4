"""Tables of stored bytes and what they are attached to."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.changes import BUCKET_LENGTH, synced
from backend.core.db import Base, Row


class Blob(Base):
    """Bytes by their sha256; the bytes lie in the data folder."""

    __tablename__ = "blob"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str] = mapped_column(String(100))
    stored_at: Mapped[datetime]


class BlobUpload(Base):
    """Who sent the bytes themselves. Naming a hash in a record shows nothing: it could be anybody's file."""

    __tablename__ = "blob_upload"

    sha256: Mapped[str] = mapped_column(ForeignKey("blob.sha256"), primary_key=True)
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"), primary_key=True)
    uploaded_at: Mapped[datetime]


class Upload(Row):
    """Bytes on their way in pieces (tus). What has come lies in a part file, on the storage every process shares.

    A person has one upload of a content: a phone that lost the address of its upload finds it by opening it again.
    """

    __tablename__ = "upload"
    __table_args__ = (UniqueConstraint("person_id", "sha256"),)

    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    sha256: Mapped[str] = mapped_column(String(64))
    length: Mapped[int] = mapped_column(BigInteger)
    received: Mapped[int] = mapped_column(BigInteger)
    """Bytes that lie on the disk for certain; never less than it was."""
    turn: Mapped[UUID | None]
    """The request that writes now. A later one takes over, and the earlier may not count its bytes any more."""
    busy: Mapped[bool]
    """Whether that request may have bytes it has not counted yet. A server that was killed leaves it set."""
    sent_metadata: Mapped[str]
    """Upload-Metadata as it came: the protocol wants it back."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    finished_at: Mapped[datetime | None]


class Thumbnail(Base):
    """A small picture of a blob, made once. It is a blob itself, which nobody reads by its own name."""

    __tablename__ = "thumbnail"

    sha256: Mapped[str] = mapped_column(ForeignKey("blob.sha256"), primary_key=True)
    side: Mapped[int] = mapped_column(primary_key=True)
    thumbnail_sha256: Mapped[str | None] = mapped_column(ForeignKey("blob.sha256"))
    """None: the bytes are no picture that can be made small."""
    made_at: Mapped[datetime]


@synced("{bucket}")
class Attachment(Row):
    """A file that belongs to a record. `sha256` names bytes that may still be on the phone.

    A form arrives before its photos.
    """

    __tablename__ = "attachment"
    __table_args__ = (Index("ix_attachment_subject", "entity", "subject_id"),)

    bucket: Mapped[str | None] = mapped_column(String(BUCKET_LENGTH))
    entity: Mapped[str] = mapped_column(String(40))
    subject_id: Mapped[UUID]
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    kind: Mapped[str] = mapped_column(String(20))
    """photo, drawing, manual, signature, report."""
    name: Mapped[str]
    position: Mapped[int]
    added_at: Mapped[datetime]
    added_by_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    """None: made by the server itself, such as a sealed report."""
