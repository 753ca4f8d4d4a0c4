"""Reading requests strictly: a body has the types it says, a query the names its address knows."""

import re
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from litestar import Request
from litestar.exceptions import ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter

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
        try:
            return msgspec.json.decode(await self.body() or b"null", type=taken.annotation if taken else Any)
        except msgspec.ValidationError as error:
            place = PLACE.match(str(error))
            said, field = (place["said"], place["field"] or "data") if place else (str(error), "data")
            raise ValidationException(extra=[{"key": field, "message": said}]) from error


async def refuse_unknown_query(request: Request[Any, Any, Any]) -> None:
    """Refuse query parameters the address does not know: a misspelt filter would answer with everything."""
    query = request.scope["query_string"]
    handler = request.route_handler
    if not query or handler.include_in_schema is False:
        return
    asked = {name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)}
    unknown = sorted(asked - _query_names(handler))
    if unknown:
        wordings = ("没有这个查询参数", "this address has no such query parameter")
        raise Problem(INVALID, *(Finding(name, *wordings) for name in unknown))


@lru_cache(maxsize=HANDLERS_KNOWN)
def _query_names(handler: HTTPRouteHandler) -> frozenset[str]:
    """Return what the handler and the dependencies it uses take from the query."""
    dependencies = handler.resolve_dependencies()
    names: set[str] = set()
    waiting = list(handler.parsed_fn_signature.parameters.items())
    while waiting:
        name, field = waiting.pop()
        if name in dependencies:
            waiting += dependencies[name].parsed_fn_signature.parameters.items()
        elif isinstance(field.kwarg_definition, QueryParameter):
            names.add(field.kwarg_definition.name or name)
    return frozenset(names)
