"""An import as its user runs it: the command, on a furnished database, and looks at what became of the tables."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from click.testing import CliRunner, Result
from sqlalchemy import text

from backend.cli import main
from backend.core.sessions import Database
from tests.make import START

TABLES: Final = (
    "customer", "contact", "contact_point", "site", "site_contact", "position", "asset", "asset_placement", "part",
    "person", "service_request", "commitment_clock", "request_owner", "maintenance_plan", "service_contract",
    "import_batch", "audit_entry", "change", "event", "task",
)  # fmt: skip

REGISTER = """设备编号,设备类型,小区编号,小区名称,地址,经度,纬度,联系人,电话,质保到期
CAM-1,摄像机,X1,湖畔花园,云桥市湖滨路1号,117.0100,31.0200,赵敏,139 0000 0011,2027年3月1日
CAM-2,摄像机,X1,湖畔花园,云桥市湖滨路1号,117.0100,31.0200,赵敏,139 0000 0011,2027-03-01
LIFT-9,客梯,X2,东门广场,云桥市东门街2号,,,,,46082
"""
REGISTER_MAPPING = """
time_zone = "Asia/Shanghai"
datum = "gcj02"

[[record]]
entity = "customer"
external_id = "customer-{小区编号}"
[record.fields]
unit = { value = "售后服务部" }
name = "小区名称"

[[record]]
entity = "site"
external_id = "site-{小区编号}"
[record.fields]
unit = { value = "售后服务部" }
customer = { external_id = "customer-{小区编号}" }
name = "小区名称"
address = "地址"
lat = "纬度"
lon = "经度"

[[record]]
entity = "contact"
external_id = "contact-{小区编号}"
only_if = "联系人"
[record.fields]
customer = { external_id = "customer-{小区编号}" }
name = "联系人"

[[record]]
entity = "contact_point"
only_if = "联系人"
[record.fields]
contact = { external_id = "contact-{小区编号}" }
kind = { value = "phone" }
address = "电话"
consent = { value = "contract" }

[[record]]
entity = "site_contact"
only_if = "联系人"
[record.fields]
site = { external_id = "site-{小区编号}" }
contact = { external_id = "contact-{小区编号}" }
primary = { value = true }

[[record]]
entity = "position"
external_id = "place-{设备编号}"
[record.fields]
site = { external_id = "site-{小区编号}" }
name = { template = "{设备类型} {设备编号}" }

[[record]]
entity = "asset"
external_id = "{设备编号}"
[record.fields]
site = { external_id = "site-{小区编号}" }
asset_type = { column = "设备类型", map = { "摄像机" = "camera", "客梯" = "elevator" } }
name = "设备编号"
serial = "设备编号"
warranty_until = "质保到期"

[[record]]
entity = "asset_placement"
[record.fields]
asset = { external_id = "{设备编号}" }
position = { external_id = "place-{设备编号}" }
"""


@dataclass(frozen=True)
class ImportDesk:
    """Somebody at the command line of a server whose clock stands at START."""

    url: str
    folder: Path

    def run(self, *arguments: str, code: int = 0, settings: Mapping[str, str] | None = None) -> str:
        """Run `paigong` and return what it prints; `code` is the exit code it must end with."""
        clock = self.folder / "clock"
        clock.write_text(START.isoformat(), "utf-8")
        environment = {
            "PAIGONG_MODE": "acceptance", "PAIGONG_CLOCK_FILE": str(clock), "PAIGONG_DATABASE": self.url,
            "PAIGONG_DATA_DIR": str(self.folder), **(settings or {}),
        }  # fmt: skip
        result: Result = CliRunner().invoke(main, list(arguments), env=environment)
        assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
        return result.output

    def file(self, name: str, content: str, encoding: str = "utf-8") -> str:
        """Write a file and return its path."""
        path = self.folder / name
        path.write_bytes(content.encode(encoding))
        return str(path)

    def load(
        self, table: str, mapping: str, *options: str, code: int = 0, settings: Mapping[str, str] | None = None
    ) -> str:
        """Import a CSV text by a mapping text."""
        files = (self.file("table.csv", table), "--mapping", self.file("mapping.toml", mapping))
        return self.run("import", *files, *options, code=code, settings=settings)

    def ask(self, query: str, **values: object) -> list[dict[str, Any]]:
        """Read rows with a query."""

        async def read() -> list[dict[str, Any]]:
            database = Database(self.url)
            try:
                async with database.read() as session:
                    return [dict(row) for row in (await session.execute(text(query), values)).mappings()]
            finally:
                await database.close()

        return asyncio.run(read())

    def write(self, statement: str, **values: object) -> None:
        """Change rows as something else than an import."""

        async def change() -> None:
            database = Database(self.url)
            try:
                async with database.write() as session:
                    await session.execute(text(statement), values)
            finally:
                await database.close()

        asyncio.run(change())

    def one(self, query: str, **values: object) -> Any:
        """Read the one value a query answers."""
        (row,) = self.ask(query, **values)
        (value,) = row.values()
        return value

    def heads(self) -> dict[str, int]:
        """The newest change phones would hear of, by bucket."""
        return {row["name"]: row["head_v"] for row in self.ask("SELECT name, head_v FROM bucket")}

    def sizes(self) -> Mapping[str, int]:
        """How many rows each table has."""
        counts = ", ".join(f"(SELECT count(*) FROM {table}) AS {table}" for table in TABLES)
        return self.ask(f"SELECT {counts}")[0]

    def newest_batch(self) -> UUID:
        """The batch of the newest import."""
        return UUID(self.run("import-list").split()[0])
