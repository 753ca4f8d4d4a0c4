"""A whole history: what is drawn from a seed happens, then everything heals, and every promise is checked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any, Final

from bench.sim import contact, desk, office, people, photos
from bench.sim.apps import as_held
from bench.sim.company import Carried, Company
from bench.sim.place import Place
from bench.sim.promises import Broken, keep
from bench.sim.steps import DATES, PHONES, WHOLE, Step, Trip, draw
from sync.limits import PULL_BYTES
from sync.protocol import Status
from sync.replica import Pulled
from tests.sync.handset import buckets

CHECK_EVERY: Final = 10
"""Steps between two looks at everything."""
REVOKED_SHARE: Final = 0.25
"""Histories in which a phone is revoked."""
HEALING_DAYS: Final = (0, 1, 8)
"""While everything heals nobody writes any more; time alone goes on."""


async def push(company: Company, phone: int, trip: Trip, limit: int) -> None:
    """Send what waits on a phone."""
    await contact.push(company, company.phones[phone], trip, limit, _meanwhile(company, trip))


async def pull(company: Company, phone: int, trip: Trip, max_bytes: int, *how: bool) -> None:
    """Fetch a page of what changed; unless `how` says that the app cannot, it compares where it may."""
    meanwhile = _meanwhile(company, trip)
    await contact.pull(company, company.phones[phone], trip, max_bytes, meanwhile, reconciles=all(how))


async def hint(company: Company, phone: int, beyond: int) -> None:
    """Tell a phone, twice, where the clock stands, or stood, or might stand: it pulls if it holds less."""
    carried = company.phones[phone]
    for _ in range(2):
        before = carried.handset.replica.stored()
        worth_it = carried.handset.replica.hinted(company.look().v + beyond)
        keep(23, carried.handset.replica.stored() == before, "a hint was believed")
        if worth_it:
            await contact.pull(company, carried, WHOLE, PULL_BYTES)


HAPPENINGS: Final[Mapping[str, Callable[..., Any]]] = {
    happening.__name__: happening
    for happening in (
        office.change_site, office.change_asset, office.move_asset, office.delete_asset, office.add_asset,
        office.assign, office.assign_crew, office.withdraw, office.join, office.leave, office.wait,
        people.edit, people.add, people.remove, people.command, people.kill, people.back_up, people.restore,
        people.clone, people.set_clock, people.upgrade, people.revoke, people.deliver_late, people.decide, people.spoil,
        desk.decide_at_desk, desk.settle, desk.save_servers, desk.restore_servers, desk.keep_house, push, pull, hint,
        photos.upload,
    )
}  # fmt: skip
"""Everything that can happen, by the name of its step. A new fault is a function here and a line in bench.sim.steps."""


def drawn(seed: int, count: int) -> list[Step]:
    """Return the steps of a seed's history."""
    steps = draw(seed, count)
    dice = Random(~seed)
    if steps and dice.random() < REVOKED_SHARE:
        steps[dice.randrange(len(steps))] = Step("revoke", dice.randrange(PHONES))
    return steps


async def do(company: Company, step: Step) -> None:
    """Let one thing happen."""
    await HAPPENINGS[step.name](company, *step.args)


@dataclass(frozen=True)
class Ending:
    """How a history went. `broken_at` is the step after which a promise was found broken; None: all were kept."""

    mutations: int
    lost: int
    duplicated: int
    broken: Broken | None = None
    broken_at: int | None = None


async def play(steps: Sequence[Step], place: Place, *, check_every: int = CHECK_EVERY) -> Ending:
    """Let the steps happen to a new company, then heal it; say how it went."""
    company = await Company(place).begin()
    at = 0
    try:
        for at, step in enumerate(steps):
            await do(company, step)
            if at % check_every == 0:
                company.check()
        at = len(steps)
        await heal(company)
    except Broken as broken:
        return _ending(company, broken, at)
    except Exception as error:  # noqa: BLE001 - whatever breaks under faults is a finding, told with its seed
        return _ending(company, Broken(0, repr(error)), at)
    return _ending(company, None, None)


def _ending(company: Company, broken: Broken | None, at: int | None) -> Ending:
    """Count, apart from any promise, what was acknowledged and is gone, and what was done twice."""
    look = company.look()
    notes = "".join(fields["access_notes"] for fields in look.sites.values())
    lost = sum(mutation_id not in look.ends for mutation_id in company.books.ended)
    applied = [mark for name, mark in company.books.marks.items() if company.books.ended.get(name) is Status.APPLIED]
    lost += sum(mark not in notes for mark in applied)
    doubled = sum(notes.count(mark) > 1 for mark in company.books.marks.values())
    doubled += sum(times > 1 for times in (look.changes or {}).values())
    return Ending(company.books.mutations, lost, doubled, broken, at)


def _meanwhile(company: Company, trip: Trip) -> Callable[[], Any] | None:
    step = trip.meanwhile
    return None if step is None else lambda: do(company, step)


async def heal(company: Company) -> None:
    """With a working connection everything is delivered and every phone holds its scope."""
    company.check()
    for carried in company.phones:
        carried.wake()
        await _deliver(company, carried)
    if any(carried.flaws for carried in company.phones):
        await _touch_sites(company)
    for days in HEALING_DAYS:
        company.now += timedelta(days=days)
        for carried in company.phones:
            await _catch_up(company, carried)
    for place, carried in enumerate(company.phones):
        await photos.upload(company, place, 0)
        if not carried.handset.replica.wiped:
            photos.check_photos(company, carried)
    company.check()


async def _touch_sites(company: Company) -> None:
    """A flaw is found when its bucket is next written to."""
    for site, row in enumerate(company.sites):
        undated = company.books.values[row]["acceptance_on"] is None
        other = DATES[1] if undated else DATES[0]
        await office.change_site(company, site, "acceptance_on", other)


async def _deliver(company: Company, carried: Carried) -> None:
    """Send everything; a number somebody else used, or a restored server wants again, costs a push more."""
    replica = carried.handset.replica
    numbers = [item.n for item in replica.outbox.pending()]
    needed = sum(n - 1 not in numbers for n in numbers) + 1 + MENDING * bool(company.restores)
    for _ in range(needed):
        await contact.push(company, carried)
    stuck = carried.handset.device in company.books.revoked
    keep(11, stuck or carried.handset.replica.push_request() is None, f"more than {needed} pushes")


async def _catch_up(company: Company, carried: Carried) -> None:
    """Let a phone pull until it has everything: its scope, row for row, and how all of its work ended."""
    for _ in range(ROUNDS):
        meant = await contact.pull(company, carried, WHOLE, PULL_BYTES)
        if meant is Pulled.REWOUND:
            await _deliver(company, carried)
        if meant in (Pulled.UNCHANGED, Pulled.WIPED):
            break
    if carried.handset.device in company.books.revoked:
        await contact.rescue_all(company, carried)
    expected = await company.world.expected(carried.handset.person, company.now)
    _check_healed(company, carried, as_held(carried.schema, expected))


ROUNDS: Final = 50
"""Pulls after which a phone must have everything."""
MENDING: Final = 4
"""Pushes a restored server may refuse before it takes one: for a gap, a number, and an incarnation it lost."""


def _check_healed(company: Company, carried: Carried, expected: Mapping[str, Any]) -> None:
    handset, replica, look = carried.handset, carried.handset.replica, company.look()
    if handset.device in company.books.revoked:
        keep(28, replica.wiped and not buckets(handset))
        for item in replica.outbox.items.values():
            kept = item.id in look.ends or item.id in carried.gone
            keep(28, item.result is not None and kept, f"{item.id} was not rescued")
        return
    keep(1, buckets(handset) == expected)
    keep(18, replica.holding.acked_n == look.acked[replica.identity.device, replica.identity.incarnation])
    for item in replica.outbox.items.values():
        keep(6, replica.state_of(item.id) == look.ends.get(item.id), item.id)
