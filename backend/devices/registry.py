"""Registering phones in SQL: the part of a transaction that sync/enrol.py asks for."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.db import insert_ignoring
from backend.devices.models import DeviceIncarnation
from backend.people.models import Device as DeviceRow
from backend.people.models import EnrolmentCode as CodeRow
from sync.store import Device, EnrolmentCode


class SqlRegistry:
    """Phones and the codes that register them."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def enrolment_code(self, code_hash: str) -> EnrolmentCode | None:
        """See sync.store.Registry."""
        found = await self.session.execute(select(CodeRow).where(CodeRow.code_hash == code_hash).with_for_update())
        code = found.scalar_one_or_none()
        return code and EnrolmentCode(person=str(code.person_id), expires_at=code.expires_at, used_at=code.used_at)

    async def use_code(self, code_hash: str, now: datetime) -> None:
        """See sync.store.Registry."""
        code = (await self.session.execute(select(CodeRow).where(CodeRow.code_hash == code_hash))).scalar_one()
        code.used_at = now

    async def devices(self, person: str) -> Sequence[Device]:
        """See sync.store.Registry."""
        theirs = select(DeviceRow).where(DeviceRow.person_id == UUID(person)).order_by(DeviceRow.id).with_for_update()
        return [_device(row) for row in (await self.session.execute(theirs)).scalars()]

    async def device(self, device: str) -> Device | None:
        """See sync.store.Registry."""
        row = await self.session.get(DeviceRow, UUID(device), with_for_update=True)
        return row and _device(row)

    async def save_device(self, device: Device, now: datetime) -> bool:
        """See sync.store.Registry; the prefix is taken from every phone before and after."""
        row = await self.session.get(DeviceRow, UUID(device.id))
        if await self._prefix_is_taken(device.prefix):
            return False
        if row is None:
            row = DeviceRow(
                id=UUID(device.id), person_id=UUID(device.person), public_key=device.public_key, enrolled_at=now,
                view_revision=0, prefix=device.prefix, incarnation=UUID(device.incarnation),
                incarnations=device.incarnations, name=device.name, app_version=device.app_version,
                schema_version=device.schema,
            )  # fmt: skip
            self.session.add(row)
        row.prefix, row.incarnation = device.prefix, UUID(device.incarnation)
        row.incarnations = device.incarnations
        await self.session.flush()
        begun = {
            "device_id": row.id, "incarnation": row.incarnation, "prefix": device.prefix, "begun_at": now, "acked_n": 0,
        }  # fmt: skip
        return bool(await self.session.run_sync(insert_ignoring, DeviceIncarnation.__table__, [begun]))

    async def _prefix_is_taken(self, prefix: str) -> bool:
        taken = select(DeviceIncarnation.prefix).where(DeviceIncarnation.prefix == prefix)
        return (await self.session.execute(taken)).first() is not None


def _device(row: DeviceRow) -> Device:
    return Device(
        id=str(row.id), person=str(row.person_id), public_key=row.public_key, incarnation=str(row.incarnation),
        prefix=row.prefix, name=row.name, app_version=row.app_version, schema=row.schema_version,
        incarnations=row.incarnations, active=row.revoked_at is None,
    )  # fmt: skip
