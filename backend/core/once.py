"""Creating once: a repeated creation with the same Idempotency-Key gets the first answer and creates nothing."""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, TypeVar, cast
from uuid import UUID

import msgspec
from litestar import Request, Response
from litestar.enums import MediaType
from litestar.params import HeaderParameter
from sqlalchemy import LargeBinary, String, delete
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.auth import signed_in
from backend.core.db import Base, insert_ignoring
from backend.core.errors import IDEMPOTENCY_KEY_MISSING, IDEMPOTENCY_KEY_REUSED, Problem

View = TypeVar("View", bound=msgspec.Struct)

KEY_LENGTH: Final = 100
REMEMBERED: Final = timedelta(days=7)
"""How long a creation's answer is kept."""
CREATED: Final = 201


IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        description="Needed: a UUID made for this creation. Sent again with the same key, it creates nothing more.",
    ),
]


class Creation(Base):
    """An answered creation, by person and key."""

    __tablename__ = "creation"

    person_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    request_sha256: Mapped[str] = mapped_column(String(64))
    answer: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(index=True)


class Once:
    """One request's idempotency key: `return await once.create(session, now, lambda: actions.open_case(...))`.

    The key is read in `create`, not when the dependency is made: see paging.PageRequest for why.
    """

    def __init__(self, request: Request[Any, Any, Any], key: str) -> None:
        self._request = request
        self._key = key

    async def create(
        self, session: AsyncSession, now: datetime, produce: Callable[[], Awaitable[View]]
    ) -> Response[View]:
        """Produce the view of a new record, or repeat the earlier answer.

        Raises idempotency_key_missing, and idempotency_key_reused for a key used for another request.
        """
        if not 1 <= len(self._key) <= KEY_LENGTH:
            raise Problem(IDEMPOTENCY_KEY_MISSING)
        person_id, key, request_sha256 = signed_in(self._request).person_id, self._key, await self._sha256()
        claim = {
            "person_id": person_id, "key": key, "request_sha256": request_sha256, "answer": b"", "created_at": now,
        }  # fmt: skip
        claimed = await session.run_sync(insert_ignoring, Creation.__table__, [claim])
        creation = await session.get_one(Creation, (person_id, key))
        if creation.request_sha256 != request_sha256:
            raise Problem(IDEMPOTENCY_KEY_REUSED)
        if claimed:
            creation.answer = msgspec.json.encode(await produce())
        stored = cast("View", creation.answer)  # the view as it was encoded then
        return Response(stored, status_code=CREATED, media_type=MediaType.JSON)

    async def earlier(self, session: AsyncSession) -> Response[Any] | None:
        """Return the answer this creation was given before, if it was: for work done ahead of the transaction.

        Raises idempotency_key_reused for a key used for another request.
        """
        creation = await session.get(Creation, (signed_in(self._request).person_id, self._key))
        if creation is None:
            return None
        if creation.request_sha256 != await self._sha256():
            raise Problem(IDEMPOTENCY_KEY_REUSED)
        return Response(creation.answer, status_code=CREATED, media_type=MediaType.JSON)

    async def _sha256(self) -> str:
        seen = hashlib.sha256(f"{self._request.method} {self._request.url.path}\n".encode())
        seen.update(await self._request.body())
        return seen.hexdigest()


def provide_once(request: Request[Any, Any, Any], idempotency_key: IdempotencyKey = None) -> Once:
    """Dependency `once`: the request's Idempotency-Key."""
    return Once(request, idempotency_key or "")


async def forget_old_creations(session: AsyncSession, now: datetime) -> int:
    """Delete answers older than REMEMBERED; return how many."""
    old = delete(Creation).where(Creation.created_at < now - REMEMBERED)
    return len((await session.execute(old.returning(Creation.key))).all())
