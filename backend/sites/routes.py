"""Routes of sites, positions and assets."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response, Router, delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.auth import Principal, anyone_signed_in, requires
from backend.core.errors import FORBIDDEN, Problem
from backend.core.etags import IfMatch, given, must_match, with_etag
from backend.core.once import Once
from backend.core.paging import Page, PageRequest
from backend.customers.models import Contact
from backend.customers.queries import customer_within
from backend.customers.schemas import Merge
from backend.people.queries import no_such
from backend.people.schemas import shown
from backend.sites import actions, queries
from backend.sites.models import AssetPlacement, Site
from backend.sites.rules import ASSET_OFFICE_FIELDS, OFFICE_FIELDS, office_findings
from backend.sites.schemas import (
    AssetModelView,
    AssetPatch,
    AssetView,
    KeyMove,
    KeyView,
    NewAsset,
    NewAssetModel,
    NewKey,
    NewOwner,
    NewPlacement,
    NewPosition,
    NewSite,
    OwnerView,
    PlacementView,
    PositionPatch,
    PositionView,
    Removal,
    SiteContactPut,
    SiteContactView,
    SitePatch,
    SiteView,
)

Session = NamedDependency[AsyncSession]
Now = NamedDependency[datetime]
Who = NamedDependency[Principal]
Once_ = NamedDependency[Once]
Paged = NamedDependency[PageRequest]
Id = FromPath[UUID]
Search = Annotated[
    str | None,
    QueryParameter(
        name="q", max_length=100, pattern=r"^[^\x00]*$", description="Part of a name or an address, or a number."
    ),
]

READS = requires("case", "read")
WRITES = requires("case", "write")


@get("/sites", guards=[READS])
async def list_sites(
    *, principal: Who, read: Session, page: Paged, now: Now, q: Search = None,
    customer_id: FromQuery[UUID | None] = None, unpinned: FromQuery[bool] = False,
) -> Page[SiteView]:  # fmt: skip
    """List sites, newest first; `unpinned=true` lists those a person still has to pin on the map."""
    return await queries.sites_page(
        read, principal, page, now=now, text=q, customer_id=customer_id, unpinned=unpinned
    )  # fmt: skip


@post("/sites", guards=[WRITES])
async def add_site(
    data: JSONBody[NewSite], principal: Who, write: Session, once: Once_, now: Now
) -> Response[SiteView]:
    """Add a site."""

    async def produce() -> SiteView:
        if data.unit_id not in principal.units("case", "write"):
            raise no_such("unit_id")
        await _customer(write, principal, data.customer_id, now)
        units = _nameable(principal)
        return queries.site_view(await actions.add_site(write, now=now, actor=principal.actor, units=units, new=data))

    return await once.create(write, now, produce)


@get("/sites/{site_id:uuid}", guards=[READS])
async def read_site(site_id: Id, principal: Who, read: Session, now: Now) -> Response[SiteView]:
    """Read a site; one that was merged away names its successor."""
    site = await queries.site_within(read, principal, site_id, level="read", now=now)
    return with_etag(queries.site_view(site))


@patch("/sites/{site_id:uuid}", guards=[WRITES])
async def edit_site(
    *, site_id: Id, data: JSONBody[SitePatch], principal: Who, write: Session, now: Now, if_match: IfMatch = None
) -> Response[SiteView]:
    """Change fields of a site; people on site may correct what they see there, not what the office decides."""
    site = await queries.site_within(write, principal, site_id, level="write", now=now, locked=True)
    must_match(if_match, queries.site_view(site))
    units = principal.units("case", "write")
    _leave_to_the_office(principal, site, OFFICE_FIELDS, given(data))
    if data.unit_id is not msgspec.UNSET and data.unit_id not in units:
        raise no_such("unit_id")
    if data.customer_id is not msgspec.UNSET:
        await _customer(write, principal, data.customer_id, now)
    nameable = _nameable(principal)
    await actions.edit_site(write, now=now, actor=principal.actor, units=nameable, site=site, patch=data)
    return with_etag(queries.site_view(site))


@post("/sites/{site_id:uuid}/merge", guards=[WRITES], status_code=200)
async def merge_site(site_id: Id, data: JSONBody[Merge], principal: Who, write: Session, now: Now) -> SiteView:
    """Replace a site by another record of the same; layout, assets, contacts and files follow."""
    locked = {
        known: await queries.site_within(
            write, principal, known, level="write", now=now, locked=True, through_work=False
        )
        for known in sorted({site_id, data.into_id})
    }
    site, into = locked[site_id], locked[data.into_id]
    await actions.merge_site(write, now=now, actor=principal.actor, site=site, into=into)
    return queries.site_view(site)


@get("/sites/{site_id:uuid}/owners", guards=[READS])
async def list_owners(site_id: Id, principal: Who, read: Session, now: Now) -> list[OwnerView]:
    """List who is, was and will be responsible for a site."""
    await queries.site_within(read, principal, site_id, level="read", now=now)
    return await queries.owners_of(read, site_id)


@post("/sites/{site_id:uuid}/owners", guards=[WRITES])
async def name_owner(
    *, site_id: Id, data: JSONBody[NewOwner], principal: Who, write: Session, once: Once_, now: Now
) -> Response[OwnerView]:
    """Make a crew or a person responsible for a site."""

    async def produce() -> OwnerView:
        site = await _office_site(write, principal, site_id, now)
        units = _nameable(principal)
        owner = await actions.name_owner(write, now=now, actor=principal.actor, units=units, site=site, new=data)
        return shown(owner, OwnerView)

    return await once.create(write, now, produce)


@get("/sites/{site_id:uuid}/keys", guards=[READS])
async def list_keys(*, site_id: Id, principal: Who, read: Session, page: Paged, now: Now) -> Page[KeyView]:
    """List who has and had the keys of a site, newest first."""
    await queries.site_within(read, principal, site_id, level="read", now=now)
    return await queries.keys_page(read, site_id, page)


@post("/sites/{site_id:uuid}/keys", guards=[WRITES])
async def hand_key(
    *, site_id: Id, data: JSONBody[NewKey], principal: Who, write: Session, once: Once_, now: Now
) -> Response[KeyView]:
    """Note that somebody has a key of a site."""

    async def produce() -> KeyView:
        site, units = await _office_site(write, principal, site_id, now), _nameable(principal)
        custody = await actions.hand_key(write, now=now, actor=principal.actor, units=units, site=site, new=data)
        return shown(custody, KeyView)

    return await once.create(write, now, produce)


@post("/keys/{key_id:uuid}/move", guards=[WRITES], status_code=200)
async def move_key(key_id: Id, data: JSONBody[KeyMove], principal: Who, write: Session, now: Now) -> KeyView:
    """Note that a key was passed on to somebody else, or given back to the customer."""
    key, units = await queries.key_within(write, principal, key_id, now=now), _nameable(principal)
    return shown(
        await actions.move_key(write, now=now, actor=principal.actor, units=units, key=key, move=data), KeyView
    )


@get("/sites/{site_id:uuid}/contacts", guards=[READS])
async def list_site_contacts(site_id: Id, principal: Who, read: Session, now: Now) -> list[SiteContactView]:
    """List whom to ask for at a site, the first to call first."""
    await queries.site_within(read, principal, site_id, level="read", now=now)
    return await queries.contacts_at(read, site_id)


@put("/sites/{site_id:uuid}/contacts/{contact_id:uuid}", guards=[WRITES])
async def put_site_contact(
    *, site_id: Id, contact_id: Id, data: JSONBody[SiteContactPut], principal: Who, write: Session, now: Now
) -> list[SiteContactView]:
    """Say that a contact of the customer is to be asked for at a site."""
    site = await queries.site_within(write, principal, site_id, level="write", now=now, locked=True)
    contact = await write.get(Contact, contact_id)
    if contact is None:
        raise no_such("contact_id")
    actor, primary = principal.actor, data.primary
    await actions.put_site_contact(write, now=now, actor=actor, site=site, contact=contact, primary=primary)
    return await queries.contacts_at(write, site_id)


@delete("/sites/{site_id:uuid}/contacts/{contact_id:uuid}", guards=[WRITES])
async def remove_site_contact(site_id: Id, contact_id: Id, principal: Who, write: Session, now: Now) -> None:
    """Say that a contact is no longer asked for at a site."""
    site = await queries.site_within(write, principal, site_id, level="write", now=now, locked=True)
    await actions.remove_site_contact(write, now=now, actor=principal.actor, site=site, contact_id=contact_id)


@get("/sites/{site_id:uuid}/positions", guards=[READS])
async def list_positions(*, site_id: Id, principal: Who, read: Session, page: Paged, now: Now) -> Page[PositionView]:
    """List the places on a site's layout and what stands there, newest first."""
    await queries.site_within(read, principal, site_id, level="read", now=now)
    return await queries.positions_page(read, site_id, page)


@post("/sites/{site_id:uuid}/positions", guards=[WRITES])
async def add_position(
    *, site_id: Id, data: JSONBody[NewPosition], principal: Who, write: Session, once: Once_, now: Now
) -> Response[PositionView]:
    """Add a place to the layout of a site."""

    async def produce() -> PositionView:
        site = await queries.site_within(write, principal, site_id, level="write", now=now, locked=True)
        position = await actions.add_position(write, now=now, actor=principal.actor, site=site, new=data)
        return await queries.position_view(write, position)

    return await once.create(write, now, produce)


@get("/positions/{position_id:uuid}", guards=[READS])
async def read_position(position_id: Id, principal: Who, read: Session, now: Now) -> Response[PositionView]:
    """Read a place on a layout and what stands there."""
    position = await queries.position_within(read, principal, position_id, level="read", now=now)
    return with_etag(await queries.position_view(read, position))


@patch("/positions/{position_id:uuid}", guards=[WRITES])
async def edit_position(
    *,
    position_id: Id,
    data: JSONBody[PositionPatch],
    principal: Who,
    write: Session,
    now: Now,
    if_match: IfMatch = None,
) -> Response[PositionView]:
    """Change fields of a place on a layout."""
    position = await queries.position_within(write, principal, position_id, level="write", now=now, locked=True)
    must_match(if_match, await queries.position_view(write, position))
    await actions.edit_position(write, now=now, actor=principal.actor, position=position, patch=data)
    return with_etag(await queries.position_view(write, position))


@get("/positions/{position_id:uuid}/placements", guards=[READS])
async def list_position_history(
    *, position_id: Id, principal: Who, read: Session, page: Paged, now: Now
) -> Page[PlacementView]:
    """List what stood at a place, newest first."""
    await queries.position_within(read, principal, position_id, level="read", now=now)
    return await queries.history_page(read, principal, page, now, of=AssetPlacement.position_id == position_id)


@post("/positions/{position_id:uuid}/placements", guards=[WRITES])
async def place_asset(
    *, position_id: Id, data: JSONBody[NewPlacement], principal: Who, write: Session, once: Once_, now: Now
) -> Response[PlacementView]:
    """Put an asset at a place; what stood there is removed at the same instant, and both keep their histories."""

    async def produce() -> PlacementView:
        position = await queries.position_within(write, principal, position_id, level="write", now=now, locked=True)
        asset = await queries.asset_within(write, principal, data.asset_id, level="write", now=now, locked=True)
        placement = await actions.place_asset(
            write, now=now, actor=principal.actor, position=position, asset=asset, new=data
        )
        return shown(placement, PlacementView)

    return await once.create(write, now, produce)


@get("/asset-models", guards=[anyone_signed_in])
async def list_asset_models(read: Session, page: Paged) -> Page[AssetModelView]:
    """List brands and models, newest first."""
    return await queries.asset_models_page(read, page)


@post("/asset-models", guards=[WRITES])
async def add_asset_model(
    data: JSONBody[NewAssetModel], principal: Who, write: Session, once: Once_, now: Now
) -> Response[AssetModelView]:
    """Add a brand and model to the catalogue."""

    async def produce() -> AssetModelView:
        if not principal.units("case", "write"):
            raise Problem(FORBIDDEN)
        return shown(await actions.add_asset_model(write, now=now, actor=principal.actor, new=data), AssetModelView)

    return await once.create(write, now, produce)


@get("/sites/{site_id:uuid}/assets", guards=[READS])
async def list_assets(*, site_id: Id, principal: Who, read: Session, page: Paged, now: Now) -> Page[AssetView]:
    """List the equipment of a site."""
    await queries.site_within(read, principal, site_id, level="read", now=now)
    return await queries.assets_page(read, site_id, page)


@post("/sites/{site_id:uuid}/assets", guards=[WRITES])
async def add_asset(
    *, site_id: Id, data: JSONBody[NewAsset], principal: Who, write: Session, once: Once_, now: Now
) -> Response[AssetView]:
    """Add a piece of equipment to a site."""

    async def produce() -> AssetView:
        site = await queries.site_within(write, principal, site_id, level="write", now=now, locked=True)
        filled = [name for name, value in given(data).items() if value is not None]
        _leave_to_the_office(principal, site, ASSET_OFFICE_FIELDS, filled)
        asset = await actions.add_asset(write, now=now, actor=principal.actor, site=site, new=data)
        return await queries.asset_view(write, asset)

    return await once.create(write, now, produce)


@get("/assets/{asset_id:uuid}", guards=[READS])
async def read_asset(asset_id: Id, principal: Who, read: Session, now: Now) -> Response[AssetView]:
    """Read a piece of equipment."""
    asset = await queries.asset_within(read, principal, asset_id, level="read", now=now)
    return with_etag(await queries.asset_view(read, asset))


@patch("/assets/{asset_id:uuid}", guards=[WRITES])
async def edit_asset(
    *, asset_id: Id, data: JSONBody[AssetPatch], principal: Who, write: Session, now: Now, if_match: IfMatch = None
) -> Response[AssetView]:
    """Change fields of a piece of equipment; what decides who pays is the office's."""
    asset = await queries.asset_within(write, principal, asset_id, level="write", now=now, locked=True)
    must_match(if_match, await queries.asset_view(write, asset))
    site = await write.get_one(Site, asset.site_id)
    _leave_to_the_office(principal, site, ASSET_OFFICE_FIELDS, given(data))
    await actions.edit_asset(write, now=now, actor=principal.actor, asset=asset, patch=data)
    return with_etag(await queries.asset_view(write, asset))


@get("/assets/{asset_id:uuid}/placements", guards=[READS])
async def list_asset_history(
    *, asset_id: Id, principal: Who, read: Session, page: Paged, now: Now
) -> Page[PlacementView]:
    """List where a piece of equipment stood, newest first; places at sites one may not see are left out."""
    await queries.asset_within(read, principal, asset_id, level="read", now=now)
    return await queries.history_page(read, principal, page, now, of=AssetPlacement.asset_id == asset_id)


@post("/assets/{asset_id:uuid}/removal", guards=[WRITES], status_code=200)
async def remove_asset(
    asset_id: Id, data: JSONBody[Removal], principal: Who, write: Session, now: Now
) -> Response[AssetView]:
    """Take a piece of equipment from its place, and out of use if it does not come back."""
    asset = await queries.asset_within(write, principal, asset_id, level="write", now=now, locked=True)
    await actions.remove_asset(write, now=now, actor=principal.actor, asset=asset, removal=data)
    return with_etag(await queries.asset_view(write, asset))


@post("/assets/{asset_id:uuid}/merge", guards=[WRITES], status_code=200)
async def merge_asset(asset_id: Id, data: JSONBody[Merge], principal: Who, write: Session, now: Now) -> AssetView:
    """Replace an asset by another record of the same piece; its history follows."""
    locked = {
        known: await queries.asset_within(
            write, principal, known, level="write", now=now, locked=True, through_work=False
        )
        for known in sorted({asset_id, data.into_id})
    }
    asset, into = locked[asset_id], locked[data.into_id]
    await actions.merge_asset(write, now=now, actor=principal.actor, asset=asset, into=into)
    return await queries.asset_view(write, asset)


def _leave_to_the_office(principal: Principal, site: Site, decided: frozenset[str], fields: Iterable[str]) -> None:
    findings = office_findings(decided, fields)
    if findings and site.unit_id not in principal.units("case", "write"):
        raise Problem(FORBIDDEN, *findings)


def _nameable(principal: Principal) -> frozenset[UUID]:
    """The units whose territories, crews and people somebody may name at a site."""
    return principal.units("case", "write") | principal.units("dispatch", "read")


async def _office_site(session: AsyncSession, principal: Principal, site_id: UUID, now: datetime) -> Site:
    return await queries.site_within(
        session, principal, site_id, level="write", now=now, locked=True, through_work=False
    )  # fmt: skip


async def _customer(session: AsyncSession, principal: Principal, customer_id: UUID, now: datetime) -> None:
    try:
        await customer_within(session, principal, customer_id, level="write", now=now)
    except Problem as problem:
        raise no_such("customer_id") from problem


router = Router(
    "/",
    route_handlers=[
        list_sites, add_site, read_site, edit_site, merge_site, list_owners, name_owner, list_keys, hand_key,
        move_key, list_site_contacts,
        put_site_contact, remove_site_contact, list_positions, add_position, read_position, edit_position,
        list_position_history, place_asset, list_asset_models, add_asset_model, list_assets, add_asset, read_asset,
        edit_asset, list_asset_history, remove_asset, merge_asset,
    ],
    tags=["sites"],
)  # fmt: skip
