"""After the rows: positions for sites that have an address only, from the geocoder or, what is left, from a person."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.audit import Actor, record
from backend.core.etags import set_fields
from backend.core.sessions import Database
from backend.imports.limits import ADDRESSES_A_RUN_MAXIMUM, SILENCES_MAXIMUM
from backend.imports.schemas import UnpinnedSite
from backend.sites.actions import location_columns
from backend.sites.datum import Place, to_wgs84
from backend.sites.geocode import Geocoder, GeocoderSilentError, Located, locate
from backend.sites.models import Site
from backend.sites.schemas import NewLocation

GEOCODED = "site.geocoded"
OFF = ("未询问地理编码服务", "no geocoder was asked")
NO_ADDRESS = ("没有地址", "it has no address")
NOT_FOUND = ("地理编码找不到该地址", "the geocoder does not find the address")
UNSURE = ("地理编码结果不够可靠", "the geocoder is not sure enough")
LEFT_ALONE = ("地理编码服务没有应答,本次不再询问", "the geocoder did not answer and was left alone")
ENOUGH = (
    f"每次导入最多询问 {ADDRESSES_A_RUN_MAXIMUM} 个地址,请再次导入",
    f"one import asks for {ADDRESSES_A_RUN_MAXIMUM} addresses; run it again",
)


@dataclass(frozen=True)
class Unpinned:
    """A site of the file that has no position."""

    site_id: UUID
    line: int
    name: str
    address: str

    def listed(self, why: tuple[str, str], found: Located | None = None) -> UnpinnedSite:
        """The site as it is listed for a person, with where they may start looking."""
        true = to_wgs84(Place(found.lat, found.lon), found.datum) if found else None
        return UnpinnedSite(
            site_id=self.site_id, line=self.line, name=self.name, address=self.address, zh=why[0], en=why[1],
            lat=true and true.lat, lon=true and true.lon,
        )  # fmt: skip


@dataclass
class LookedUp:
    """What came of looking addresses up."""

    pinned: int = 0
    left: list[UnpinnedSite] = field(default_factory=list[UnpinnedSite])


async def pin_by_address(
    database: Database,
    sites: Sequence[Unpinned],
    geocoder: Geocoder | None,
    *,
    now: datetime,
    actor: Actor,
    progress: Callable[[int, int], None],
) -> LookedUp:
    """Give sites the positions a geocoder is sure of; the others are listed with the reason."""
    looked_up, silences, asked = LookedUp(), 0, 0
    for site in sites:
        why = _not_asked(site, geocoder, silences, asked)
        if geocoder is None or why is not None:
            looked_up.left.append(site.listed(why or OFF))
            continue
        asked += 1
        progress(1, min(len(sites), ADDRESSES_A_RUN_MAXIMUM))
        try:
            found = await locate(database, geocoder, site.address, now=now)
        except GeocoderSilentError as silence:
            silences += 1
            looked_up.left.append(
                site.listed((f"地理编码服务没有应答({silence})", f"the geocoder did not answer: {silence}"))
            )
            continue
        silences = 0
        if found is None or not found.sure:
            looked_up.left.append(site.listed(UNSURE if found else NOT_FOUND, found))
            continue
        async with database.write() as session:
            looked_up.pinned += await _pin(session, site.site_id, found, now=now, actor=actor)
    return looked_up


def _not_asked(site: Unpinned, geocoder: Geocoder | None, silences: int, asked: int) -> tuple[str, str] | None:
    """Why an address is not looked up, or None."""
    if not site.address:
        return NO_ADDRESS
    if geocoder is None:
        return OFF
    if silences >= SILENCES_MAXIMUM:
        return LEFT_ALONE
    return ENOUGH if asked >= ADDRESSES_A_RUN_MAXIMUM else None


async def _pin(session: AsyncSession, site_id: UUID, found: Located, *, now: datetime, actor: Actor) -> bool:
    """Set a site's position, unless somebody was faster."""
    site = await session.get_one(Site, site_id, with_for_update=True)
    if site.lat is not None:
        return False
    location = NewLocation(
        lat=found.lat, lon=found.lon, datum=found.datum, source="geocoder", confidence=found.confidence
    )
    before, after = set_fields(site, location_columns(location))
    record(session, now=now, actor=actor, action=GEOCODED, row=site, before=before, after=after)
    return True
