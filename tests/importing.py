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
