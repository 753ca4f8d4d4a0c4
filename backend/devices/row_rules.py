"""What a phone may make of a row: the office's own rules, asked of the fields an `edit` changes or an `add` gives."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.errors import INVALID, Finding, Problem
from backend.customers.actions import TOO_MANY_POINTS, checked_address
from backend.customers.models import Contact, ContactPoint
from backend.customers.queries import survivor
from backend.customers.schemas import (
    POINTS_MAXIMUM,
    ContactPatch,
    ContactPointPatch,
    NewContact,
    NewContactPoint,
    PointKind,
)
from backend.devices.removal import must_not_be_in_use
from backend.devices.wording import invalid, rejection_of
from backend.people.queries import no_such
from backend.people.schemas import Instant, Latitude, Longitude
from backend.sites.actions import check_asset
from backend.sites.models import SiteContact
from backend.sites.schemas import (
    AssetPatch,
    Confidence,
    LocationSource,
    NewAsset,
    NewPosition,
    PositionPatch,
    SiteContactPut,
    SitePatch,
)
from sync.policy import POLICY
from sync.store import Fields, Pending, Row, RowKey, RowWrite, WriteKind

PHONES_DATUM: Final = "wgs84"
"""In which phones say where a site lies."""


class SiteFields(SitePatch, frozen=True):
    """What a phone may change of a site; where it lies is columns of the row there."""

    lat: Latitude | UnsetType | None = UNSET
    lon: Longitude | UnsetType | None = UNSET
    position_source: LocationSource | UnsetType | None = UNSET
    position_confidence: Confidence | UnsetType | None = UNSET


class PositionFields(PositionPatch, frozen=True):
    """What a phone may change of a position."""

    parent_id: UUID | UnsetType | None = UNSET


class PointFields(ContactPointPatch, frozen=True):
    """What a phone may change of a way to reach a contact; it says itself since when there is a consent."""

    kind: PointKind | UnsetType = UNSET
    consented_at: Instant | UnsetType | None = UNSET


class NewPoint(NewContactPoint, frozen=True):
    """A way to reach a contact, made on a phone."""

    consented_at: Instant | None = None


class NewSiteContact(SiteContactPut, frozen=True, kw_only=True):
    """Whom to ask for at a site."""

    contact_id: UUID


EDITED: Final[Mapping[str, type[msgspec.Struct]]] = {
    "site": SiteFields, "position": PositionFields, "asset": AssetPatch, "site_contact": SiteContactPut,
    "contact": ContactPatch, "contact_point": PointFields,
}  # fmt: skip
ADDED: Final[Mapping[str, type[msgspec.Struct]]] = {
    "position": NewPosition, "asset": NewAsset, "site_contact": NewSiteContact, "contact": NewContact,
    "contact_point": NewPoint,
}  # fmt: skip


@dataclass(frozen=True)
class _Change:
    """One row's change: the fields given, as JSON values, and the whole row as it would be."""

    session: AsyncSession
    pending: Pending
    key: RowKey
    given: Fields
    after: Fields
    new: bool
    known_kinds: set[tuple[Any, Any]]


class SqlRules:
    """The part of a transaction that says what phones may make of rows."""

    session: AsyncSession
    known_kinds: set[tuple[Any, Any]]
    """Types and models of assets this transaction has found to be known."""

    async def admitted(self, write: RowWrite, row: Row | None, pending: Pending, /) -> Fields:
        """See sync.store.Transaction."""
        try:
            return await admitted_fields(self.session, write, row, pending, self.known_kinds)
        except Problem as problem:
            raise rejection_of(problem) from problem


async def admitted_fields(
    session: AsyncSession, write: RowWrite, row: Row | None, pending: Pending, known_kinds: set[tuple[Any, Any]]
) -> Fields:
    """Return the fields of a phone's change as they are to be stored (see sync.store.Transaction.admitted).

    Raises Problem `invalid`, naming the field, `too_many_contact_points`, and `still_in_use` for a removal.
    """
    entity = write.key.entity
    if write.kind is WriteKind.DELETE:
        await pending.flush()
        await must_not_be_in_use(session, write.key)
        return {}
    parent = POLICY.of(entity).parent_column
    asked = ADDED if write.kind is WriteKind.INSERT else EDITED
    try:
        msgspec.convert(
            {name: _number(value) for name, value in write.fields.items() if row is not None or name != parent},
            asked[entity],
        )
    except msgspec.ValidationError as error:
        raise invalid(error) from error
    after = {**(row.fields if row else {}), **write.fields}
    change = _Change(session, pending, write.key, write.fields, after, row is None, known_kinds)
    return await _CHECKS.get(entity, _as_given)(change)


def beside(entity: str, row: Mapping[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Return a row's changed columns with those that follow from them: where a site lies was given in a datum."""
    if entity != "site" or not values.keys() & {"lat", "lon"}:
        return values
    lat, lon = (values.get(name, row.get(name)) for name in ("lat", "lon"))
    datum = None if lat is None else PHONES_DATUM
    return {**values, "original_lat": lat, "original_lon": lon, "original_datum": datum}


async def _as_given(change: _Change) -> Fields:
    return change.given


async def _site(change: _Change) -> Fields:
    if (change.after["lat"] is None) is not (change.after["lon"] is None):
        raise Problem(INVALID, Finding("lon", "经纬度须同时填写", "latitude and longitude go together"))
    return change.given


async def _asset(change: _Change) -> Fields:
    kind = (change.given.get("asset_type"), change.given.get("asset_model_id"))
    if kind not in change.known_kinds:
        ids = {"asset_model_id": UUID(kind[1])} if kind[1] is not None else {}
        await check_asset(change.session, {**change.given, **ids})
        change.known_kinds.add(kind)
    return change.given


async def _position(change: _Change) -> Fields:
    """Refuse a place above that is of another site, or lies within this one."""
    above = change.given.get("parent_id")
    met: set[str] = set()
    while above is not None and above not in met:
        met.add(above)
        found = await change.pending.row(RowKey("position", str(UUID(above))))
        if found is None or found.deleted or found.fields["site_id"] != change.after["site_id"]:
            raise no_such("parent_id")
        if found.key == change.key:
            raise Problem(INVALID, Finding("parent_id", "不能位于自身之内", "a place cannot lie within itself"))
        above = found.fields["parent_id"]
    return change.given


async def _site_contact(change: _Change) -> Fields:
    """Refuse whom the site's customer does not know, and whoever is asked for there already."""
    if not change.new:
        return change.given
    contact_id = UUID(change.given["contact_id"])
    site = await change.pending.row(RowKey("site", change.given["site_id"]))
    known = await change.pending.row(RowKey("contact", str(contact_id)))
    if site is None or known is None or known.deleted:
        raise no_such("contact_id")
    contact = await survivor(change.session, Contact, contact_id)
    if str(contact.customer_id) != site.fields["customer_id"]:
        raise no_such("contact_id")
    await change.pending.flush()
    asked_for = select(SiteContact.id).filter_by(site_id=UUID(site.key.row), contact_id=contact.id)
    if (await change.session.execute(asked_for)).first() is not None:
        raise Problem(INVALID, Finding("contact_id", "已是此现场的联系人", "is asked for at this site already"))
    return {**change.given, "contact_id": str(contact.id)}


async def _contact_point(change: _Change) -> Fields:
    """Store an address as the office does, and know since when there is a consent."""
    after = change.after
    if (after.get("consent") is None) is not (after.get("consented_at") is None):
        raise Problem(INVALID, Finding("consented_at", "须与同意一起填写", "goes with the consent, and only with it"))
    if change.new:
        await _must_have_room(change, UUID(change.given["contact_id"]))
    if not change.given.keys() & {"kind", "address"}:
        return change.given
    return {**change.given, "address": checked_address(after["kind"], after["address"], "address")}


async def _must_have_room(change: _Change, contact_id: UUID) -> None:
    await change.pending.flush()
    theirs = select(func.count()).select_from(ContactPoint).where(ContactPoint.contact_id == contact_id)
    if (await change.session.execute(theirs)).scalar_one() >= POINTS_MAXIMUM:
        raise Problem(TOO_MANY_POINTS)


def _number(value: Any) -> Any:
    """JSON knows only numbers: 1.0 is 1."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_CHECKS: Final[Mapping[str, Callable[[_Change], Awaitable[Fields]]]] = {
    "site": _site, "position": _position, "asset": _asset, "site_contact": _site_contact,
    "contact_point": _contact_point,
}  # fmt: skip
