"""Reads of sites, positions and assets, within what the reader's roles and work reach."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, false, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.auth import Principal
from backend.core.errors import NOT_FOUND, Problem
from backend.core.paging import Page, PageRequest, fetch_page
from backend.core.presets import Preset
from backend.customers.actions import must_stand
from backend.people.schemas import Duty, shown
from backend.sites.models import Asset, AssetModel, AssetPlacement, KeyCustody, Position, Site, SiteContact, SiteOwner
from backend.sites.rules import document_bucket
from backend.sites.schemas import (
    AssetModelView,
    AssetView,
    KeyView,
    LocationView,
    OwnerView,
    PlacementView,
    PositionView,
    SiteContactView,
    SiteView,
)

Reached = Callable[[Principal, str, str, datetime], Select[Any]]
REACHED: Final[dict[str, Reached]] = {}
"""Ids of sites somebody may use through their work, such as those of their orders; `app.py` adds them by name."""


def sites_within(
    principal: Principal, area: str, level: str, now: datetime, *, through_work: bool = True
) -> ColumnElement[bool]:
    """The condition on Site that says which the principal may use: of their units, their own, crews or work."""
    whole_units = Site.unit_id.in_(principal.units(area, level))
    if not through_work:
        return whole_units
    reaches = principal.reaches(area, level)
    owned: list[ColumnElement[bool]] = [false()]
    if "own" in reaches:
        owned.append(SiteOwner.person_id == principal.person_id)
    if "crew" in reaches:
        owned.append(SiteOwner.crew_id.in_(principal.crew_ids))
    responsible = select(SiteOwner.site_id).where(or_(*owned), owner_in_effect(now))
    return or_(
        whole_units,
        Site.id.in_(responsible),
        *(Site.id.in_(reached(principal, area, level, now)) for reached in REACHED.values()),
    )


def owner_in_effect(at: datetime) -> ColumnElement[bool]:
    """The condition that somebody is responsible for a site at an instant."""
    return and_(SiteOwner.valid_from <= at, or_(SiteOwner.valid_until.is_(None), SiteOwner.valid_until > at))


def site_ids(principal: Principal, area: str, level: str, now: datetime) -> Select[Any]:
    """Ids of the sites the principal may use (for attachments.queries.SUBJECTS)."""
    return select(Site.id).where(sites_within(principal, area, level, now))


def asset_ids(principal: Principal, area: str, level: str, now: datetime) -> Select[Any]:
    """Ids of the assets at sites the principal may use (for attachments.queries.SUBJECTS)."""
    return select(Asset.id).where(Asset.site_id.in_(site_ids(principal, area, level, now)))


def customers_of_sites(principal: Principal, area: str, level: str, now: datetime) -> Select[Any]:
    """Ids of the customers whose sites the principal may use (for customers.queries.REACHED)."""
    return select(Site.customer_id).where(sites_within(principal, area, level, now))


async def site_file_bucket(session: AsyncSession, site_id: UUID, kind: str) -> str | None:
    """Return the bucket a new file of a site is in (for attachments.queries.SUBJECTS); raises merged_away."""
    site = await session.get_one(Site, site_id, with_for_update=True)
    must_stand(site)
    return document_bucket(site_id, kind, no_offline_drawings=site.no_offline_drawings)


async def asset_file_bucket(session: AsyncSession, asset_id: UUID, kind: str) -> str | None:
    """Return the bucket a new file of an asset is in: that of its site (for attachments.queries.SUBJECTS).

    Raises merged_away.
    """
    asset = await session.get_one(Asset, asset_id, with_for_update=True)
    must_stand(asset)
    return await site_file_bucket(session, asset.site_id, kind)


async def sites_owned(session: AsyncSession, person_id: UUID, now: datetime) -> list[Duty]:
    """Return the sites a person is responsible for (for people.queries.DUTIES)."""
    theirs = (
        select(Site.id, Site.number, Site.name)
        .join(SiteOwner, SiteOwner.site_id == Site.id)
        .where(SiteOwner.person_id == person_id, owner_in_effect(now))
        .order_by(Site.id)
    )
    return [
        Duty(kind="site", id=row.id, label=f"{row.number} {row.name}") for row in (await session.execute(theirs)).all()
    ]


async def keys_held(session: AsyncSession, person_id: UUID, _now: datetime) -> list[Duty]:
    """Return the keys somebody has (for people.queries.DUTIES)."""
    theirs = (
        select(KeyCustody.id, KeyCustody.name, Site.number)
        .join(Site, Site.id == KeyCustody.site_id)
        .where(KeyCustody.person_id == person_id, KeyCustody.returned_at.is_(None))
        .order_by(KeyCustody.id)
    )
    return [
        Duty(kind="key", id=row.id, label=f"{row.number} {row.name}") for row in (await session.execute(theirs)).all()
    ]


async def keys_page(session: AsyncSession, site_id: UUID, page: PageRequest) -> Page[KeyView]:
    """Return a page of who has and had the keys of a site."""
    listed = select(KeyCustody).where(KeyCustody.site_id == site_id)
    return await fetch_page(session, listed, KeyCustody.id, page, lambda row: shown(row, KeyView))


async def key_within(session: AsyncSession, principal: Principal, key_id: UUID, *, now: datetime) -> KeyCustody:
    """Return somebody's time with a key, of a site whose records the principal keeps; raises not_found."""
    key = await session.get(KeyCustody, key_id, with_for_update=True)
    if key is None:
        raise Problem(NOT_FOUND)
    await site_within(session, principal, key.site_id, level="write", now=now, through_work=False)
    return key


def site_view(site: Site) -> SiteView:
    """Return a site with its location."""
    location = None
    if site.lat is not None and site.lon is not None:
        location = LocationView(
            lat=site.lat, lon=site.lon, source=site.position_source or "import", confidence=site.position_confidence,
            original_lat=site.lat if site.original_lat is None else site.original_lat,
            original_lon=site.lon if site.original_lon is None else site.original_lon,
            original_datum=site.original_datum or "wgs84",
        )  # fmt: skip
    return shown(site, SiteView, location=location)


async def sites_page(
    session: AsyncSession,
    principal: Principal,
    page: PageRequest,
    *,
    now: datetime,
    text: str | None = None,
    customer_id: UUID | None = None,
    unpinned: bool = False,
) -> Page[SiteView]:
    """Return a page of sites; `text` is a part of name or address, or the number; `unpinned`: without a location."""
    listed = select(Site).where(sites_within(principal, "case", "read", now), Site.merged_into_id.is_(None))
    if text:
        listed = listed.where(
            or_(
                Site.name.icontains(text, autoescape=True),
                Site.address.icontains(text, autoescape=True),
                Site.number == text,
            )
        )
    if customer_id is not None:
        listed = listed.where(Site.customer_id == customer_id)
    if unpinned:
        listed = listed.where(Site.lat.is_(None))
    return await fetch_page(session, listed, Site.id, page, site_view)


async def site_within(
    session: AsyncSession,
    principal: Principal,
    site_id: UUID,
    *,
    level: str,
    now: datetime,
    locked: bool = False,
    through_work: bool = True,
) -> Site:
    """Return one site; raises not_found for one outside what the principal may use."""
    usable = sites_within(principal, "case", level, now, through_work=through_work)
    wanted = select(Site).where(Site.id == site_id, usable)
    site = (await session.execute(wanted.with_for_update() if locked else wanted)).scalar_one_or_none()
    if site is None:
        raise Problem(NOT_FOUND)
    return site


async def asset_within(
    session: AsyncSession,
    principal: Principal,
    asset_id: UUID,
    *,
    level: str,
    now: datetime,
    locked: bool = False,
    through_work: bool = True,
) -> Asset:
    """Return one asset at a site the principal may use; raises not_found."""
    asset = await session.get(Asset, asset_id, with_for_update=locked)
    if asset is None:
        raise Problem(NOT_FOUND)
    await site_within(session, principal, asset.site_id, level=level, now=now, through_work=through_work)
    return asset


async def position_within(
    session: AsyncSession, principal: Principal, position_id: UUID, *, level: str, now: datetime, locked: bool = False
) -> Position:
    """Return one position of a site the principal may use; raises not_found."""
    position = await session.get(Position, position_id, with_for_update=locked)
    if position is None:
        raise Problem(NOT_FOUND)
    await site_within(session, principal, position.site_id, level=level, now=now)
    return position


async def owners_of(session: AsyncSession, site_id: UUID) -> list[OwnerView]:
    """Return who is, was or will be responsible for a site, in order."""
    theirs = select(SiteOwner).where(SiteOwner.site_id == site_id).order_by(SiteOwner.valid_from)
    return [shown(owner, OwnerView) for owner in (await session.execute(theirs)).scalars()]


async def contacts_at(session: AsyncSession, site_id: UUID) -> list[SiteContactView]:
    """Return whom to ask for at a site, the first to call first."""
    theirs = select(SiteContact).where(SiteContact.site_id == site_id)
    rows = (await session.execute(theirs.order_by(SiteContact.primary.desc(), SiteContact.id))).scalars()
    return [shown(row, SiteContactView) for row in rows]


async def positions_page(session: AsyncSession, site_id: UUID, page: PageRequest) -> Page[PositionView]:
    """Return a page of the places on a site's layout, each with the asset there now."""
    listed = select(Position).where(Position.site_id == site_id)
    rows: Page[Position] = await fetch_page(session, listed, Position.id, page, lambda position: position)
    standing = select(AssetPlacement.position_id, AssetPlacement.asset_id).where(
        AssetPlacement.position_id.in_([position.id for position in rows.items]), AssetPlacement.removed_at.is_(None)
    )  # fmt: skip
    here = {row.position_id: row.asset_id for row in (await session.execute(standing)).all()}
    views = [shown(position, PositionView, asset_id=here.get(position.id)) for position in rows.items]
    return Page(items=views, next=rows.next)


async def position_view(session: AsyncSession, position: Position) -> PositionView:
    """Return one place on the layout."""
    placed = await current_placement(session, position_id=position.id)
    return shown(position, PositionView, asset_id=placed.asset_id if placed else None)


async def current_placement(
    session: AsyncSession, *, position_id: UUID | None = None, asset_id: UUID | None = None
) -> AssetPlacement | None:
    """Return the placement that holds now, of a position or of an asset."""
    wanted = select(AssetPlacement).where(AssetPlacement.removed_at.is_(None))
    if position_id is not None:
        wanted = wanted.where(AssetPlacement.position_id == position_id)
    if asset_id is not None:
        wanted = wanted.where(AssetPlacement.asset_id == asset_id)
    return (await session.execute(wanted.order_by(AssetPlacement.installed_at.desc()).limit(1))).scalar_one_or_none()


async def asset_view(session: AsyncSession, asset: Asset) -> AssetView:
    """Return one asset and where it stands."""
    return (await _asset_views(session, [asset]))[0]


async def assets_page(session: AsyncSession, site_id: UUID, page: PageRequest) -> Page[AssetView]:
    """Return a page of a site's assets, the retired ones too."""
    listed = select(Asset).where(Asset.site_id == site_id, Asset.merged_into_id.is_(None))
    rows: Page[Asset] = await fetch_page(session, listed, Asset.id, page, lambda asset: asset)
    return Page(items=await _asset_views(session, rows.items), next=rows.next)


async def history_page(
    session: AsyncSession, principal: Principal, page: PageRequest, now: datetime, *, of: ColumnElement[bool]
) -> Page[PlacementView]:
    """Return a page of the placements of an asset or a position; those at sites one may not see are left out."""
    listed = select(AssetPlacement).where(of, AssetPlacement.site_id.in_(site_ids(principal, "case", "read", now)))
    return await fetch_page(session, listed, AssetPlacement.id, page, lambda row: shown(row, PlacementView))


async def asset_models_page(session: AsyncSession, page: PageRequest) -> Page[AssetModelView]:
    """Return a page of brands and models."""
    return await fetch_page(
        session, select(AssetModel), AssetModel.id, page, lambda model: shown(model, AssetModelView)
    )  # fmt: skip


async def is_asset_type(session: AsyncSession, key: str) -> bool:
    """Whether the presets know a type of equipment."""
    known = select(func.count()).select_from(Preset).where(
        Preset.kind == "asset_type", Preset.key == key, Preset.active.is_(True)
    )  # fmt: skip
    return (await session.execute(known)).scalar_one() > 0


async def _asset_views(session: AsyncSession, assets: Sequence[Asset]) -> list[AssetView]:
    standing = select(AssetPlacement.asset_id, AssetPlacement.position_id).where(
        AssetPlacement.asset_id.in_([asset.id for asset in assets]), AssetPlacement.removed_at.is_(None)
    )  # fmt: skip
    at = {row.asset_id: row.position_id for row in (await session.execute(standing)).all()}
    return [shown(asset, AssetView, position_id=at.get(asset.id)) for asset in assets]
