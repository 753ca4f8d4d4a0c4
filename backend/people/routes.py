"""Routes of sign-in and people."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.auth import Principal, anyone_signed_in, public
from backend.core.sessions import Database
from backend.people import queries
from backend.people.schemas import Me, Refresh, SignIn, Tokens
from backend.people.sign_in import refresh_sign_in, sign_in, sign_out
from backend.settings import Settings

TAGS: Final[Sequence[str]] = ["people"]


@post("/auth/sign-in", guards=[public], status_code=200)
async def sign_in_route(
    data: JSONBody[SignIn], database: NamedDependency[Database], settings: NamedDependency[Settings],
    token_key: NamedDependency[bytes], now: NamedDependency[datetime],
) -> Tokens:  # fmt: skip
    """Sign in by phone, employee number or e-mail."""
    return await sign_in(database, token_key, data, now=now, access=_access(settings), refresh=_refresh(settings))


@post("/auth/refresh", guards=[public], status_code=200)
async def refresh_route(
    data: JSONBody[Refresh], write: NamedDependency[AsyncSession], settings: NamedDependency[Settings],
    token_key: NamedDependency[bytes], now: NamedDependency[datetime],
) -> Tokens:  # fmt: skip
    """Exchange a refresh token for new tokens."""
    return await refresh_sign_in(write, token_key, data, now=now, access=_access(settings), refresh=_refresh(settings))


@post("/auth/sign-out", guards=[anyone_signed_in], status_code=204)
async def sign_out_route(
    principal: NamedDependency[Principal], write: NamedDependency[AsyncSession], now: NamedDependency[datetime]
) -> None:
    """End this session."""
    await sign_out(write, principal.session_id, now=now)


@get("/me", guards=[anyone_signed_in])
async def me_route(principal: NamedDependency[Principal], read: NamedDependency[AsyncSession]) -> Me:
    """Tell the signed-in person who they are and what they may do."""
    return await queries.me(read, principal)


def _access(settings: Settings) -> timedelta:
    return timedelta(minutes=settings.access_minutes)


def _refresh(settings: Settings) -> timedelta:
    return timedelta(days=settings.refresh_days)


router = Router(
    "/", route_handlers=[sign_in_route, refresh_route, sign_out_route, me_route], tags=TAGS
)  # fmt: skip
