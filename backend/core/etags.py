"""ETags for office edits: a hash of the record as shown, so an edit rests on exactly what its author saw."""

import hashlib
from typing import Annotated, Any, TypeVar

import msgspec
from litestar import Response
from litestar.params import HeaderParameter

from backend.core.db import Base
from backend.core.errors import PRECONDITION_MISSING, STALE, Problem

View = TypeVar("View", bound=msgspec.Struct)

IfMatch = Annotated[str | None, HeaderParameter(name="If-Match")]
"""The If-Match header of an edit."""


def etag_of(view: msgspec.Struct) -> str:
    """Return the strong ETag of a view."""
    return f'"{hashlib.sha256(msgspec.json.encode(view, order="deterministic")).hexdigest()[:32]}"'


def with_etag(view: View) -> Response[View]:
    """Answer a view with its ETag."""
    return Response(view, headers={"ETag": etag_of(view)})


def must_match(if_match: str | None, view: msgspec.Struct) -> None:
    """Refuse an edit that rests on an older view; call it inside the write transaction, on the row as locked there."""
    if if_match is None:
        raise Problem(PRECONDITION_MISSING)
    if etag_of(view) not in [tag.strip() for tag in if_match.split(",")]:
        raise Problem(STALE)


def given(patch: msgspec.Struct) -> dict[str, Any]:
    """Return the fields a patch gives, by name; those it leaves out are UNSET."""
    values = {name: getattr(patch, name) for name in patch.__struct_fields__}
    return {name: value for name, value in values.items() if value is not msgspec.UNSET}


def set_fields(row: Base, values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Set columns of a row; return those that changed, as (before, after), for the audit trail."""
    changed = changed_fields({name: getattr(row, name) for name in values}, values)
    for name, value in values.items():
        setattr(row, name, value)
    return changed


def changed_fields(before: dict[str, Any], after: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields that differ, as (before, after), for the audit trail."""
    names = [name for name in after if before.get(name) != after[name]]
    return {name: before.get(name) for name in names}, {name: after[name] for name in names}
