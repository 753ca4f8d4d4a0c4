"""What the desk does with what phones left for people, and what befalls the servers."""

from copy import deepcopy
from datetime import timedelta
from typing import Any, Final

import msgspec

from bench.sim.apps import SERVER
from bench.sim.company import HANDLERS, Company, Saved
from bench.sim.place import Watch
from bench.sim.promises import keep
from sync.accepting import accept
from sync.deciding import Choice, Take, decide, standing_row
from sync.handler import Rejection
from sync.limits import DELETIONS_KEPT_DAYS
from sync.protocol import Mutation, Status
from sync.store import RowKey
from tests.sync.world import START

NOBODY: Final = "00000000-0000-0000-0000-000000000000"
UNDECIDED: Final = ("not_restorable", "invalid", "wrong_values")
"""Why a decision at the desk can have no effect."""


async def decide_at_desk(company: Company, place: int, take: str) -> None:
    """Decide an open conflict at the desk."""
    standing = sorted((one for one in company.look().conflicts if one["decided_at"] is None), key=lambda one: one["id"])
    if not standing:
        return
    conflict = standing[place % len(standing)]
    values = {name: company.now.date().isoformat() for name in conflict["mine"]} if conflict["field"] == "name" else {}
    choice = Choice(Take(take) if values or take != "values" else Take.MINE, values)
    try:
        async with _desk(company) as tx:
            await standing_row(tx, RowKey(conflict["entity"], conflict["subject_id"]))
            await decide(tx, conflict["id"], choice, person=company.world.zhang_min, now=company.now)
    except Rejection as rejection:
        keep(13, rejection.outcome.code in UNDECIDED, rejection.outcome.code)
        return
    sides = {Take.MINE: conflict["mine"], Take.THEIRS: None, Take.VALUES: values}
    company.books.decided(conflict["id"], sides[choice.take])


async def settle(company: Company, place: int, how: str) -> None:
    """Settle something that was set aside: `accept` or `dismiss` it."""
    ends, books = company.look().ends, company.books
    waiting = sorted(name for name, end in ends.items() if end is Status.QUARANTINED and name not in books.settled)
    if not waiting:
        return
    chosen = waiting[place % len(waiting)]
    if how == "accept":
        await _accept(company, chosen)
    else:
        books.settled.add(chosen)


async def _accept(company: Company, chosen: str) -> None:
    async with _desk(company) as tx:
        (entry,) = await tx.ledger(NOBODY, NOBODY, range(0), {chosen})
        done = await accept(tx, HANDLERS, entry, now=company.now, new_id=company.world.ids, schemas=SERVER)
    if not done.settled:
        return
    books, outcome = company.books, done.outcome
    mutation = msgspec.json.decode(entry.payload, type=Mutation)
    expected = books.expect(entry.device, mutation)
    ends = (expected, Status.MERGED) if expected is Status.APPLIED else (expected,)
    keep(12, expected is None or outcome.status in ends, f"{chosen} is accepted as {outcome.status}, not {expected}")
    keep(13, (outcome.status is Status.CONFLICT) == bool(outcome.conflicts))
    books.opened(entry.device, mutation, outcome.conflicts)
    books.settled.add(chosen)
    books.accepted[chosen] = outcome.status


async def save_servers(company: Company) -> None:
    """Back the servers up; phones hear of it."""
    copy = company.place.saved()
    books = deepcopy(company.books)
    company.saved = Saved(copy, books, list(company.assignments), list(company.members), deepcopy(company.counter))
    async with company.world.store.write() as tx:
        await tx.note_backup(company.look().acked)


async def restore_servers(company: Company) -> None:
    """Bring the servers back from their newest backup; whoever was out of use is put out of use again."""
    saved = company.saved
    if saved is None:
        return
    await company.place.bring_back(saved.place, company.now)
    company.restores += 1
    company.books = company.books.brought_back(saved.books)
    company.assignments, company.members = list(saved.assignments), list(saved.members)
    for device in sorted(company.books.revoked):
        await company.world.revoke(device)
    company.counter = deepcopy(saved.counter)
    _check_kept(company)


def _check_kept(company: Company) -> None:
    """What the servers lost, the phones it was done on still have."""
    ends = company.look().ends
    for carried in company.phones:
        replica = carried.handset.replica
        if replica.wiped:
            handed_over = (item.id for item in replica.outbox.items.values() if item.result is not None)
            carried.gone |= {done for done in handed_over if done not in ends}
        for done in () if replica.wiped else carried.made:
            keep(29, done in ends or done in replica.outbox.items, f"{done} is nowhere")


async def keep_house(company: Company) -> None:
    """Let ninety days of housekeeping go by: what was deleted before the last time is forgotten."""
    company.chores += 1
    await company.place.compact(START + timedelta(days=DELETIONS_KEPT_DAYS * company.chores))


def _desk(company: Company) -> Any:
    return company.place.server(0, company.now, Watch()).write()
