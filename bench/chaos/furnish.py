"""What the phones work on: a site with assets for each person and one all share, and a visit at both."""

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import insert

from backend.core.ids import new_id
from backend.core.sessions import Database
from backend.tables import metadata
from bench.chaos.writers import CLOCK

ASSETS: Final = 100
"""Assets of each writer's own site; on the site all share, everybody has a tenth of that."""
ZONE: Final = "Asia/Shanghai"


async def furnish(database: Database, unit: str, people: list[str]) -> list[tuple[str, list[str], list[str]]]:
    """Make sites with assets and work for everybody; return, for each person, (site, own assets, shared assets).

    The last site is the one all share.
    """
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ("customer", "site", "asset", "work_order")}
    rows |= {"visit": [], "assignment": []}
    customer, now = new_id(), CLOCK.now()
    rows["customer"].append({
        "id": customer, "unit_id": UUID(unit), "number": "C-chaos", "name": "城东花园", "kind": "organisation",
        "language": "zh",
    })  # fmt: skip
    sites = [new_id() for _ in range(len(people) + 1)]
    held: list[tuple[str, list[str], list[str]]] = []
    for number, site in enumerate(sites):
        rows["site"].append({
            "id": site, "unit_id": UUID(unit), "customer_id": customer, "number": f"S-{number}", "name": "东门",
            "access_notes": "门卫", "address": "东风路 1 号", "lat": 31.0, "lon": 117.0, "position_source": "pin",
            "position_confidence": 1.0, "time_zone": ZONE, "no_photos": False, "no_phone": False,
            "no_offline_drawings": False,
        })  # fmt: skip
    for number, person in enumerate(people):
        own = [_asset(rows, sites[number]) for _ in range(ASSETS)]
        held.append((str(sites[number]), own, [_asset(rows, sites[-1]) for _ in range(ASSETS // 10)]))
        for site in (sites[number], sites[-1]):
            _assigned(rows, unit, site, person, now)
    async with database.write() as session:
        for name, new in rows.items():
            await session.execute(insert(metadata.tables[name]), new)
    return [*held, (str(sites[-1]), [], [])]


def _asset(rows: dict[str, list[dict[str, Any]]], site: UUID) -> str:
    asset = new_id()
    new = {"id": asset, "site_id": site, "asset_type": "camera", "name": "枪机", "quantity": 1, "note": ""}
    rows["asset"].append(new)
    return str(asset)


def _assigned(rows: dict[str, list[dict[str, Any]]], unit: str, site: UUID, person: str, now: datetime) -> None:
    order, visit, ends_at = new_id(), new_id(), now + timedelta(days=1)
    rows["work_order"].append({
        "id": order, "unit_id": UUID(unit), "number": f"WO-{len(rows['work_order'])}", "site_id": site,
        "kind": "repair",
        "origin": "passive", "queue": "field", "priority": "P2", "title": "维修", "description": "",
        "required_skills": [], "duration_minutes": 60, "state": "open", "needs_approval": False,
    })  # fmt: skip
    rows["visit"].append({
        "id": visit, "work_order_id": order, "sequence": 1, "duration_minutes": 60, "state": "planned",
    })  # fmt: skip
    rows["assignment"].append({
        "id": new_id(), "work_order_id": order, "visit_id": visit, "person_id": UUID(person), "leads": True,
        "pinned": False, "arrives_at": now, "ends_at": ends_at, "assigned_at": now,
    })  # fmt: skip
