"""What belongs to one entity: what follows from its other fields, what does not fit together, what stays as it is.

FIT runs on every record, before it is recognised; ADD on new ones; KEEP names columns of a known one that stay.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from backend.contracts.queries import DEFAULT_POLICY
from backend.imports.converters import AS_WRITTEN, CONVERTERS, CellRefused, Reading
from backend.imports.known import Columns, View
from backend.imports.rows import Reference
from backend.imports.schemas import ImportMapping
from backend.imports.targets import Field
from backend.maintenance.plans import EARLIEST, LATEST
from backend.maintenance.rules import BadRecurrence, CarePlan, check_recurrence
from backend.requests.rules import receipt
from backend.sites.actions import location_columns
from backend.sites.datum import Place, to_wgs84
from backend.sites.schemas import NewLocation

ANY_DAY: Final = date(2026, 1, 1)
"""A rule is tried from some day, where the file does not say from which."""
SEEN_ON_SITE: Final = frozenset({"pin", "phone", "survey"})
"""Where a position comes from that no file or geocoder knows better."""
POSITION: Final = frozenset(location_columns(None))


@dataclass(frozen=True)
class Completion:
    """A record's columns so far, to be added to, and what is known around it."""

    values: Columns
    view: View
    mapping: ImportMapping
    now: datetime

    def row(self, entity: str, column: str) -> Columns:
        """The record a column of this one refers to; empty where it refers to none."""
        named = self.values.get(column)
        return self.view.row(entity, named) if named else {}

    def agree(self, column: str, other: Any, zh: str, en: str) -> None:
        """Set a column that follows from another record; raises CellRefused where the file says otherwise."""
        if self.values.setdefault(column, other) != other:
            raise CellRefused(zh, en)


def _fit_site(new: Completion) -> None:
    """Coordinates become WGS-84; the original stays beside them, with its datum (model 16)."""
    given = _place(new, "lat", "lon")
    if given is not None and new.mapping.datum is not None:
        location = NewLocation(lat=given.lat, lon=given.lon, datum=new.mapping.datum, source="import", confidence=1.0)
        new.values.update(location_columns(location))


def _place(new: Completion, lat_column: str, lon_column: str) -> Place | None:
    """Take a pair of coordinates out of the values.

    Raises CellRefused for half a pair, and for 0, 0: it is no place.
    """
    lat, lon = new.values.pop(lat_column, None), new.values.pop(lon_column, None)
    if (lat is None) != (lon is None):
        raise CellRefused("经纬度缺一", "one of the coordinates is missing")
    if lat is None or lon is None:
        return None
    if lat == 0 and lon == 0:
        raise CellRefused("坐标是 0, 0,不是真实位置", "the coordinates are 0, 0, which is no place of ours")
    return Place(lat, lon)


def _add_site(new: Completion) -> None:
    zone = new.row("unit", "unit_id").get("time_zone")
    new.values.setdefault("time_zone", new.mapping.time_zone or zone)


def _keep_site(existing: Columns) -> frozenset[str]:
    """A position somebody pinned or measured stays, whatever a file says."""
    return POSITION if existing["position_source"] in SEEN_ON_SITE else frozenset()


def _fit_person(new: Completion) -> None:
    given = _place(new, "home_lat", "home_lon")
    if given is not None and new.mapping.datum is not None:
        new.values["home_lat"], new.values["home_lon"] = to_wgs84(given, new.mapping.datum)


def _fit_contact_point(new: Completion) -> None:
    """A phone number or e-mail address is kept as such, so that it is recognised however it is typed."""
    kind, address = new.values.get("kind"), new.values.get("address")
    if address and kind in {"phone", "email"}:
        new.values["address"] = CONVERTERS[kind](Field(kind), AS_WRITTEN, address, Reading())


def _add_contact_point(new: Completion) -> None:
    if new.values.get("consent"):
        new.values.setdefault("consented_at", new.now)


def _add_since(new: Completion) -> None:
    """Roles and skills hold from now on unless the file says since when."""
    new.values.setdefault("valid_from", new.now)


def _fit_site_contact(new: Completion) -> None:
    """A contact of the site's own customer; at most one is the first to call."""
    site, contact = new.row("site", "site_id"), new.row("contact", "contact_id")
    if site and contact and site["customer_id"] != contact["customer_id"]:
        raise CellRefused("联系人不属于该客户", "the contact is not one of the site's customer")
    if new.values.get("primary"):
        first = ("site_contact", "primary", new.values.get("site_id"))
        if new.view.holder(*first) not in (None, new.values.get("contact_id")):
            raise CellRefused("该现场已有另一位首要联系人", "another contact is the first to call at this site")
        new.view.mine.taken[first] = new.values["contact_id"]


def _fit_placement(new: Completion) -> None:
    """An asset stands at a position of its own site."""
    asset, position = new.row("asset", "asset_id"), new.row("position", "position_id")
    if asset and position and asset["site_id"] != position["site_id"]:
        raise CellRefused("设备和点位不在同一现场", "the asset and the position are at different sites")


def _add_placement(new: Completion) -> None:
    """One asset stands at one position: a swap ends a placement, which is work, not import."""
    new.values["site_id"] = new.row("position", "position_id").get("site_id")
    new.values.setdefault("installed_at", new.now)
    if new.view.holder("asset_placement", "asset_id", new.values["asset_id"]):
        raise CellRefused("设备已装在另一点位", "the asset stands at another position")


def _fit_contract(new: Completion) -> None:
    starts = new.values.get("starts_on")
    for column in ("maintenance_ends_on", "ends_on"):
        ends = new.values.get(column)
        if starts and ends and ends < starts:
            raise CellRefused(f"{column} 早于 starts_on", f"{column} is before starts_on")


def _add_contract(new: Completion) -> None:
    if "clock_policy_id" not in new.values:
        (new.values["clock_policy_id"],) = new.view.candidates(
            Reference("clock_policy", DEFAULT_POLICY, by_external_id=False)
        )


def _fit_contract_site(new: Completion) -> None:
    contract, site = new.row("service_contract", "contract_id"), new.row("site", "site_id")
    if contract and site and contract["customer_id"] != site["customer_id"]:
        raise CellRefused("不是该客户的现场", "not a site of the contract's customer")


def _fit_plan(new: Completion) -> None:
    starts, ends, rule = (new.values.get(name) for name in ("starts_on", "ends_on", "recurrence"))
    if starts and not EARLIEST <= starts <= LATEST:
        span = f"{EARLIEST}..{LATEST}"
        raise CellRefused(f"starts_on 超出 {span}", f"starts_on is outside {span}")
    if starts and ends and ends < starts:
        raise CellRefused("ends_on 早于 starts_on", "ends_on is before starts_on")
    if not rule:
        return
    try:
        check_recurrence(CarePlan(recurrence=rule, starts_on=starts or ANY_DAY))
    except BadRecurrence as error:
        raise CellRefused(f"“{rule}”不是可用的周期规则", f"{rule!r} is not a rule a plan can follow") from error


def _add_plan(new: Completion) -> None:
    new.values["unit_id"] = new.row("site", "site_id").get("unit_id")


def _fit_request(new: Completion) -> None:
    asset = new.row("asset", "asset_id")
    if asset:
        new.agree("site_id", asset["site_id"], "设备不在这个现场", "the asset is not at this site")
    received = new.values.get("received_at")
    if received and receipt(received, new.now) is None:
        raise CellRefused("受理时间在未来", "received_at lies in the future")


def _add_request(new: Completion) -> None:
    if new.values.get("site_id") is None:
        raise CellRefused("缺少现场", "the site is missing")
    site = new.row("site", "site_id")
    contact = new.row("contact", "contact_id")
    if contact and contact["customer_id"] != site["customer_id"]:
        raise CellRefused("联系人不属于该客户", "the contact is not one of the site's customer")
    new.values["unit_id"], new.values["customer_id"] = site["unit_id"], site["customer_id"]


def _keep_request(existing: Columns) -> frozenset[str]:
    """An import opens a Case; what becomes of it is the office's and the phones' to say."""
    return frozenset(existing)


Rule = Callable[[Completion], None]
FIT: Final[Mapping[str, Rule]] = {
    "asset_placement": _fit_placement,
    "contact_point": _fit_contact_point,
    "contract_site": _fit_contract_site,
    "maintenance_plan": _fit_plan,
    "person": _fit_person,
    "service_contract": _fit_contract,
    "service_request": _fit_request,
    "site": _fit_site,
    "site_contact": _fit_site_contact,
}
ADD: Final[Mapping[str, Rule]] = {
    "asset_placement": _add_placement,
    "contact_point": _add_contact_point,
    "maintenance_plan": _add_plan,
    "person_skill": _add_since,
    "role_grant": _add_since,
    "service_contract": _add_contract,
    "service_request": _add_request,
    "site": _add_site,
}
KEEP: Final[Mapping[str, Callable[[Columns], frozenset[str]]]] = {"service_request": _keep_request, "site": _keep_site}
