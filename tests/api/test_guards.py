"""Every route says who may use it; what needs no sign-in is on a list."""

from collections.abc import Iterator

import pytest
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from backend.app import create_app
from backend.core.auth import anyone_signed_in, public
from backend.settings import Settings
from tests.make import Office

GUARDS = {"requires.<locals>.guard", "requires_any.<locals>.guard", "signed_in_or_signed"}
PUBLIC = {
    "GET /healthz", "GET /readyz",
    "POST /auth/sign-in", "POST /auth/refresh", "POST /auth/password-reset",
    "POST /sync/v1/devices", "POST /sync/v1/rescue",  # a phone shows an enrolment code, or signs with its key
    "GET /verify/{shown_sha256:str}",  # whoever holds a printed form may ask whether it is ours
}  # fmt: skip
NOBODY = "00000000-0000-7000-8000-000000000000"
DOCS = "/docs"
"""The API page, its document and its files come from the framework and hold no data of anybody."""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Litestar:
    return create_app(Settings(mode="test", data_dir=tmp_path_factory.mktemp("guards")))


def routes(app: Litestar) -> Iterator[tuple[str, HTTPRouteHandler]]:
    """Every address and method with its handler, but those of the API page."""
    for route in app.routes:
        assert isinstance(route, HTTPRoute), f"{route.path}: no guard is known for {type(route).__name__}"
        for handler in route.route_handlers:
            for method in sorted(handler.http_methods - {"OPTIONS"}):
                if route.path != DOCS and not route.path.startswith(f"{DOCS}/"):
                    yield f"{method} {route.path}", handler


def test_every_route_says_who_may_use_it(app: Litestar) -> None:
    unguarded: list[str] = []
    for address, handler in routes(app):
        guards = list(handler.guards or ())
        known = [guard in {anyone_signed_in, public} or guard.__qualname__ in GUARDS for guard in guards]
        if not guards or not all(known):
            unguarded.append(address)
    assert not unguarded


def test_what_needs_no_sign_in_is_on_the_list(app: Litestar) -> None:
    opened = {address for address, handler in routes(app) if public in (handler.guards or ())}
    assert opened <= PUBLIC


async def test_without_a_sign_in_nothing_else_answers(sqlite_office: Office) -> None:
    """Asked for real, with ids that lead nowhere: 401 before anything else is looked at."""
    answered: list[str] = []
    for address, handler in routes(sqlite_office.app):
        method, _, path = address.partition(" ")
        if public in (handler.guards or ()):
            continue
        parts = (NOBODY if part.startswith("{") else part for part in path.split("/"))
        concrete = "/".join(parts)
        answer = await sqlite_office.client.request(method, concrete, json=None)
        if answer.status_code != 401:
            answered.append(f"{address}: {answer.status_code}")
    assert not answered
