"""The world the contract tests act in: an office, a few sites and people, over one store.

`World` is what a store has to offer to be put under contract; `MemoryWorld` offers it for the store in memory. Its
scope rule is the design's in small: assignments inside a window, a person's own or those of a crew while they are in
it, their jobs, the jobs' sites with customers and contacts, and the catalogue.
"""

import base64
import random
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec

from sync.enrol import hash_of
from sync.handler import Call, Handler, Outcome, Rejection, applied, noop, rejected
from sync.holding import Rows, place
from sync.limits import CODE_MINUTES
from sync.memory import CONFLICT, MemoryStore, MemoryTransaction
from sync.protocol import Mutation
from sync.store import EnrolmentCode, Fields, Row, RowKey, RowWrite, Transaction, WriteKind

START: Final = datetime(2026, 3, 2, 1, tzinfo=UTC)
SECRET: Final = b"a secret for tests only, 32 bytes"
OPENS: Final = timedelta(days=7)
"""How long before its start an assignment comes into scope."""
STAYS: Final = timedelta(days=1)
"""How long after its end it stays."""

PLACE: Final = {
    "address": "东风路 1 号",
    "lat": 31.0,
    "lon": 117.0,
    "position_source": "pin",
    "position_confidence": 1.0,
}


class Ids:
    """UUIDs that repeat from a seed."""

    def __init__(self, seed: int = 7) -> None:
        self._random = random.Random(seed)  # noqa: S311 - ids that repeat are the purpose

    def __call__(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def code(self) -> str:
        """A code to register a phone with."""
        return base64.b32encode(self.bytes(10)).decode()


class Crewed(Protocol):
    """Work given to a crew, and the people in it."""

    crew: str
    """In which nobody is yet."""

    async def assign_crew(self, job: str, *, starts_at: datetime = START, hours: float = 8) -> str: ...
    async def join(self, person: str, *, at: datetime = START, until: datetime | None = None) -> str: ...
    async def leave(self, member: str, *, at: datetime = START) -> None: ...


class World(Crewed, Protocol):
    """A store with an office in front of it. Every method commits before it returns, unless inside `together`."""

    store: Any
    ids: Ids
    li_wei: str
    """Technician."""
    zhang_min: str
    """Technician."""
    customer: str
    """Whose the sites are."""

    def together(self) -> AbstractAsyncContextManager[None]:
        """What the office does inside is one commit."""
        ...

    async def site(self, **fields: Any) -> str: ...
    async def asset(self, site: str, **fields: Any) -> str: ...
    async def job(self, site: str) -> str: ...
    async def assign(self, person: str, job: str, *, starts_at: datetime = START, hours: float = 8) -> str: ...
    async def withdraw(self, assignment: str) -> None: ...
    async def change(self, entity: str, row: str, **fields: Any) -> None: ...
    async def delete(self, entity: str, row: str) -> None: ...
    async def fields(self, entity: str, row: str) -> Fields | None: ...
    async def conflicts(self, row: str) -> list[Fields]: ...
    async def expected(self, person: str, now: datetime) -> Mapping[str, Rows]: ...
    async def code(self, person: str, now: datetime = START) -> str: ...
    async def revoke(self, device: str) -> None: ...
    async def quarantined(self, device: str) -> list[bytes]: ...
    async def put_back(self) -> None: ...


def bucket_of(key: RowKey, fields: Fields) -> str:
    """Name the bucket of a row, by the rules of the product's tables."""
    if key.entity == "assignment" and fields["person_id"] is None:
        return f"job:{fields['work_order_id']}"
    if key.entity in ("assignment", "crew_member", "person"):
        return f"user:{fields.get('person_id', key.row)}"
    if key.entity in ("work_order", "visit"):
        return f"job:{fields.get('work_order_id', key.row)}"
    if key.entity in ("contact", "customer"):
        return f"{key.entity}:{key.row}"
    return "catalogue" if key.entity == "part" else f"site:{fields.get('site_id', key.row)}"


def scope_of(rows: Mapping[RowKey, Row], person: str, now: datetime) -> tuple[Collection[str], datetime | None]:
    """Say what a technician may hold now, and until when that is so if nobody writes."""
    buckets = {f"user:{person}", "catalogue"}
    turns: list[datetime] = []
    for fields, opens, closes in _given(rows, person):
        turns += [turn for turn in (opens, closes) if turn > now]
        if opens <= now < closes:
            job = rows[RowKey("work_order", fields["work_order_id"])]
            buckets |= {f"job:{job.key.row}", *_around(rows, job.fields["site_id"])}
    return buckets, min(turns, default=None)


def _given(rows: Mapping[RowKey, Row], person: str) -> Iterator[tuple[Fields, datetime, datetime]]:
    """Every assignment that is a person's, by itself or through a crew, with the time it is in scope."""
    members = [row.fields for key, row in rows.items() if key.entity == "crew_member" and not row.deleted]
    mine = [member for member in members if member["person_id"] == person]
    for key, row in rows.items():
        fields = row.fields
        if key.entity != "assignment" or row.deleted or fields["withdrawn_at"] is not None:
            continue
        opens = datetime.fromisoformat(fields["arrives_at"]) - OPENS
        closes = datetime.fromisoformat(fields["ends_at"]) + STAYS
        if fields["person_id"] == person:
            yield fields, opens, closes
        for member in mine:
            if member["crew_id"] == fields["crew_id"]:
                left = closes if member["valid_until"] is None else datetime.fromisoformat(member["valid_until"])
                yield fields, max(opens, datetime.fromisoformat(member["valid_from"])), min(closes, left)


def _around(rows: Mapping[RowKey, Row], site: str) -> set[str]:
    fields = rows[RowKey("site", site)].fields
    people = {
        f"contact:{row.fields['contact_id']}"
        for key, row in rows.items()
        if key.entity == "site_contact" and not row.deleted and row.fields["site_id"] == site
    }
    customer = {f"customer:{fields['customer_id']}"} if fields else set[str]()
    return {f"site:{site}"} | customer | people


class MemoryWorld:
    """The world over the store in memory."""

    def __init__(self, seed: int = 7) -> None:
        self.ids = Ids(seed)
        self.store = MemoryStore(scope=scope_of, bucket=bucket_of, epoch=self.ids())
        self.li_wei, self.zhang_min, self.customer, self.crew = (self.ids() for _ in range(4))
        self._open: MemoryTransaction | None = None

    @asynccontextmanager
    async def together(self) -> AsyncGenerator[None]:
        """Do several things in one commit."""
        async with self.store.write() as self._open:
            yield
        self._open = None

    async def begin(self) -> "MemoryWorld":
        """Furnish the world."""
        for person, name in ((self.li_wei, "李伟"), (self.zhang_min, "张敏")):
            await self._insert("person", person, name=name)
        await self._insert("customer", self.customer, name="城东花园")
        await self._insert("part", self.ids(), name="球机")
        return self

    async def site(self, **fields: Any) -> str:
        """Add a site of the customer."""
        content = {"name": "东门", "access_notes": "", "acceptance_on": None, "number": "S-1", "merged_into_id": None}
        return await self._insert("site", self.ids(), **content | PLACE | {"customer_id": self.customer} | fields)

    async def asset(self, site: str, **fields: Any) -> str:
        """Add an asset to a site."""
        content = {
            "site_id": site, "asset_type": "camera", "asset_model_id": None, "name": "枪机", "serial": "A1",
            "quantity": 1, "software_version": None, "protocol": None, "connection": None, "purchased_on": None,
            "note": "", "warranty_until": None, "merged_into_id": None,
        }  # fmt: skip
        return await self._insert("asset", self.ids(), **content | fields)

    async def job(self, site: str) -> str:
        """Add a work order at a site."""
        return await self._insert("work_order", self.ids(), site_id=site, title="维修")

    async def assign(self, person: str, job: str, *, starts_at: datetime = START, hours: float = 8) -> str:
        """Give a job to a person."""
        return await self._assign(job, starts_at, hours, person_id=person, crew_id=None)

    async def assign_crew(self, job: str, *, starts_at: datetime = START, hours: float = 8) -> str:
        """Give a job to the crew."""
        return await self._assign(job, starts_at, hours, person_id=None, crew_id=self.crew)

    async def _assign(self, job: str, starts_at: datetime, hours: float, **holder: str | None) -> str:
        ends_at = starts_at + timedelta(hours=hours)
        return await self._insert(
            "assignment", self.ids(), **holder, work_order_id=job, withdrawn_at=None,
            arrives_at=starts_at.isoformat(), ends_at=ends_at.isoformat(),
        )  # fmt: skip

    async def join(self, person: str, *, at: datetime = START, until: datetime | None = None) -> str:
        """Put a person into the crew."""
        return await self._insert(
            "crew_member", self.ids(), person_id=person, crew_id=self.crew, valid_from=at.isoformat(),
            valid_until=until and until.isoformat(),
        )  # fmt: skip

    async def leave(self, member: str, *, at: datetime = START) -> None:
        """Let somebody's time in the crew end."""
        await self.change("crew_member", member, valid_until=at.isoformat())

    async def withdraw(self, assignment: str) -> None:
        """Take a job away again."""
        await self.change("assignment", assignment, withdrawn_at=START.isoformat())

    async def change(self, entity: str, row: str, **fields: Any) -> None:
        """Edit a row in the office."""
        await self._write(RowWrite(WriteKind.UPDATE, RowKey(entity, row), fields, ""))

    async def delete(self, entity: str, row: str) -> None:
        """Delete a row in the office."""
        await self._write(RowWrite(WriteKind.DELETE, RowKey(entity, row), {}, ""))

    async def fields(self, entity: str, row: str) -> Fields | None:
        """Read a row."""
        async with self.store.read() as snapshot:
            found = snapshot.tables.rows.get(RowKey(entity, row))
        return None if found is None or found.deleted else found.fields

    async def conflicts(self, row: str) -> list[Fields]:
        """Read the open conflicts of a row."""
        async with self.store.read() as snapshot:
            rows = snapshot.tables.rows
        found = [conflict.fields for key, conflict in rows.items() if key.entity == CONFLICT]
        return [fields for fields in found if fields["subject_id"] == row]

    async def expected(self, person: str, now: datetime) -> Mapping[str, Rows]:
        """Say what a phone of this person must hold, straight from the rows."""
        async with self.store.read() as snapshot:
            rows = snapshot.tables.rows
        held: dict[str, Rows] = {}
        for key, row in rows.items():
            if not row.deleted and row.bucket in scope_of(rows, person, now)[0]:
                body = msgspec.json.encode(row.fields, order="sorted").decode()
                held.setdefault(row.bucket, {})[place(key.entity, key.row)] = body
        return held

    async def code(self, person: str, now: datetime = START) -> str:
        """Give a person a code for a phone."""
        code = self.ids.code()
        async with self.store.write() as tx:
            await tx.add_code(hash_of(code), EnrolmentCode(person, now + timedelta(minutes=CODE_MINUTES)))
        return code

    async def revoke(self, device: str) -> None:
        """Take a phone out of use."""
        async with self.store.write() as tx:
            await tx.revoke(device)

    async def quarantined(self, device: str) -> list[bytes]:
        """Read the payloads that wait for a person."""
        return [entry.payload for entry in self.store.quarantine if entry.device == device]

    async def put_back(self) -> None:
        """Bring everything back from a backup made this instant."""
        self.store.restore(self.store.backup(), epoch=self.ids())

    async def _insert(self, entity: str, row: str, **fields: Any) -> str:
        await self._write(RowWrite(WriteKind.INSERT, RowKey(entity, row), fields, ""))
        return row

    async def _write(self, write: RowWrite) -> None:
        if self._open is not None:
            await self._open.write([write])
            return
        async with self.store.write() as tx:
            await tx.write([write])


def site_of(mutation: Mutation) -> RowKey:
    """Name the site a test command is about."""
    return RowKey("site", mutation.args["site"])


async def sign(tx: Transaction, call: Call) -> Outcome:
    """Add a mark to the site's access notes: an effect that shows how often, and in which order, it happened."""
    key = site_of(call.mutation)
    notes = (await tx.rows([key]))[key].fields["access_notes"]
    mark = call.mutation.args["mark"]
    await tx.write([RowWrite(WriteKind.UPDATE, key, {"access_notes": f"{notes}{mark};"}, call.mutation.id)])
    return applied()


async def sign_then_refuse(tx: Transaction, call: Call) -> Outcome:
    """Write something, then find out that it may not be."""
    await sign(tx, call)
    raise Rejection("visit_finished", "此次上门已由李伟完成。", "李伟 finished this visit.")


async def sign_then_fail(tx: Transaction, call: Call) -> Outcome:
    """Write something, then break."""
    await sign(tx, call)
    raise RuntimeError("a defect in business code")


async def refuse(tx: Transaction, call: Call) -> Outcome:
    """Refuse before anything was written."""
    return rejected("visit_cancelled", "王芳已取消此次上门。", "王芳 cancelled this visit.")


async def nothing(tx: Transaction, call: Call) -> Outcome:
    """Find that it already is so."""
    return noop()


async def meet(tx: Transaction, call: Call) -> Outcome:
    """Make a contact in a bucket of its own, as a new request does, and let the phone go on there."""
    key = RowKey("contact", call.mutation.row)
    buckets = await tx.write([RowWrite(WriteKind.INSERT, key, dict(call.mutation.args), call.mutation.id)])
    return applied(granted=tuple(buckets))


def handlers_that(**more: Handler[Any]) -> Mapping[str, Handler[Any]]:
    """Return the commands of the contract tests: small, and written on the store's own promises."""
    runs: dict[str, Callable[[Any, Call], Any]] = {
        "sign": sign, "sign_then_refuse": sign_then_refuse, "sign_then_fail": sign_then_fail, "refuse": refuse,
        "nothing": nothing,
    }  # fmt: skip
    at_a_site = {name: Handler(run, site_of) for name, run in runs.items()}
    return {**at_a_site, "meet": Handler(meet, lambda _: None), **more}
