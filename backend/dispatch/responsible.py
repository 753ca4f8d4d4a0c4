"""Who serves which territory, and who looks after which site."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.people.models import CrewMember, TerritoryMember
from backend.sites.models import SiteOwner


class Serves(msgspec.Struct, frozen=True):
    """A person serves a territory for a time, in their own name or with a crew."""

    territory_id: UUID
    spans: tuple[tuple[datetime, datetime | None], ...]

    def at(self, instant: datetime) -> bool:
        """Whether they do then."""
        return all(begin <= instant and (end is None or instant < end) for begin, end in self.spans)


async def territories_of(session: AsyncSession, people: Collection[UUID]) -> Mapping[UUID, Sequence[Serves]]:
    """Return what each of the people serves, and from when until when."""
    found: defaultdict[UUID, list[Serves]] = defaultdict(list)
    own = select(
        TerritoryMember.person_id, TerritoryMember.territory_id, TerritoryMember.valid_from, TerritoryMember.valid_until
    ).where(TerritoryMember.person_id.in_(people))
    for row in await session.execute(own):
        found[row.person_id].append(Serves(row.territory_id, ((row.valid_from, row.valid_until),)))
    with_crew = (
        select(
            CrewMember.person_id, TerritoryMember.territory_id, TerritoryMember.valid_from, TerritoryMember.valid_until,
            CrewMember.valid_from.label("member_from"), CrewMember.valid_until.label("member_until"),
        )
        .join(CrewMember, CrewMember.crew_id == TerritoryMember.crew_id)
        .where(CrewMember.person_id.in_(people))
    )  # fmt: skip
    for row in await session.execute(with_crew):
        spans = ((row.valid_from, row.valid_until), (row.member_from, row.member_until))
        found[row.person_id].append(Serves(row.territory_id, spans))
    return found


def only_territory(served: Iterable[Serves], at: datetime) -> str | None:
    """Return the one territory somebody serves at an instant; None where it is none, or several."""
    names = {str(one.territory_id) for one in served if one.at(at)}
    return names.pop() if len(names) == 1 else None


async def owners_of(session: AsyncSession, sites: Collection[UUID], now: datetime) -> Mapping[UUID, UUID]:
    """Return the person who looks after each of the sites now, the newest where several do; of a crew nobody."""
    owned = (
        select(SiteOwner.site_id, SiteOwner.person_id)
        .where(SiteOwner.site_id.in_(sites), SiteOwner.person_id.is_not(None), SiteOwner.valid_from <= now)
        .where(or_(SiteOwner.valid_until.is_(None), SiteOwner.valid_until > now))
        .order_by(SiteOwner.valid_from, SiteOwner.id)
    )
    return {row.site_id: row.person_id for row in await session.execute(owned)}
