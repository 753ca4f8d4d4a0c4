"""Reading requests strictly: a body has the types it says, a query the names its address knows."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from litestar import Request
from litestar.exceptions import ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter

from backend.core.allowed import Taken, with_allowed
from backend.core.errors import INVALID, Finding, Problem

HANDLERS_KNOWN: Final = 1024
"""Handlers whose query names are kept; there are a few hundred."""
PLACE: Final = re.compile(r"^(?P<said>.*?)(?: - at `(?:key in )?\$\.?(?P<field>[^`]*)`)?$", re.DOTALL)
"""How the validator says where in the body something is wrong."""


class StrictRequest(Request[Any, Any, Any]):
    """A request whose JSON is read as what the handler takes.

    The framework reads it as plain values and converts those as it converts a query, where "12" is a number and 5 an
    instant in 1970.
    """

    async def json(self) -> Any:
        """Return the body; raises ValidationException naming the field, DecodeError for what is not JSON."""
        taken = self.route_handler.parsed_fn_signature.parameters.get("data")
        kind = taken.annotation if taken else Any
        try:
            return msgspec.json.decode(await self.body() or b"null", type=kind)
        except msgspec.ValidationError as error:
            place = PLACE.match(str(error))
            said, field = (place["said"], place["field"] or "") if place else (str(error), "")
            told = {"key": field or "data", "message": with_allowed(said, kind, field)}
            raise ValidationException(extra=[told]) from error


async def refuse_unknown_query(request: Request[Any, Any, Any]) -> None:
    """Refuse query parameters the address does not know: a misspelt filter would answer with everything."""
    query = request.scope["query_string"]
    handler = request.route_handler
    if not query or handler.include_in_schema is False:
        return
    asked = {name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)}
    unknown = sorted(asked - {taken.name for taken in query_taken(handler).values()})
    if unknown:
        wordings = ("没有这个查询参数", "this address has no such query parameter")
        raise Problem(INVALID, *(Finding(name, *wordings) for name in unknown))


@lru_cache(maxsize=HANDLERS_KNOWN)
def query_taken(handler: HTTPRouteHandler) -> Mapping[str, Taken]:
    """Return what the handler and the dependencies it uses take from the query, by what the code calls it."""
    dependencies = handler.resolve_dependencies()
    taken: dict[str, Taken] = {}
    waiting = list(handler.parsed_fn_signature.parameters.items())
    while waiting:
        name, field = waiting.pop()
        if name in dependencies:
            waiting += dependencies[name].parsed_fn_signature.parameters.items()
        elif isinstance(field.kwarg_definition, QueryParameter):
            taken[name] = Taken(field.kwarg_definition.name or name, field.annotation)
    return taken
