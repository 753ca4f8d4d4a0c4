"""Who is behind a request: reads the bearer token and loads the person before any guard is asked."""

from litestar.connection import ASGIConnection
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from backend.core.auth import IDENTITY_ONLY, Principal, read_access_token
from backend.core.clock import Clock
from backend.core.errors import Problem
from backend.core.sessions import Database
from backend.people.sign_in import identity_of, principal_of


class BearerMiddleware(ASGIMiddleware):
    """Sets `scope["user"]` to the Principal of a valid `Authorization: Bearer` token.

    A bad token leaves nobody there: guards answer 401, and public routes (a refresh, say) work all the same.
    """

    def __init__(self, database: Database, clock: Clock, token_key: bytes) -> None:
        self._database = database
        self._clock = clock
        self._token_key = token_key

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Load the principal, then go on."""
        header = ASGIConnection(scope).headers.get("Authorization", "")
        scheme, _, token = header.partition(" ")
        if scheme.lower() == "bearer":
            identity_only = IDENTITY_ONLY in scope["route_handler"].opt
            scope["user"] = await self._principal(token, identity_only=identity_only)
        await next_app(scope, receive, send)

    async def _principal(self, token: str, *, identity_only: bool) -> Principal | None:
        now = self._clock.now()
        try:
            said = read_access_token(self._token_key, token, now=now)
        except Problem:
            return None
        if identity_only:
            return await identity_of(self._database, person_id=said.person_id, session_id=said.session_id)
        async with self._database.read() as session:
            return await principal_of(session, person_id=said.person_id, session_id=said.session_id, now=now)
