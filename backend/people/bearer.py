"""Who is behind a request: reads the bearer token and loads the person before any guard is asked."""

from litestar.connection import ASGIConnection
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from backend.core.auth import read_access_token
from backend.core.clock import Clock
from backend.core.sessions import Database
from backend.people.sign_in import principal_of


class BearerMiddleware(ASGIMiddleware):
    """Sets `scope["user"]` to the Principal of a valid `Authorization: Bearer` token.

    A bad token is answered with 401.
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
            now = self._clock.now()
            said = read_access_token(self._token_key, token, now=now)
            async with self._database.read() as session:
                scope["user"] = await principal_of(
                    session, person_id=said.person_id, session_id=said.session_id, now=now
                )
        await next_app(scope, receive, send)
