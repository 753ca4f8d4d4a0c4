"""What people do on phones, and what happens to phones."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import msgspec

from bench.sim.apps import NEW, OLD, started, words
from bench.sim.company import Carried, Company, LateRequest
from bench.sim.contact import arrive_at_server, take
from bench.sim.photos import note_photos, photo_of
from bench.sim.promises import keep
from sync import work
from sync.deciding import CONFLICT_ENTITY
from sync.outbox import Item
from sync.protocol import PushAnswer
from sync.replica import Replica

NEW_ASSET: Final = {
    "asset_type": "elevator", "asset_model_id": None, "name": "电梯", "serial": None, "quantity": 1,
    "software_version": None, "protocol": None, "connection": None, "purchased_on": None, "note": "",
}  # fmt: skip


async def edit(company: Company, phone: int, entity: str, place: int, changes: Mapping[str, Any]) -> None:
    """Change a row somebody sees."""
    carried = company.phones[phone]
    rows = sorted(carried.handset.replica.shown().all(entity))
    if not rows or carried.handset.replica.wiped:
        return
    row, said = rows[place % len(rows)], words(carried.schema, entity, changes)
    if said is None:
        return
    _do(company, carried, lambda replica, stamp: work.edit(replica, entity, row, said, **stamp))
    seen = carried.handset.replica.shown().get(entity, row) or {}
    keep(18, {name: seen[name] for name in said} == said, "one's own work is seen at once")


async def add(company: Company, phone: int, site: int) -> None:
    """Add an asset to a site, whether the phone has it or not."""
    carried, row = company.phones[phone], company.world.ids()
    fields = words(carried.schema, "asset", {"site_id": company.sites[site], **NEW_ASSET}) or {}
    _do(company, carried, lambda replica, stamp: work.add(replica, "asset", row, fields, **stamp))
    company.assets.append(row)


async def remove(company: Company, phone: int, place: int) -> None:
    """Delete an asset somebody sees."""
    carried = company.phones[phone]
    rows = sorted(carried.handset.replica.shown().all("asset"))
    if rows:
        row = rows[place % len(rows)]
        _do(company, carried, lambda replica, stamp: work.remove(replica, "asset", row, **stamp))


async def command(company: Company, phone: int, name: str, site: int, photos: int = 0) -> None:
    """Do a business command about a site, with photos; one that signs leaves a mark there."""

    def done(replica: Replica, stamp: dict[str, Any]) -> Item:
        mark = str(stamp["mutation_id"])[:8]
        company.books.marks[stamp["mutation_id"]] = mark
        mark_name = "stamp" if (name, company.phones[phone].schema) == ("sign", OLD) else "mark"
        args = {"site": company.sites[site], mark_name: mark}
        taken = [photo_of(stamp["mutation_id"], number) for number in range(photos)]
        blobs = company.photographed[stamp["mutation_id"]] = note_photos(company.phones[phone], taken)
        return work.command(replica, name, "mark", company.world.ids(), args, blobs=blobs, **stamp)

    _do(company, company.phones[phone], done)


async def decide(company: Company, phone: int, place: int, take: str) -> None:
    """Decide an open conflict somebody sees on a phone."""
    carried = company.phones[phone]
    conflicts = carried.handset.replica.shown().all(CONFLICT_ENTITY)
    standing = [row for row, fields in sorted(conflicts.items()) if fields["decided_at"] is None]
    if not standing or carried.handset.replica.wiped:
        return
    row = standing[place % len(standing)]
    values = dict(conflicts[row]["mine"]) if take == "values" else None
    _do(company, carried, lambda replica, stamp: work.decide(replica, row, take, values=values, **stamp))


async def spoil(company: Company, phone: int, place: int, how: str) -> None:
    """Spoil a row of a site on the phone's disk, unseen by everybody: `change` it, `lose` it, or `invent` one."""
    carried = company.phones[phone]
    holding = carried.handset.replica.holding
    buckets = {name: dict(rows) for name, rows in holding.buckets.items()}
    rows = [(name, row) for name in sorted(buckets) if name.startswith("site:") for row in sorted(buckets[name])]
    if not rows:
        return
    name, row = rows[place % len(rows)]
    if how == "lose":
        del buckets[name][row]
    elif how == "change":
        buckets[name][row] = buckets[name][row].replace("{", '{"spoilt":true,', 1)
    else:
        buckets[name][f"asset/{company.world.ids()}"] = '{"name":"?"}'
    carried.handset.replica.holding = msgspec.structs.replace(holding, buckets=buckets)
    carried.flaws |= {name}
    carried.save()


async def kill(company: Company, phone: int) -> None:
    """End the app: what is not on disk is gone."""
    company.phones[phone].wake()


async def back_up(company: Company, phone: int) -> None:
    """Keep a copy of the phone's disk."""
    company.phones[phone].back_up()


async def restore(company: Company, phone: int) -> None:
    """Bring the phone back from its backup: what was made since and never sent is gone with the phone."""
    carried = company.phones[phone]
    carried.bring_back()
    carried.made = [done for done in carried.made if done in carried.handset.replica.outbox.items]


async def clone(company: Company, phone: int, other: int) -> None:
    """Set up another phone from a copy of this one's disk; both go on under one identity."""
    one, two = company.phones[phone], company.phones[other]
    if one is two:
        return
    handset = company.handset(one.handset.person, started(one.disk, one.schema))
    copy = Carried(handset, one.disk, flaws_on_disk=one.flaws_on_disk)
    copy.made, copy.schema, copy.flaws, copy.gone = list(one.made), one.schema, one.flaws_on_disk, one.gone
    copy.files, copy.photos = dict(one.files), dict(one.photos)
    copy.back_up()
    company.phones[other] = copy


async def set_clock(company: Company, phone: int, days: int) -> None:
    """Let the phone's clock be wrong by days."""
    company.phones[phone].ahead = timedelta(days=days)


async def upgrade(company: Company, phone: int) -> None:
    """Install the next app: it asks for rows of a newer schema, and nobody waits for answers any more."""
    carried = company.phones[phone]
    carried.schema = NEW
    carried.late = [late for late in carried.late if isinstance(late, LateRequest)]
    carried.wake()


async def revoke(company: Company, phone: int) -> None:
    """Take the phone out of use."""
    device = company.phones[phone].handset.device
    if device not in company.books.revoked:
        company.books.revoked.add(device)
        await company.world.revoke(device)


async def deliver_late(company: Company, phone: int, place: int) -> None:
    """Let something arrive that was long on its way."""
    carried = company.phones[phone]
    if not carried.late:
        return
    late = carried.late[place % len(carried.late)]
    if isinstance(late, LateRequest):
        await arrive_at_server(company, carried, late.request)
        return
    if late.restores == company.restores:
        await take(company, carried, late.answer, late.given_at)
    elif not isinstance(late.answer, PushAnswer):  # a connection a phone waited on did not outlive its server
        await take(company, carried, late.answer, None)
    carried.save()


def _do(company: Company, carried: Carried, do: Callable[[Replica, dict[str, Any]], Item]) -> None:
    """Do something on a phone; nothing can be done on one that was wiped."""
    replica = carried.handset.replica
    if replica.wiped:
        return
    stamp = {"mutation_id": company.world.ids(), "now": company.now + carried.ahead}
    item = do(replica, stamp)
    carried.made.append(item.id)
    company.books.mutations += 1
    carried.save()
