"""Registering phones in SQL: the part of a transaction that sync/enrol.py asks for."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import cast
from uuid import UUID

from sqlalchemy import Table, and_, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from backend.devices.models import DeviceIncarnation
from backend.people.models import Device as DeviceRow
from backend.people.models import EnrolmentCode as CodeRow
from backend.people.models import Person
from sync.store import Device, EnrolmentCode


class SqlRegistry:
    """Phones and the codes that register them."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def enrolment_code(self, code_hash: str) -> EnrolmentCode | None:
        """See sync.store.Registry."""
        wanted = select(CodeRow.person_id, CodeRow.expires_at, CodeRow.used_at).where(CodeRow.code_hash == code_hash)
        code = (await self.session.execute(wanted.with_for_update())).one_or_none()
        if code is None:
            return None
        return EnrolmentCode(person=str(code.person_id), expires_at=code.expires_at, used_at=code.used_at)

    async def use_code(self, code_hash: str, now: datetime) -> None:
        """See sync.store.Registry."""
        await self.session.execute(update(CodeRow).where(CodeRow.code_hash == code_hash).values(used_at=now))

    async def devices(self, person: str) -> Sequence[Device]:
        """See sync.store.Registry; the person's row is the lock, so that phones are counted one after another."""
        counted = select(Person.id).where(Person.id == UUID(person)).with_for_update(key_share=True)
        await self.session.execute(counted)
        theirs = select(DeviceRow).where(DeviceRow.person_id == UUID(person)).order_by(DeviceRow.id)
        locked = await self.session.execute(theirs.with_for_update(key_share=True))
        return [_device(row) for row in locked.scalars()]

    async def device(self, device: str) -> Device | None:
        """See sync.store.Registry."""
        row = await self.session.get(DeviceRow, UUID(device), with_for_update={"key_share": True})
        return row and _device(row)

    async def save_device(self, device: Device, now: datetime) -> bool:
        """See sync.store.Registry; a prefix belongs to one phone for ever, so the database decides."""
        try:
            async with self.session.begin_nested():
                await self._put(device, now)
        except IntegrityError:
            return False
        return True

    async def note_backup(self, held: Mapping[tuple[str, str], int]) -> None:
        """See sync.store.Registry."""
        table = cast("Table", DeviceIncarnation.__table__)
        numbering = and_(table.c.device_id == bindparam("device"), table.c.incarnation == bindparam("numbering"))
        noted = update(table).where(numbering).values(durable_n=bindparam("n"))
        ledgers = [
            {"device": UUID(device), "numbering": UUID(incarnation), "n": n}
            for (device, incarnation), n in sorted(held.items())
        ]
        if ledgers:
            await self.session.execute(noted, ledgers)

    async def _put(self, device: Device, now: datetime) -> None:
        numbering = {
            "prefix": device.prefix, "incarnation": UUID(device.incarnation), "incarnations": device.incarnations,
        }  # fmt: skip
        known = update(DeviceRow).where(DeviceRow.id == UUID(device.id)).values(numbering).returning(DeviceRow.id)
        if (await self.session.execute(known)).first() is None:
            new = {
                "id": UUID(device.id), "person_id": UUID(device.person), "public_key": device.public_key,
                "name": device.name, "app_version": device.app_version, "schema_version": device.schema,
                "view_revision": 0, "enrolled_at": now,
            }  # fmt: skip
            await self.session.execute(insert(DeviceRow).values(new | numbering))
        begun = {
            "device_id": UUID(device.id), "incarnation": UUID(device.incarnation), "prefix": device.prefix,
            "begun_at": now, "acked_n": 0,
        }  # fmt: skip
        await self.session.execute(insert(DeviceIncarnation).values(begun))


def _device(row: DeviceRow) -> Device:
    return Device(
        id=str(row.id), person=str(row.person_id), public_key=row.public_key, incarnation=str(row.incarnation),
        prefix=row.prefix, name=row.name, app_version=row.app_version, schema=row.schema_version,
        incarnations=row.incarnations, active=row.revoked_at is None,
    )  # fmt: skip
