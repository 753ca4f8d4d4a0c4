"""The company a history happens to: sites, jobs, phones, and the books of a referee who believes nobody."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from bench.sim.apps import NEW, OLD, SERVER, started
from bench.sim.counter import Counter
from bench.sim.place import Look, Place
from bench.sim.promises import keep
from sync.deciding import CONFLICT_DECIDE, deciding
from sync.handler import Handler
from sync.protocol import Mutation, PullAnswer, PullRequest, PushAnswer, PushRequest, Status
from sync.replica import Replica
from sync.shelf import OwnFile
from tests.sync.handset import Handset, register
from tests.sync.world import START, handlers_that

HANDLERS: Final[Mapping[str, Handler[Any]]] = handlers_that(**{CONFLICT_DECIDE: deciding(SERVER)})
"""The business of this company."""

DOING: Final = frozenset((Status.APPLIED, Status.MERGED, Status.CONFLICT))
"""Ends that can leave an effect."""
LONG: Final = "长" * 500
"""Makes a row long enough for pulls to need pages."""
ASSETS_A_SITE: Final = 3


@dataclass(frozen=True)
class LateAnswer:
    """An answer still on its way, when it was given, and how often the server had been restored by then."""

    answer: PullAnswer | PushAnswer | None
    given_at: datetime
    restores: int


@dataclass(frozen=True)
class LateRequest:
    """A request still on its way."""

    request: PushRequest | PullRequest


@dataclass
class Carried:
    """A phone in somebody's pocket: what it shows, what its disk holds, what is still on its way.

    `ahead` is how wrong its clock is; `schema` what its app speaks. `flaws` are buckets of which a row was spoilt and
    nobody has noticed yet.
    """

    handset: Handset
    disk: bytes = b""
    backup: bytes = b""
    flaws: frozenset[str] = frozenset()
    flaws_on_disk: frozenset[str] = frozenset()
    flaws_in_backup: frozenset[str] = frozenset()
    late: list[LateAnswer | LateRequest] = field(default_factory=list[LateAnswer | LateRequest])
    made: list[str] = field(default_factory=list[str])
    ahead: timedelta = timedelta()
    schema: int = NEW
    files: dict[str, OwnFile] = field(default_factory=dict[str, OwnFile])
    files_in_backup: dict[str, OwnFile] = field(default_factory=dict[str, OwnFile])
    photos: dict[str, bytes] = field(default_factory=dict[str, bytes])
    gone: frozenset[str] = frozenset()
    """What it had handed over and deleted when the servers lost it."""

    def save(self) -> None:
        """Write everything to the phone's disk."""
        self.disk, self.flaws_on_disk = msgspec.json.encode(self.handset.replica.stored()), self.flaws

    def wake(self) -> None:
        """Start from what the disk holds."""
        self.handset.replica, self.flaws = started(self.disk, self.schema), self.flaws_on_disk

    def back_up(self) -> None:
        """Keep a copy of the disk."""
        self.backup, self.flaws_in_backup, self.files_in_backup = self.disk, self.flaws_on_disk, dict(self.files)

    def bring_back(self) -> None:
        """Put the copy on the disk, and start from it."""
        self.disk, self.flaws_on_disk, self.files = self.backup, self.flaws_in_backup, dict(self.files_in_backup)
        self.wake()


@dataclass
class Books:
    """What the referee knows by itself: how edits must end, and everything that was ever said to a phone."""

    values: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """Of each site, the fields an independent look follows."""
    open_conflicts: set[tuple[str, str, str]] = field(default_factory=set[tuple[str, str, str]])
    """By device, site and field."""
    results: dict[tuple[str, int], bytes] = field(default_factory=dict[tuple[str, int], bytes])
    ended: dict[str, Status] = field(default_factory=dict[str, Status])
    marks: dict[str, str] = field(default_factory=dict[str, str])
    """What each signing mutation leaves in its site's notes."""
    granted: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    """The buckets that were in scope at any pull of a device."""
    perhaps: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    """Those in scope at a pull whose server was killed, perhaps after it had written them down."""
    revoked: set[str] = field(default_factory=set[str])
    conflict_of: dict[str, tuple[str, str, str]] = field(default_factory=dict[str, tuple[str, str, str]])
    """By id of a conflict: device, site and field."""
    settled: set[str] = field(default_factory=set[str])
    """What was set aside and a dispatcher has settled."""
    accepted: dict[str, Status] = field(default_factory=dict[str, Status])
    """How it ended when a dispatcher accepted it."""
    mutations: int = 0

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

    def opened(self, device: str, mutation: Mutation, conflicts: tuple[str, ...]) -> None:
        """Remember which conflict a one-field edit of a site opened or joined."""
        if mutation.name == "edit" and mutation.entity == "site" and len(mutation.fields) == 1:
            (name,) = mutation.fields
            self.conflict_of |= dict.fromkeys(conflicts, (device, mutation.row, name))

    def decided(self, conflict: str, value: Mapping[str, Any] | None) -> None:
        """Take a decision: the conflict is closed, and its field has another value unless that is None."""
        if conflict in self.conflict_of:
            device, site, name = self.conflict_of.pop(conflict)
            self.open_conflicts.discard((device, site, name))
            self.values[site][name] = self.values[site][name] if value is None else value[name]

    def brought_back(self, saved: "Books") -> "Books":
        """Return what is known once the servers were put back: what people did stays done, what servers did does not.

        Phones that were out of use are taken out of use again.
        """
        revoked = saved.revoked | self.revoked
        return replace(deepcopy(saved), marks=self.marks, mutations=self.mutations, revoked=revoked)


@dataclass(frozen=True)
class Saved:
    """A backup of the servers, and what the referee knew then."""

    place: Any
    books: Books
    assignments: list[str]
    members: list[str]
    counter: Counter


@dataclass
class Company:
    """Everything there is, over one place."""

    place: Place
    now: datetime = START
    books: Books = field(default_factory=Books)
    sites: list[str] = field(default_factory=list[str])
    jobs: list[str] = field(default_factory=list[str])
    assets: list[str] = field(default_factory=list[str])
    assignments: list[str] = field(default_factory=list[str])
    members: list[str] = field(default_factory=list[str])
    phones: list[Carried] = field(default_factory=list[Carried])
    saved: Saved | None = None
    restores: int = 0
    """How often the servers were put back."""
    counter: Counter = field(default_factory=Counter)
    photographed: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """The photos each signing mutation names."""
    chores: int = 0
    """How often there was housekeeping."""

    @property
    def world(self) -> Any:
        """The office, and the phones' registrar."""
        return self.place.world

    async def begin(self) -> "Company":
        """Found the company: three sites with work for two people, who have three phones."""
        await self.place.begin()
        world = self.world
        async with world.together():
            for name in ("东门", "西门", "南门"):
                site = await world.site(name=name)
                self.books.values[site] = {"name": name, "acceptance_on": None}
                self.sites.append(site)
                self.jobs.append(await world.job(site))
                self.assets += [await world.asset(site, note=LONG) for _ in range(ASSETS_A_SITE)]
            for job, person in ((0, world.li_wei), (0, world.zhang_min), (1, world.li_wei)):
                self.assignments.append(await world.assign(person, self.jobs[job]))
            self.members.append(await world.join(world.zhang_min))
        for person, schema in ((world.li_wei, OLD), (world.li_wei, NEW), (world.zhang_min, OLD)):
            self.phones.append(await self.new_phone(person, schema))
        return self

    async def new_phone(self, person: str, schema: int) -> Carried:
        """Register a phone of a person, with an app of this schema."""
        carried = Carried(self.handset(person, (await register(self.world, person)).replica), schema=schema)
        carried.save()
        carried.wake()
        carried.back_up()
        return carried

    def handset(self, person: str, replica: Replica) -> Handset:
        """Return a phone that knows the business of this company."""
        handset = Handset(self.world, person, replica)
        handset.handlers, handset.schemas = HANDLERS, SERVER
        return handset

    def look(self) -> Look:
        """See what stands."""
        return self.place.look()

    def check(self) -> None:
        """Check what must hold at every moment."""
        look = self.look()
        self._check_effects(look)
        self._check_values(look)

    def _check_effects(self, look: Look) -> None:
        """Each mutation has at most one effect, exactly when it was applied, and each phone's in its order."""
        notes = {site: fields["access_notes"] for site, fields in look.sites.items()}
        everything = "".join(notes.values())
        for mutation_id, mark in self.books.marks.items():
            times = everything.count(mark)
            keep(7, times <= 1, f"{mutation_id} {times} times")
            keep(8, times == self.took(look, mutation_id), f"{mutation_id} {times} times")
        for mutation_id, status in self.books.ended.items():
            keep(8, look.ends.get(mutation_id) is status, f"{mutation_id} was told {status}")
        for carried in self.phones:
            for text in notes.values():
                pushed = [done for done in carried.made if done in self.books.marks and done not in self.books.accepted]
                marks = [self.books.marks[done] for done in pushed]
                places = [text.find(mark) for mark in marks if mark in text]
                keep(10, places == sorted(places))
        if look.changes is not None:
            self._check_trail(look, look.changes)

    def took(self, look: Look, mutation_id: str) -> bool:
        """Whether a signature was done: when it was pushed, or when somebody accepted it."""
        return Status.APPLIED in (look.ends.get(mutation_id), self.books.accepted.get(mutation_id))

    def _check_trail(self, look: Look, changes: Mapping[str, int]) -> None:
        """What was done for a mutation is written down once, if and only if it was done."""
        for mutation_id, times in changes.items():
            keep(7, times == 1, f"{mutation_id} is {times} times in the trail")
            ends = (look.ends.get(mutation_id), self.books.accepted.get(mutation_id))
            keep(8, not DOING.isdisjoint(ends), f"{mutation_id} {ends}")
        for mutation_id, status in look.ends.items():
            if status in (Status.APPLIED, Status.MERGED):
                keep(8, mutation_id in changes, f"{mutation_id} {status} without effect")

    def _check_values(self, look: Look) -> None:
        """Sites have the values an independent look expects; every clash is kept with all three sides."""
        for site, values in self.books.values.items():
            fields = look.sites[site]
            keep(12, {name: fields[name] for name in values} == values, site)
        standing = [found for found in look.conflicts if found["decided_at"] is None]
        for _, site, name in self.books.open_conflicts:
            kept = [found for found in standing if found["subject_id"] == site and found["field"] == name]
            keep(13, kept, f"{name} of {site}")
            for conflict in kept:
                keep(13, all(conflict[side].keys() == {name} for side in ("base", "mine", "theirs")))
        open_ids = {found["id"] for found in standing}
        for conflict, key in self.books.conflict_of.items():
            keep(13, (conflict in open_ids) == (key in self.books.open_conflicts), f"conflict {conflict}")
        for conflict in look.conflicts:
            keep(24, conflict["edited_at"] <= conflict["opened_at"])
