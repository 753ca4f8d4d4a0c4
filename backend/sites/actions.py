"""Writes of sites, positions and assets. None of them commits, and none asks who may: their callers did."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend.attachments.models import Attachment
from backend.core.audit import SYSTEM, Actor, record
from backend.core.errors import INVALID, Fault, Finding, Problem
from backend.core.etags import given, set_fields
from backend.core.events import Event, tell
from backend.core.ids import new_id
from backend.core.numbers import next_number
from backend.customers.actions import MERGE_REFUSED, must_stand
from backend.customers.models import Contact, Customer
from backend.customers.queries import survivor
from backend.people.actions import active_person, checked_zone
from backend.people.models import Crew, Territory
from backend.people.queries import must_have_room, no_such
from backend.sites.datum import Place, to_wgs84
from backend.sites.models import (
    Asset,
    AssetModel,
    AssetPlacement,
    Credential,
    KeyCustody,
    Position,
    Site,
    SiteContact,
    SiteOwner,
)
from backend.sites.queries import current_placement, is_asset_type
from backend.sites.rules import document_bucket, placement_finding
from backend.sites.schemas import (
    AssetPatch,
    KeyMove,
    NewAsset,
    NewAssetModel,
    NewKey,
    NewLocation,
    NewOwner,
    NewPlacement,
    NewPosition,
    NewSite,
    PositionPatch,
    Removal,
    SitePatch,
)

ASSET_RETIRED = Fault(
    "asset_retired", 409, "该设备已报废。", "This asset is retired.",
    "请选择在用设备,或新建设备。", "Choose one in use, or add the new one.",
)  # fmt: skip


KEY_RETURNED = Fault(
    "key_returned", 409, "这把钥匙已交回或已转交。", "This key was given back or passed on.",
    "请查看站点的钥匙记录,找到现在的持有人。", "Look at the site's keys for who has it now.",
)  # fmt: skip


def location_columns(location: NewLocation | None) -> dict[str, Any]:
    """Return the columns of a site that say where it lies: WGS-84, and the original with its datum beside it."""
    if location is None:
        names = ("lat", "lon", "original_lat", "original_lon", "original_datum", "position_source")
        return dict.fromkeys((*names, "position_confidence"))
    true = to_wgs84(Place(location.lat, location.lon), location.datum)
    return {
        "lat": true.lat, "lon": true.lon, "original_lat": location.lat, "original_lon": location.lon,
        "original_datum": location.datum, "position_source": location.source,
        "position_confidence": location.confidence,
    }  # fmt: skip


async def add_site(session: AsyncSession, *, now: datetime, actor: Actor, units: frozenset[UUID], new: NewSite) -> Site:
    """Add a site under the next number; its customer is the one that stands for the id today. Raises invalid.

    `units` are those whose territories the actor may name.
    """
    values = given(new)
    location: NewLocation | None = values.pop("location")
    await _check_references(session, values, units)
    site = Site(number=await next_number(session, "S"), **values, **location_columns(location))
    session.add(site)
    await session.flush()
    record(session, now=now, actor=actor, action="site.added", row=site, after=given(new))
    return site


async def edit_site(
    session: AsyncSession, *, now: datetime, actor: Actor, units: frozenset[UUID], site: Site, patch: SitePatch
) -> None:
    """Change the fields a patch gives; drawings follow `no_offline_drawings` off the phones or back.

    `units` are those whose territories the actor may name. Raises invalid, merged_away.
    """
    must_stand(site)
    values = given(patch)
    if "location" in values:
        values |= location_columns(values.pop("location"))
    await _check_references(session, values, units)
    before, after = set_fields(site, values)
    await session.flush()
    if "no_offline_drawings" in after:
        await _file_anew(session, site)
    record(session, now=now, actor=actor, action="site.edited", row=site, before=before, after=after)


async def merge_site(session: AsyncSession, *, now: datetime, actor: Actor, site: Site, into: Site) -> None:
    """Replace a site by another: layout, assets, contacts, files follow, and who answers for it if nobody does there.

    Tells `site.merged` of the site merged away, with `into_id`; raises merge_refused.
    """
    if site.id == into.id or site.merged_into_id or into.merged_into_id:
        raise Problem(MERGE_REFUSED)
    site.merged_into_id = into.id
    await session.flush()
    for model in (Position, Asset, AssetPlacement, Credential, KeyCustody):
        await session.execute(update(model).where(model.site_id == site.id).values(site_id=into.id))
    await _move_owners(session, site.id, into.id, now)
    known = set((await session.execute(select(SiteContact.contact_id).filter_by(site_id=into.id))).scalars())
    for row in (await session.execute(select(SiteContact).filter_by(site_id=site.id))).scalars().all():
        if row.contact_id in known:
            await session.delete(row)
        else:
            row.site_id, row.primary = into.id, False
    await _move_files(session, site, into)
    await _file_anew(session, into)
    record(session, now=now, actor=actor, action="site.merged", row=site, after={"merged_into_id": into.id})
    tell(session, now=now, name="site.merged", row=site, facts={"into_id": str(into.id)})


async def name_owner(
    session: AsyncSession, *, now: datetime, actor: Actor, units: frozenset[UUID], site: Site, new: NewOwner
) -> SiteOwner:
    """Make a crew or a person of `units` responsible for a site (A140); whoever was so until then no longer is.

    Raises invalid, merged_away.
    """
    must_stand(site)
    if (new.crew_id is None) == (new.person_id is None):
        raise Problem(INVALID, Finding("crew_id", "小组和人员须且只须填一个", "give a crew or a person, not both"))
    await _check_holder(session, new, units)
    starts = new.valid_from or now
    later = or_(SiteOwner.valid_until.is_(None), SiteOwner.valid_until > starts)
    theirs = select(SiteOwner).where(SiteOwner.site_id == site.id, later).with_for_update()
    for owner in (await session.execute(theirs)).scalars().all():
        if owner.valid_from >= starts:
            raise Problem(
                INVALID, Finding("valid_from", "已有更晚的负责人", "somebody is named for a later time already")
            )
        owner.valid_until = starts
    await must_have_room(session, SiteOwner, site_id=site.id)
    named = SiteOwner(site_id=site.id, crew_id=new.crew_id, person_id=new.person_id, valid_from=starts)
    session.add(named)
    await session.flush()
    after = {"crew_id": new.crew_id, "person_id": new.person_id, "valid_from": starts}
    record(session, now=now, actor=actor, action="site.owner_named", row=site, after=after)
    return named


async def hand_key(
    session: AsyncSession, *, now: datetime, actor: Actor, units: frozenset[UUID], site: Site, new: NewKey
) -> KeyCustody:
    """Note that a person of `units` has a key of a site from now on. Raises invalid, merged_away."""
    must_stand(site)
    await active_person(session, new.person_id, units, "person_id")
    custody = KeyCustody(site_id=site.id, name=new.name, person_id=new.person_id, taken_at=now)
    session.add(custody)
    await session.flush()
    record(session, now=now, actor=actor, action="key.taken", row=custody, after=given(new))
    return custody


async def move_key(
    session: AsyncSession, *, now: datetime, actor: Actor, units: frozenset[UUID], key: KeyCustody, move: KeyMove
) -> KeyCustody:
    """End somebody's time with a key: another of `units` has it now, or the customer. Raises key_returned, invalid."""
    if key.returned_at is not None:
        raise Problem(KEY_RETURNED)
    key.returned_at = now
    record(session, now=now, actor=actor, action="key.returned", row=key, after={"returned_at": now})
    if move.person_id is None:
        return key
    site = await session.get_one(Site, key.site_id)
    new = NewKey(name=key.name, person_id=move.person_id)
    return await hand_key(session, now=now, actor=actor, units=units, site=site, new=new)


async def hand_over_sites(session: AsyncSession, event: Event, now: datetime) -> None:
    """React to `person.deactivated`: the successor becomes responsible for the leaver's sites, without one nobody."""
    successor = event.facts.get("successor_id")
    later = or_(SiteOwner.valid_until.is_(None), SiteOwner.valid_until > now)
    theirs = select(SiteOwner).where(SiteOwner.person_id == event.subject_id, later)
    for owner in (await session.execute(theirs)).scalars().all():
        at, until = max(now, owner.valid_from), owner.valid_until
        owner.valid_until = at
        if successor is not None:
            person_id = UUID(str(successor))
            session.add(SiteOwner(site_id=owner.site_id, person_id=person_id, valid_from=at, valid_until=until))
        site = await session.get_one(Site, owner.site_id)
        after = {"person_id": successor}
        record(session, now=now, actor=SYSTEM, action="site.owner_named", row=site, after=after, reason="handed_over")


async def follow_customer(session: AsyncSession, event: Event, now: datetime) -> None:
    """React to `customer.merged`: the sites of the record merged away belong to the one that stands for it now."""
    into = await survivor(session, Customer, UUID(str(event.facts["into_id"])))
    theirs = select(Site).where(Site.customer_id == event.subject_id).with_for_update()
    for site in (await session.execute(theirs)).scalars().all():
        before, after = set_fields(site, {"customer_id": into.id})
        record(session, now=now, actor=SYSTEM, action="site.edited", row=site, before=before, after=after)


async def follow_contact(session: AsyncSession, event: Event, now: datetime) -> None:
    """React to `contact.merged`: whoever was asked for at a site under the old record is under the one that stands."""
    into = await survivor(session, Contact, UUID(str(event.facts["into_id"])))
    theirs = select(SiteContact).where(SiteContact.contact_id == event.subject_id).with_for_update()
    for row in (await session.execute(theirs)).scalars().all():
        known = select(SiteContact).filter_by(site_id=row.site_id, contact_id=into.id)
        twice = (await session.execute(known)).scalar_one_or_none()
        if twice is None:
            row.contact_id = into.id
        else:
            twice.primary = twice.primary or row.primary
            await session.delete(row)
        site = await session.get_one(Site, row.site_id)
        before, after = {"contact_id": event.subject_id}, {"contact_id": into.id}
        record(session, now=now, actor=SYSTEM, action="site.contact_named", row=site, before=before, after=after)


async def put_site_contact(
    session: AsyncSession, *, now: datetime, actor: Actor, site: Site, contact: Contact, primary: bool
) -> None:
    """Say that a contact is to be asked for at a site, one of them the first to call. Raises invalid, merged_away."""
    must_stand(site)
    if contact.customer_id != site.customer_id or contact.merged_into_id is not None:
        raise no_such("contact_id")
    rows = (await session.execute(select(SiteContact).filter_by(site_id=site.id).with_for_update())).scalars().all()
    mine = next((row for row in rows if row.contact_id == contact.id), None)
    if mine is None:
        await must_have_room(session, SiteContact, site_id=site.id)
        mine = SiteContact(site_id=site.id, contact_id=contact.id, primary=primary)
        session.add(mine)
    mine.primary = primary
    for row in rows:
        if primary and row is not mine:
            row.primary = False
    await session.flush()
    after = {"contact_id": contact.id, "primary": primary}
    record(session, now=now, actor=actor, action="site.contact_named", row=site, after=after)


async def remove_site_contact(
    session: AsyncSession, *, now: datetime, actor: Actor, site: Site, contact_id: UUID
) -> None:
    """Say that a contact is no longer asked for at a site; there may be none such already. Raises merged_away."""
    must_stand(site)
    rows = select(SiteContact).filter_by(site_id=site.id, contact_id=contact_id)
    for row in (await session.execute(rows)).scalars().all():
        await session.delete(row)
        before = {"contact_id": contact_id}
        record(session, now=now, actor=actor, action="site.contact_removed", row=site, before=before)


async def add_position(session: AsyncSession, *, now: datetime, actor: Actor, site: Site, new: NewPosition) -> Position:
    """Add a place to the layout of a site; raises invalid."""
    must_stand(site)
    if new.parent_id is not None:
        parent = await session.get(Position, new.parent_id)
        if parent is None or parent.site_id != site.id:
            raise no_such("parent_id")
    position = Position(site_id=site.id, **given(new))
    session.add(position)
    await session.flush()
    record(session, now=now, actor=actor, action="position.added", row=position, after=given(new))
    return position


async def edit_position(
    session: AsyncSession, *, now: datetime, actor: Actor, position: Position, patch: PositionPatch
) -> None:
    """Change the fields a patch gives."""
    before, after = set_fields(position, given(patch))
    record(session, now=now, actor=actor, action="position.edited", row=position, before=before, after=after)


async def add_asset_model(session: AsyncSession, *, now: datetime, actor: Actor, new: NewAssetModel) -> AssetModel:
    """Add a brand and model; raises invalid."""
    await _check_type(session, new.asset_type)
    model = AssetModel(**given(new))
    session.add(model)
    await session.flush()
    record(session, now=now, actor=actor, action="asset_model.added", row=model, after=given(new))
    return model


async def add_asset(
    session: AsyncSession, *, now: datetime, actor: Actor, site: Site, new: NewAsset, asset_id: UUID | None = None
) -> Asset:
    """Add an asset to a site; one born on a phone brings its id. Raises invalid, merged_away."""
    must_stand(site)
    values = given(new)
    position_id, installed_at = values.pop("position_id"), values.pop("installed_at") or now
    await check_asset(session, values)
    asset = Asset(id=asset_id or new_id(), site_id=site.id, **values)
    session.add(asset)
    await session.flush()
    record(session, now=now, actor=actor, action="asset.added", row=asset, after=given(new))
    if position_id is not None:
        position = await session.get(Position, position_id, with_for_update=True)
        if position is None or position.site_id != site.id:
            raise no_such("position_id")
        placement = NewPlacement(asset_id=asset.id, at=installed_at)
        await place_asset(session, now=now, actor=actor, position=position, asset=asset, new=placement)
    return asset


async def edit_asset(session: AsyncSession, *, now: datetime, actor: Actor, asset: Asset, patch: AssetPatch) -> None:
    """Change the fields a patch gives; raises invalid, merged_away."""
    must_stand(asset)
    values = given(patch)
    await check_asset(session, values)
    before, after = set_fields(asset, values)
    await session.flush()
    record(session, now=now, actor=actor, action="asset.edited", row=asset, before=before, after=after)


async def place_asset(
    session: AsyncSession, *, now: datetime, actor: Actor, position: Position, asset: Asset, new: NewPlacement
) -> AssetPlacement:
    """Put an asset at a position, now or at an earlier instant; what stood there, and where it stood before, ends then.

    A swap so keeps both histories, and the warranty stays with the asset. Raises asset_retired, merged_away, invalid.
    """
    must_stand(asset)
    if asset.retired_at is not None:
        raise Problem(ASSET_RETIRED)
    at = new.at or now
    ends = [
        await current_placement(session, position_id=position.id),
        await current_placement(session, asset_id=asset.id),
    ]
    for placement in {row.id: row for row in ends if row is not None}.values():
        if placement.asset_id == asset.id and placement.position_id == position.id:
            return placement
        _end_placement(placement, at, now)
    _refuse(placement_finding("at", at, begun=None, now=now))
    moved, asset.site_id = asset.site_id != position.site_id, position.site_id
    placement = AssetPlacement(site_id=position.site_id, position_id=position.id, asset_id=asset.id, installed_at=at)
    session.add(placement)
    await session.flush()
    if moved:
        await _file_anew(session, await session.get_one(Site, position.site_id))
    after = {"position_id": position.id, "installed_at": at}
    record(session, now=now, actor=actor, action="asset.placed", row=asset, after=after)
    return placement


async def remove_asset(session: AsyncSession, *, now: datetime, actor: Actor, asset: Asset, removal: Removal) -> None:
    """Take an asset from its position, and out of use if it is retired; raises merged_away, invalid."""
    must_stand(asset)
    at = removal.at or now
    _refuse(placement_finding("at", at, begun=None, now=now))
    placement = await current_placement(session, asset_id=asset.id)
    if placement is not None:
        _end_placement(placement, at, now)
    if removal.retired:
        asset.retired_at = asset.retired_at or at
    await session.flush()
    after = {"removed_at": at, "retired": removal.retired}
    record(session, now=now, actor=actor, action="asset.removed", row=asset, after=after)


async def merge_asset(session: AsyncSession, *, now: datetime, actor: Actor, asset: Asset, into: Asset) -> None:
    """Replace an asset by another record of the same piece; placements and files follow. Raises merge_refused."""
    if asset.id == into.id or asset.merged_into_id or into.merged_into_id or asset.site_id != into.site_id:
        raise Problem(MERGE_REFUSED)
    asset.merged_into_id = into.id
    stands = await current_placement(session, asset_id=into.id)
    for placement in (await session.execute(select(AssetPlacement).filter_by(asset_id=asset.id))).scalars().all():
        placement.asset_id = into.id
        if placement.removed_at is None and stands is not None:
            placement.removed_at = max(stands.installed_at, placement.installed_at)
    await _move_files(session, asset, into)
    record(session, now=now, actor=actor, action="asset.merged", row=asset, after={"merged_into_id": into.id})
    tell(session, now=now, name="asset.merged", row=asset, facts={"into_id": str(into.id)})


def _end_placement(placement: AssetPlacement, at: datetime, now: datetime) -> None:
    _refuse(placement_finding("at", at, begun=placement.installed_at, now=now))
    placement.removed_at = at


def _refuse(finding: Finding | None) -> None:
    if finding is not None:
        raise Problem(INVALID, finding)


async def _move_owners(session: AsyncSession, site_id: UUID, into_id: UUID, now: datetime) -> None:
    """End who answers for a site; where nobody does so for the one that replaces it, they go on there."""
    later = or_(SiteOwner.valid_until.is_(None), SiteOwner.valid_until > now)
    theirs = (await session.execute(select(SiteOwner).where(SiteOwner.site_id == site_id, later))).scalars().all()
    taken = (await session.execute(select(SiteOwner.id).where(SiteOwner.site_id == into_id, later))).first()
    for owner in theirs:
        at, until = max(now, owner.valid_from), owner.valid_until
        owner.valid_until = at
        if taken is None:
            crew_id, person_id = owner.crew_id, owner.person_id
            session.add(
                SiteOwner(site_id=into_id, crew_id=crew_id, person_id=person_id, valid_from=at, valid_until=until)
            )


async def _move_files(session: AsyncSession, dead: Site | Asset, into: Site | Asset) -> None:
    theirs = select(Attachment).filter_by(entity=dead.__tablename__, subject_id=dead.id)
    for file in (await session.execute(theirs)).scalars():
        file.subject_id = into.id
    await session.flush()


async def _file_anew(session: AsyncSession, site: Site) -> None:
    """Put the files of a site and its assets into the bucket they belong to now."""
    assets = select(Asset.id).where(Asset.site_id == site.id)
    of_site = (Attachment.entity == Site.__tablename__) & (Attachment.subject_id == site.id)
    of_assets = (Attachment.entity == Asset.__tablename__) & Attachment.subject_id.in_(assets)
    for file in (await session.execute(select(Attachment).where(of_site | of_assets))).scalars().all():
        file.bucket = document_bucket(site.id, file.kind, no_offline_drawings=site.no_offline_drawings)
    await session.flush()


async def _check_references(session: AsyncSession, values: dict[str, Any], units: frozenset[UUID]) -> None:
    """Replace a customer's id by the one that stands for it, and refuse what leads nowhere or out of `units`."""
    if "customer_id" in values:
        if await session.get(Customer, values["customer_id"]) is None:
            raise no_such("customer_id")
        values["customer_id"] = (await survivor(session, Customer, values["customer_id"])).id
    if values.get("territory_id") is not None:
        territory = await session.get(Territory, values["territory_id"])
        if territory is None or territory.unit_id not in units:
            raise no_such("territory_id")
    if "time_zone" in values:
        checked_zone(values["time_zone"])


async def _check_holder(session: AsyncSession, new: NewOwner, units: frozenset[UUID]) -> None:
    if new.crew_id is not None:
        crew = await session.get(Crew, new.crew_id)
        if crew is None or not crew.active or crew.unit_id not in units:
            raise no_such("crew_id")
    if new.person_id is not None:
        await active_person(session, new.person_id, units, "person_id")


async def check_asset(session: AsyncSession, values: Mapping[str, Any]) -> None:
    """Refuse a type or model of an asset nobody knows; raises invalid."""
    if "asset_type" in values:
        await _check_type(session, values["asset_type"])
    if values.get("asset_model_id") and await session.get(AssetModel, values["asset_model_id"]) is None:
        raise no_such("asset_model_id")


async def _check_type(session: AsyncSession, key: str) -> None:
    if not await is_asset_type(session, key):
        raise Problem(INVALID, Finding("asset_type", "预设中没有这种设备类型", "the presets know no such type"))
