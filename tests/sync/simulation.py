"""A small company under faults: phones, an office and a connection, with every promise checked at every step.

Everything happens at once and in one order: coroutines of the store in memory never wait, so a history replays exactly.
"""

import random
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from sync import work
from sync.limits import PULL_BYTES, PULL_BYTES_LEAST
from sync.outbox import Item
from sync.protocol import Mutation, PullAnswer, PullRequest, PushAnswer, Put, Refusal, Result, Status
from sync.replica import Pulled
from tests.sync.handset import Handset, buckets, register, restored
from tests.sync.world import START, MemoryWorld, scope_of

Value = TypeVar("Value")


def run(steps: Coroutine[Any, Any, Value]) -> Value:
    """Run what never waits."""
    try:
        steps.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("something waited")


class Fault(StrEnum):
    """What happens to one request."""

    NONE = "none"
    REQUEST_LOST = "request lost"
    ANSWER_LOST = "answer lost"
    ANSWER_LATE = "answer late"
    DOUBLED = "doubled"
    CUT_OFF = "cut off"
    KILLED_BEFORE_DISK = "killed before its disk write"
    KILLED_AFTER_DISK = "killed after its disk write"


@dataclass(frozen=True)
class Late:
    """An answer still on its way, and when it was given."""

    answer: PullAnswer | PushAnswer | None
    given_at: datetime


@dataclass
class Carried:
    """A phone in somebody's pocket: what it shows, what its disk holds, answers still on their way."""

    handset: Handset
    disk: bytes
    late: list["Late"] = field(default_factory=list["Late"])
    backup: bytes = b""


@dataclass
class Office:
    """What an independent look at the edits of sites expects: values, and conflicts left open by device and group."""

    values: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    open_conflicts: set[tuple[str, str, str]] = field(default_factory=set[tuple[str, str, str]])

    def expect(self, device: str, mutation: Mutation) -> Status | None:
        """Say how a one-field edit of a site must end, and take its effect; None for what this look leaves out."""
        if mutation.name != "edit" or mutation.entity != "site" or len(mutation.fields) != 1:
            return None
        ((name, edit),) = mutation.fields.items()
        key = (device, mutation.row, name)
        now = self.values[mutation.row][name]
        if key in self.open_conflicts:
            return Status.CONFLICT
        if edit.now in (edit.was, now):
            return Status.NOOP
        if edit.was == now:
            self.values[mutation.row][name] = edit.now
            return Status.APPLIED
        self.open_conflicts.add(key)
        return Status.CONFLICT


class Simulation:
    """The company. Methods are what can happen; each leaves every promise checked."""

    def __init__(self) -> None:
        self.world = MemoryWorld()
        run(self.world.begin())
        self.now = START
        self.office = Office()
        self.sites = [self._site(name) for name in ("东门", "西门", "南门")]
        self.jobs = [run(self.world.job(site)) for site in self.sites]
        self.assets = [run(self.world.asset(site, note="长" * 500)) for site in self.sites for _ in range(3)]
        self.assignments: list[str] = []
        self.assign(0, self.world.li_wei, 0)
        self.assign(0, self.world.zhang_min, 0)
        self.assign(1, self.world.li_wei, 0)
        people = (self.world.li_wei, self.world.li_wei, self.world.zhang_min)
        self.phones = [self._phone(person) for person in people]
        self.results: dict[tuple[str, int], bytes] = {}
        self.ended: dict[str, Status] = {}
        self.made: dict[str, list[str]] = {}
        self.marks: dict[str, str] = {}
        self.granted: dict[str, set[str]] = {}
        """The buckets that were in scope at any pull of a device."""

    def _site(self, name: str) -> str:
        site = run(self.world.site(name=name))
        self.office.values[site] = {"name": name, "acceptance_on": None}
        return site

    def _phone(self, person: str) -> Carried:
        handset = run(register(self.world, person))
        carried = Carried(handset, b"")
        self._save(carried)
        carried.backup = carried.disk
        return carried

    # What the office does.

    def change_site(self, site: int, name: str, value: Any) -> None:
        row = self.sites[site]
        run(self.world.change("site", row, **{name: value}))
        self.office.values[row][name] = value

    def change_asset(self, asset: int, note: str) -> None:
        row = self.assets[asset % len(self.assets)]
        if run(self.world.fields("asset", row)) is not None:
            run(self.world.change("asset", row, note=note))

    def move_asset(self, asset: int, site: int) -> None:
        row = self.assets[asset % len(self.assets)]
        if run(self.world.fields("asset", row)) is not None:
            run(self.world.change("asset", row, site_id=self.sites[site]))

    def delete_asset(self, asset: int) -> None:
        row = self.assets[asset % len(self.assets)]
        if run(self.world.fields("asset", row)) is not None:
            run(self.world.delete("asset", row))

    def add_asset(self, site: int, size: int) -> None:
        self.assets.append(run(self.world.asset(self.sites[site], note="长" * size)))

    def assign(self, job: int, person: str, days: int) -> None:
        starts_at = self.now + timedelta(days=days)
        self.assignments.append(run(self.world.assign(person, self.jobs[job], starts_at=starts_at)))

    def withdraw(self, assignment: int) -> None:
        run(self.world.withdraw(self.assignments[assignment % len(self.assignments)]))

    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    # What people do on phones.

    def edit(self, phone: int, entity: str, place: int, changes: Mapping[str, Any]) -> None:
        carried = self.phones[phone]
        rows = sorted(carried.handset.replica.shown().all(entity))
        if rows:
            row = rows[place % len(rows)]
            self._did(carried, work.edit(carried.handset.replica, entity, row, changes, **self._stamp()))
            seen = carried.handset.replica.shown().get(entity, row) or {}
            assert {name: seen[name] for name in changes} == changes, "one's own work is seen at once"

    def add(self, phone: int, site: int) -> None:
        carried = self.phones[phone]
        fields = {"site_id": self.sites[site], "asset_type": "lift", "name": "电梯", "quantity": 1, "note": ""}
        item = work.add(carried.handset.replica, "asset", self.world.ids(), fields, **self._stamp())
        self.assets.append(item.mutation.row)
        self._did(carried, item)

    def remove(self, phone: int, place: int) -> None:
        carried = self.phones[phone]
        rows = sorted(carried.handset.replica.shown().all("asset"))
        if rows:
            self._did(carried, work.remove(carried.handset.replica, "asset", rows[place % len(rows)], **self._stamp()))

    def command(self, phone: int, name: str, site: int) -> None:
        carried = self.phones[phone]
        stamp = self._stamp()
        mark = stamp["mutation_id"][:8]
        args = {"site": self.sites[site], "mark": mark}
        item = work.command(carried.handset.replica, name, "mark", self.world.ids(), args, **stamp)
        self.marks[item.id] = mark
        self._did(carried, item)

    def _stamp(self) -> dict[str, Any]:
        return {"mutation_id": self.world.ids(), "now": self.now}

    def _did(self, carried: Carried, item: Item) -> None:
        self.made.setdefault(carried.handset.device, []).append(item.id)
        self._save(carried)

    # What happens to phones.

    def kill(self, phone: int) -> None:
        self._wake(self.phones[phone])

    def back_up(self, phone: int) -> None:
        carried = self.phones[phone]
        carried.backup = carried.disk

    def restore(self, phone: int) -> None:
        """Bring the phone back from its backup: what was made since and never sent is gone with the phone."""
        carried = self.phones[phone]
        carried.disk = carried.backup
        self._wake(carried)

    def deliver_late(self, phone: int, place: int) -> None:
        carried = self.phones[phone]
        if carried.late:
            late = carried.late[place % len(carried.late)]
            self._take(carried, late.answer, late.given_at)
            self._save(carried)

    def _save(self, carried: Carried) -> None:
        carried.disk = msgspec.json.encode(carried.handset.replica.stored())

    def _wake(self, carried: Carried) -> None:
        carried.handset.replica = restored(carried.disk)

    # Contact.

    def push(self, phone: int, fault: Fault, limit: int = 200) -> None:
        carried = self.phones[phone]
        handset = carried.handset
        handset.now = self.now
        request = handset.replica.push_request(limit)
        if request is None or fault is Fault.REQUEST_LOST:
            return
        try:
            answer = run(handset.ask_push(request))
            if fault is Fault.DOUBLED:
                again = run(handset.ask_push(request))
                assert [bytes(raw) for raw in again.results] == [bytes(raw) for raw in answer.results]
        except Refusal as refusal:
            self._mend(carried, refusal)
            return
        self._check_results(carried, request.incarnation, answer)
        self._arrive(carried, answer, fault)

    def pull(self, phone: int, fault: Fault, max_bytes: int = PULL_BYTES) -> None:
        carried = self.phones[phone]
        handset = carried.handset
        handset.now = self.now
        request = handset.replica.pull_request(max_bytes)
        if fault is Fault.REQUEST_LOST:
            return
        try:
            answer = self._ask_pull(handset, request)
            if fault is Fault.DOUBLED:
                answer = self._ask_pull(handset, request)
        except Refusal as refusal:
            self._mend(carried, refusal)
            return
        self._arrive(carried, answer, fault)

    def _ask_pull(self, handset: Handset, request: PullRequest) -> PullAnswer | None:
        answer = run(handset.ask_pull(request))
        if answer is not None:
            allowed = scope_of(self._rows(), handset.person, self.now)[0]
            sent = {op.bucket for op in answer.ops if isinstance(op, Put)}
            assert sent <= set(allowed), "nothing outside the scope is ever sent"
            self.granted.setdefault(handset.device, set()).update(allowed)
        return answer

    def _arrive(self, carried: Carried, answer: PullAnswer | PushAnswer | None, fault: Fault) -> None:
        if fault in (Fault.ANSWER_LOST, Fault.CUT_OFF):
            if answer is not None and fault is Fault.CUT_OFF:
                self._cut(answer)
            return
        if fault is Fault.ANSWER_LATE:
            carried.late.append(Late(answer, self.now))
            return
        self._take(carried, answer, self.now)
        if fault is not Fault.KILLED_BEFORE_DISK:
            self._save(carried)
        if fault in (Fault.KILLED_BEFORE_DISK, Fault.KILLED_AFTER_DISK):
            self._wake(carried)

    def _cut(self, answer: PullAnswer | PushAnswer) -> None:
        """A cut answer is no JSON, so a phone cannot mistake it for a whole one."""
        text = msgspec.json.encode(answer)
        try:
            msgspec.json.decode(text[: len(text) // 2])
        except msgspec.DecodeError:
            return
        raise AssertionError("half an answer was readable")

    def _take(self, carried: Carried, answer: PullAnswer | PushAnswer | None, given_at: datetime) -> Pulled | None:
        replica = carried.handset.replica
        if isinstance(answer, PushAnswer):
            replica.take_push(answer)
            once = replica.stored()
            assert replica.take_push(answer) == []
            assert replica.stored() == once, "taken twice equals once"
            return None
        before = replica.holding
        pulled = replica.take_pull(answer)
        if pulled is Pulled.DONE:
            self._check_complete(carried, answer, given_at)
        else:
            assert pulled in (Pulled.MORE, Pulled.UNCHANGED, Pulled.IGNORED)
            assert replica.holding is before, "nothing is seen of an unfinished pull"
        if answer is not None and pulled is not Pulled.IGNORED:
            once = msgspec.json.encode(replica.stored())
            assert replica.take_pull(answer) is Pulled.IGNORED
            assert msgspec.json.encode(replica.stored()) == once, "taken twice equals once"
        return pulled

    def _mend(self, carried: Carried, refusal: Refusal) -> None:
        """Do what a refusal asks for, as the reference client does."""
        handset = carried.handset
        if refusal.code in ("n_taken", "unknown_incarnation"):
            run(handset.renew())
        elif refusal.code == "gap":
            assert refusal.expected_n is not None
            handset.replica.outbox.reopen(refusal.expected_n)
            if handset.replica.outbox.batch(1)[0].n != refusal.expected_n:
                run(handset.renew())
        else:
            assert refusal.code == "page_expired"
            handset.replica.begin_again(keep_cookie=True)
        self._save(carried)

    # The promises.

    def _rows(self) -> Any:
        return self.world.store.backup().tables.rows

    def _check_results(self, carried: Carried, incarnation: str, answer: PushAnswer) -> None:
        """One end for each mutation, the same at every delivery, and the one an independent look expects."""
        for raw in answer.results:
            result = msgspec.json.decode(raw, type=Result)
            key = (incarnation, result.n)
            assert self.results.setdefault(key, bytes(raw)) == bytes(raw), "a repeat gets the same bytes"
            item = carried.handset.replica.outbox.items[result.id]
            if result.id not in self.ended:
                self._check_reach(carried.handset, item.mutation, result)
            if result.id not in self.ended and result.code not in ("not_granted", "left_scope"):
                expected = self.office.expect(carried.handset.device, item.mutation)
                ends = (expected, Status.MERGED) if expected is Status.APPLIED else (expected,)
                assert expected is None or result.status in ends
            assert self.ended.setdefault(result.id, result.status) is result.status, "one end, for ever"
            assert (result.status is Status.CONFLICT) == bool(result.conflicts)

    def _check_reach(self, handset: Handset, mutation: Mutation, result: Result) -> None:
        """A phone may work on what is or was in its scope when it pulled, and on nothing else."""
        site = mutation.args.get("site") if mutation.id in self.marks else mutation.row
        if site not in self.sites or mutation.name == "unheard of":
            return
        bucket = f"site:{site}"
        if bucket in scope_of(self._rows(), handset.person, self.now)[0]:
            assert result.code not in ("not_granted", "left_scope")
        elif bucket not in self.granted.get(handset.device, set()):
            assert result.code == "not_granted"
        else:
            assert not result.held

    def _check_complete(self, carried: Carried, answer: PullAnswer | None, given_at: datetime) -> None:
        """A complete pull is the scope of its instant, row for row; what it acknowledges is seen."""
        handset = carried.handset
        if answer is None or answer.v != self.world.store.backup().tables.v:
            return  # it arrived late, and the world has moved on
        if given_at == self.now:
            assert buckets(handset) == run(self.world.expected(handset.person, self.now))
        shown = handset.replica.shown()
        for item in handset.replica.outbox.items.values():
            acknowledged = item.incarnation == handset.replica.holding.incarnation
            if item.id in self.marks and acknowledged and item.n <= handset.replica.holding.acked_n:
                site = shown.get("site", item.mutation.args["site"])
                took = self.ended.get(item.id) is Status.APPLIED
                assert site is None or (self.marks[item.id] in site["access_notes"]) == took

    def check_effects(self) -> None:
        """Each mutation has at most one effect, exactly when it was applied, and each phone's in its order."""
        notes = "".join(
            row.fields["access_notes"] for key, row in self._rows().items() if key.entity == "site" and not row.deleted
        )
        for mutation_id, mark in self.marks.items():
            times = notes.count(mark)
            assert times == (1 if self._ledger_end(mutation_id) is Status.APPLIED else 0)
        for made in self.made.values():
            for site in self.sites:
                text = (run(self.world.fields("site", site)) or {})["access_notes"]
                places = [
                    text.find(self.marks[done]) for done in made if done in self.marks and self.marks[done] in text
                ]
                assert places == sorted(places), "effects of one phone keep their order"

    def check_values(self) -> None:
        """Sites have the values an independent look at every edit expects; every clash is kept with all three sides."""
        for site, values in self.office.values.items():
            fields = run(self.world.fields("site", site)) or {}
            assert {name: fields[name] for name in values} == values
        conflicts = [row.fields for key, row in self._rows().items() if key.entity == "field_conflict"]
        for _, site, name in self.office.open_conflicts:
            kept = [found for found in conflicts if found["subject_id"] == site and found["field"] == name]
            assert kept
            for conflict in kept:
                assert all(conflict[side].keys() == {name} for side in ("base", "mine", "theirs"))

    def _ledger_end(self, mutation_id: str) -> Status | None:
        entry = self.world.store.backup().tables.mutations.get(mutation_id)
        return entry.status if entry else None

    def _behind(self, carried: Carried) -> bool:
        carried.handset.now = self.now
        return run(carried.handset.ask_pull(carried.handset.replica.pull_request())) is not None

    def heal(self) -> None:
        """With a working connection everything is delivered and every phone holds its scope."""
        for place, carried in enumerate(self.phones):
            self._wake(carried)
            numbers = [item.n for item in carried.handset.replica.outbox.pending()]
            runs = sum(n - 1 not in numbers for n in numbers)
            pushes = 0
            while carried.handset.replica.push_request() is not None:
                self.push(place, Fault.NONE)
                pushes += 1
            assert pushes <= runs + 1, "one push for numbers that follow, and one more if they had to be changed"
        for days in (0, 1, 8):  # nobody writes any more; time alone goes on
            self.now += timedelta(days=days)
            for place in range(len(self.phones)):
                self._catch_up(place)
        self.check_effects()
        self.check_values()

    def _catch_up(self, place: int) -> None:
        """Let a phone pull until it has everything: its scope, row for row, and how all of its work ended."""
        carried = self.phones[place]
        while carried.handset.replica.pages or self._behind(carried):
            self.pull(place, Fault.NONE)
        replica = carried.handset.replica
        assert buckets(carried.handset) == run(self.world.expected(carried.handset.person, self.now))
        acked = self.world.store.backup().tables.acked[replica.identity.device, replica.identity.incarnation]
        assert replica.holding.acked_n == acked
        for item in replica.outbox.items.values():
            assert replica.state_of(item.id) == self._ledger_end(item.id)


def walk(seed: int, steps: int) -> None:
    """Let `steps` things happen, drawn from a seed, then heal; the same seed gives the same history."""
    dice = random.Random(seed)  # noqa: S311 - a history that repeats is the purpose
    company = Simulation()
    choices = [choice for weight, choice in _CHOICES for _ in range(weight)]
    for step in range(steps):
        dice.choice(choices)(company, dice)
        if step % CHECK_EVERY == 0:
            company.check_effects()
            company.check_values()
    company.heal()


CHECK_EVERY = 10
NAMES = ("东门", "西门", "南门")
DATES = (None, "2026-01-01")
COMMANDS = ("sign", "sign", "sign", "sign_then_refuse", "sign_then_fail", "refuse", "nothing", "unheard of")
FAULTS = (*[Fault.NONE] * 8, *Fault)

Choice = Callable[[Simulation, random.Random], None]


def _any(dice: random.Random) -> int:
    return dice.randrange(1000)


def _one(dice: random.Random) -> int:
    return dice.randrange(3)


def _assign(company: Simulation, dice: random.Random) -> None:
    person = company.phones[_one(dice)].handset.person
    company.assign(_one(dice), person, dice.choice((0, 0, 3, 20)))


_CHOICES: tuple[tuple[int, Choice], ...] = (
    (2, lambda company, dice: company.change_site(_one(dice), "name", dice.choice(NAMES))),
    (1, lambda company, dice: company.change_site(_one(dice), "acceptance_on", dice.choice(DATES))),
    (2, lambda company, dice: company.change_asset(_any(dice), dice.choice(NAMES))),
    (1, lambda company, dice: company.move_asset(_any(dice), _one(dice))),
    (1, lambda company, dice: company.delete_asset(_any(dice))),
    (1, lambda company, dice: company.add_asset(_one(dice), dice.choice((1, 500)))),
    (2, _assign),
    (1, lambda company, dice: company.withdraw(_any(dice))),
    (2, lambda company, dice: company.wait(dice.choice((1, 1, 1, 1, 8, 24, 24 * 8, 24 * 31)))),
    (4, lambda company, dice: company.edit(_one(dice), "site", _any(dice), {"name": dice.choice(NAMES)})),
    (1, lambda company, dice: company.edit(_one(dice), "site", _any(dice), {"acceptance_on": dice.choice(DATES)})),
    (1, lambda company, dice: company.edit(_one(dice), "site", _any(dice), {"lat": dice.choice((30.0, 31.0))})),
    (2, lambda company, dice: company.edit(_one(dice), "asset", _any(dice), {"note": dice.choice(NAMES)})),
    (1, lambda company, dice: company.add(_one(dice), _one(dice))),
    (1, lambda company, dice: company.remove(_one(dice), _any(dice))),
    (4, lambda company, dice: company.command(_one(dice), dice.choice(COMMANDS), _one(dice))),
    (6, lambda company, dice: company.push(_one(dice), dice.choice(FAULTS), dice.choice((1, 3, 200)))),
    (4, lambda company, dice: company.pull(_one(dice), dice.choice(FAULTS))),
    (8, lambda company, dice: company.pull(_one(dice), dice.choice(FAULTS), PULL_BYTES_LEAST)),
    (1, lambda company, dice: company.deliver_late(_one(dice), _any(dice))),
    (1, lambda company, dice: company.kill(_one(dice))),
    (1, lambda company, dice: company.back_up(_one(dice))),
    (1, lambda company, dice: company.restore(_one(dice))),
)
"""What can happen, with its weight."""
