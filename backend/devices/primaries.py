"""At a site one contact is called first: when a phone says who, whoever was it before no longer is."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.sites.models import SiteContact
from sync.store import RowKey, RowWrite, WriteKind

ENTITY: Final = SiteContact.__tablename__
PRIMARY: Final = "primary"


def with_consequences(session: Session, writes: Sequence[RowWrite]) -> list[RowWrite]:
    """Return the changes with those that follow from them, each after its cause; most have none.

    What follows carries no mutation's id: a mutation has one effect, and one entry in the audit trail.
    """
    done: list[RowWrite] = []
    for number, write in enumerate(writes):
        done.append(write)
        if write.key.entity == ENTITY and write.fields.get(PRIMARY) is True:
            others = _others(session, write, [one for one in writes[:number] if one.key.entity == ENTITY])
            done += [RowWrite(WriteKind.UPDATE, key, {PRIMARY: False}, "") for key in others]
    return done


def _others(session: Session, write: RowWrite, earlier: Sequence[RowWrite]) -> list[RowKey]:
    """Return, locked, everybody else to be asked for at the site who is, or by an `earlier` change would be, first."""
    born = {one.key: one for one in (*earlier, write) if one.kind is WriteKind.INSERT}
    site = str(born[write.key].fields["site_id"]) if write.key in born else _site_of(session, write.key)
    said = {one.key for one in earlier if one.fields.get(PRIMARY) is True}
    stored = select(SiteContact.id, SiteContact.primary).where(SiteContact.site_id == UUID(site))
    locked = session.execute(stored.order_by(SiteContact.id).with_for_update(key_share=True))
    known = {RowKey(ENTITY, str(row.id)): row.primary for row in locked}
    firsts = {key for key, primary in known.items() if primary or key in said}
    firsts |= {key for key in said & born.keys() if str(born[key].fields["site_id"]) == site}
    gone = {one.key for one in earlier if one.kind is WriteKind.DELETE}
    return sorted(firsts - gone - {write.key}, key=lambda key: key.row)


def _site_of(session: Session, key: RowKey) -> str:
    return str(session.execute(select(SiteContact.site_id).where(SiteContact.id == UUID(key.row))).scalar_one())
