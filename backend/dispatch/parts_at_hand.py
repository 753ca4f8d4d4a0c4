"""Which parts an order waits for: what was reserved for it, where that lies, and whose van has the like."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dispatch.open_visits import second
from backend.parts.queries import SetAside, set_aside, vans_hold
from routing import problem as planning


class Needs(msgspec.Struct, frozen=True):
    """The parts of one order. `parts`: what must be carried there; before `ready_at` only what a van has can be."""

    parts: tuple[planning.PartNeed, ...] = ()
    ready_at: datetime | None = None

    def ready(self, now: datetime) -> int | None:
        """Return the second from which on the parts are at hand for everybody; None: nobody promised one."""
        return None if self.ready_at is None else max(0, second(self.ready_at, now))


NO_PARTS: Final = Needs()


async def parts_needed(
    session: AsyncSession, ready_at: Mapping[UUID, datetime | None], now: datetime
) -> dict[UUID, Needs]:
    """Return what orders need that is not at hand for everybody now; `ready_at` of each: when their parts will be.

    Without such a time, what was reserved outside vans is at hand, and what lies in a van is with its technician only.
    """
    found: dict[UUID, list[SetAside]] = {}
    for one in await set_aside(session, list(ready_at)):
        found.setdefault(one.subject_id, []).append(one)
    needs: dict[UUID, Needs] = {}
    for order, reserved in found.items():
        at = ready_at[order]
        wanted = reserved if at is not None else [one for one in reserved if one.in_van]
        if wanted and (at is None or at > now):
            needs[order] = Needs(_summed(wanted), at)
    return needs


async def van_stock(
    session: AsyncSession, people: Collection[str], needs: Iterable[Needs]
) -> tuple[planning.VanStock, ...]:
    """Return what the vans of the technicians hold of the parts that are needed."""
    parts = {UUID(one.part) for need in needs for one in need.parts}
    if not parts:
        return ()
    held = await vans_hold(session, [UUID(person) for person in people], parts)
    return tuple(
        planning.VanStock(technician=str(person), part=str(part), quantity=quantity) for person, part, quantity in held
    )


def _summed(reserved: Iterable[SetAside]) -> tuple[planning.PartNeed, ...]:
    pieces: dict[str, int] = {}
    for one in reserved:
        pieces[str(one.part_id)] = pieces.get(str(one.part_id), 0) + one.quantity
    return tuple(planning.PartNeed(part=part, quantity=quantity) for part, quantity in sorted(pieces.items()))
