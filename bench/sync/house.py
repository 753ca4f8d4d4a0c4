"""What is synced: technicians, ten sites with five thousand records of 0.94 KB, and the office that edits them."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import Table, bindparam, insert, select, update

from backend.core.auth import hash_password
from backend.core.clock import SystemClock
from backend.core.ids import new_id
from backend.core.sessions import Database
from backend.people.models import EnrolmentCode
from backend.tables import metadata
from sync.enrol import hash_of

SITES: Final = 10
ZONE: Final = "Asia/Shanghai"
WRITERS: Final = 8
RECORD_BYTES: Final = 940
PASSWORD: Final = "bench-password-1"  # noqa: S105 - of people who live for a minute
NULLS_BYTES: Final = 161
"""What the columns add that hold nothing."""
CHARACTERS: Final = tuple(chr(0x4E00 + 31 * at % 6_000) for at in range(600))
WEIGHTS: Final = tuple(1 / (at + 8) for at in range(600))
"""Text nobody has written before, so that compression does not look better than it is: characters by Zipf's law."""
HAND_WRITTEN: Final = 8
PHRASES: Final = (
    "画面偏暗, 已调整曝光", "接头氧化, 更换网线", "镜头有水汽, 建议返修", "支架松动, 已紧固", "夜间红外不亮",
    "需要登高车",
    "钥匙在门卫处", "电源适配器更换", "录像保存三十天", "客户要求周末施工", "配电箱在地下一层", "防雷器已检查",
    "存储硬盘告警", "时间不同步, 已校时", "角度被树枝遮挡", "交换机端口故障", "光纤衰减偏大", "接地电阻合格",
    "门禁读卡器失灵", "电梯轿厢内设备", "摄像机型号已核对", "标签缺失, 已补贴", "线缆走桥架", "网络地址冲突",
)  # fmt: skip


class House:
    """The rows of one database, and the office's edits of them."""

    def __init__(self, database: Database, records: int, seed: int = 7) -> None:
        self.database = database
        self.people = [new_id() for _ in range(1 + WRITERS)]
        """The first is sent to every site, each other to one."""
        self.sites = [new_id() for _ in range(SITES)]
        self._random = random.Random(seed)
        self.assets = [self._asset(self.sites[at % SITES], at) for at in range(records - SITES)]
        self.notes = {asset["id"]: str(asset["note"]) for asset in self.assets}
        self._edits = 0

    def of_site(self, site: UUID) -> list[UUID]:
        """Ids of the records of one site."""
        return [asset["id"] for asset in self.assets if asset["site_id"] == site]

    async def furnish(self) -> None:
        """Fill the database."""
        now = SystemClock().now()
        unit, customer = new_id(), new_id()
        password_hash = hash_password(PASSWORD)
        jobs = [new_id() for _ in self.sites]
        visits = [new_id() for _ in self.sites]
        rows: dict[str, list[dict[str, Any]]] = {
            "unit": [{"id": unit, "kind": "company", "name_zh": "公司", "name_en": "Company", "time_zone": ZONE}],
            "person": [
                {
                    "id": person, "unit_id": unit, "employee_number": f"B{at:03}", "name": f"李伟 {at}",
                    "language": "zh", "external": False, "active": True, "password_hash": password_hash,
                }
                for at, person in enumerate(self.people)
            ],
            "preset": [{
                "id": new_id(), "kind": "asset_type", "key": "camera", "version": 1, "name_zh": "摄像机",
                "name_en": "camera", "body": {}, "active": True,
            }],
            "customer": [{
                "id": customer, "unit_id": unit, "number": "C-1", "name": "城东花园", "kind": "organisation",
                "language": "zh",
            }],
            "site": [self._site(site, unit, customer, at) for at, site in enumerate(self.sites)],
            "asset": self.assets,
            "work_order": [
                {
                    "id": job, "unit_id": unit, "number": f"WO-{at}", "site_id": site, "kind": "repair",
                    "origin": "passive", "queue": "field", "priority": "P2", "title": "维修", "description": "",
                    "required_skills": [], "duration_minutes": 60, "state": "open", "needs_approval": False,
                }
                for at, (job, site) in enumerate(zip(jobs, self.sites, strict=True))
            ],
            "visit": [
                {"id": visit, "work_order_id": job, "sequence": 1, "duration_minutes": 60, "state": "planned"}
                for visit, job in zip(visits, jobs, strict=True)
            ],
            "assignment": [
                {
                    "id": new_id(), "work_order_id": jobs[at], "visit_id": visits[at], "person_id": person,
                    "leads": True, "pinned": False, "arrives_at": now, "ends_at": now + timedelta(hours=1),
                    "assigned_at": now, "events_before": 0,
                }
                for at, person in [
                    *((at, self.people[0]) for at in range(SITES)), *enumerate(self.people[1:]),
                ]
            ],
        }  # fmt: skip
        async with self.database.write() as session:
            for name, new in rows.items():
                await session.execute(insert(_table(name)), new)

    async def code(self, person: UUID) -> str:
        """Return a code a phone registers with."""
        code = new_id().hex
        async with self.database.write() as session:
            expires_at = SystemClock().now() + timedelta(minutes=10)
            session.add(EnrolmentCode(person_id=person, code_hash=hash_of(code), expires_at=expires_at))
        return code

    async def edit(self, column: str, assets: list[UUID]) -> None:
        """Let the office change one column of these records, in one commit."""
        self._edits += 1
        asset = _table("asset")
        changed = update(asset).where(asset.c.id == bindparam("row_id")).values({column: bindparam("new")})
        new = [{"row_id": row, "new": f"{self._edits}-{at}"} for at, row in enumerate(assets)]
        async with self.database.write() as session:
            await (await session.connection()).execute(changed, new)

    async def notes_now(self) -> dict[UUID, str]:
        """Read the note of every record, as it is stored."""
        asset = _table("asset")
        async with self.database.read() as session:
            return {row.id: row.note for row in await session.execute(select(asset.c.id, asset.c.note))}

    def records(self) -> list[dict[str, Any]]:
        """Return the records as JSON values, for a peer to store."""
        empty = {column.name: None for column in _table("asset").columns if not column.info.get("private")}
        return [msgspec.to_builtins({**empty, **asset}) for asset in self.assets]

    def _site(self, site: UUID, unit: UUID, customer: UUID, at: int) -> dict[str, Any]:
        return {
            "id": site, "unit_id": unit, "customer_id": customer, "number": f"S-{at}", "name": f"东门 {at}",
            "address": f"人民路 {at} 号", "lat": 31.0, "lon": 117.0, "access_notes": "", "time_zone": ZONE,
            "no_photos": False, "no_phone": False, "no_offline_drawings": False,
        }  # fmt: skip

    def _asset(self, site: UUID, at: int) -> dict[str, Any]:
        bought = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=self._random.randrange(2_000))
        asset: dict[str, Any] = {
            "id": new_id(), "site_id": site, "asset_type": "camera", "name": f"球机 {at}", "quantity": 1,
            "serial": f"SN{self._random.getrandbits(48):012X}", "software_version": f"V5.{self._random.randrange(90)}",
            "protocol": "ONVIF", "connection": f"10.{at % 200}.{self._random.randrange(250)}.7",
            "purchased_on": bought.date(), "warranty_until": (bought + timedelta(days=1_095)).date(), "note": "",
        }  # fmt: skip
        size = NULLS_BYTES + len(msgspec.json.encode(asset))
        notes: list[str] = []
        while size < RECORD_BYTES:
            written = "".join(self._random.choices(CHARACTERS, WEIGHTS, k=HAND_WRITTEN))
            day = bought.date() + timedelta(days=self._random.randrange(1_500))
            noted = f"{day} {self._random.choice(PHRASES)} {written} "
            notes.append(noted)
            size += len(noted.encode())
        return {**asset, "note": "".join(notes)}


def _table(name: str) -> Table:
    return metadata.tables[name]
