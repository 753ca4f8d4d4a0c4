"""Any history of work, office and faults keeps every promise; docs/decisions/0311 says which, and where."""

import asyncio
import subprocess
import sys
from collections.abc import Coroutine, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bench.phone_bugs import compaction_forgets_unfinished_pulls, order_lost_with_a_copy
from bench.seeded_bugs import Bug, cursor_before_commit, half_a_pull_shown, hunt, merge_drops_theirs, name_of
from bench.sim.company import Company
from bench.sim.history import do, drawn, heal, play
from bench.sim.place import MemoryPlace
from bench.sim.runs import Run, opened, walk
from bench.sim.shrink import as_python, shrunk
from bench.sim.steps import CLOCKS, COMMANDS, SETTLEMENTS, SPOILT, TAKES, WHOLE, Fault, Step, Trip
from sync.limits import PULL_BYTES, PULL_BYTES_LEAST
from tests.databases import Databases

Value = TypeVar("Value")
PHONES = st.integers(0, 2)
PLACES = st.integers(0, 2)
NAMES = st.sampled_from(["东门", "西门", "南门", "北门"])
DATES = st.sampled_from([None, "2026-01-01", "2026-02-01"])
DAYS = st.sampled_from([0, 3, 20])
OFFICE = st.builds(Step, st.just("change_site"), PLACES, st.just("name"), NAMES) | st.builds(
    Step, st.just("withdraw"), st.integers(0, 20)
)
TRIPS = st.builds(
    Trip,
    fault=st.sampled_from([Fault.NONE, *Fault]),
    server=st.integers(0, 1),
    killed_at=st.sampled_from([0, 0, 0, 1, 2, 3, 5, 8]),
    paused_at=st.integers(0, 4),
    meanwhile=st.none() | OFFICE,
)


def run(steps: Coroutine[Any, Any, Value]) -> Value:
    """Run what never waits: nothing in memory does, so a history replays exactly."""
    try:
        steps.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("something waited")


class History(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.company = run(Company(MemoryPlace()).begin())

    def do(self, name: str, *args: Any) -> None:
        run(do(self.company, Step(name, *args)))

    @rule(site=PLACES, name=NAMES, date=DATES, dated=st.booleans())
    def office_changes_a_site(self, site: int, name: str, date: Any, *, dated: bool) -> None:
        self.do("change_site", site, *(("acceptance_on", date) if dated else ("name", name)))

    @rule(asset=st.integers(0, 9), note=NAMES, site=PLACES, what=st.sampled_from(["change", "move", "delete"]))
    def office_handles_an_asset(self, asset: int, note: str, site: int, what: str) -> None:
        told = {"change": ("change_asset", asset, note), "move": ("move_asset", asset, site)}
        self.do(*told.get(what, ("delete_asset", asset)))

    @rule(site=PLACES, size=st.sampled_from([1, 800]))
    def office_adds_an_asset(self, site: int, size: int) -> None:
        self.do("add_asset", site, size)

    @rule(job=PLACES, phone=PHONES, days=DAYS, crew=st.booleans())
    def office_assigns(self, job: int, phone: int, days: int, *, crew: bool) -> None:
        if crew:
            self.do("assign_crew", job, days)
        else:
            self.do("assign", job, phone, days)

    @rule(assignment=st.integers(0, 20))
    def office_withdraws(self, assignment: int) -> None:
        self.do("withdraw", assignment)

    @rule(hours=st.sampled_from([1, 24, 24 * 8, 24 * 31]))
    def time_passes(self, hours: int) -> None:
        self.do("wait", hours)

    @rule(phone=PHONES, site=PLACES, change=st.fixed_dictionaries({"name": NAMES}) | st.just({"lat": 30.0}))
    def a_person_edits_a_site(self, phone: int, site: int, change: dict[str, Any]) -> None:
        self.do("edit", phone, "site", site, change)

    @rule(phone=PHONES, site=PLACES, date=DATES)
    def a_person_dates_a_site(self, phone: int, site: int, date: Any) -> None:
        self.do("edit", phone, "site", site, {"acceptance_on": date})

    @rule(phone=PHONES, asset=PLACES, note=NAMES, what=st.sampled_from(["edit", "add", "remove"]))
    def a_person_handles_an_asset(self, phone: int, asset: int, note: str, what: str) -> None:
        if what == "edit":
            self.do("edit", phone, "asset", asset, {"note": note})
        else:
            self.do(what, phone, asset)

    @rule(phone=PHONES, name=st.sampled_from(COMMANDS), site=PLACES)
    def a_person_works(self, phone: int, name: str, site: int) -> None:
        self.do("command", phone, name, site)

    @rule(phone=PHONES, trip=TRIPS, limit=st.sampled_from([1, 3, 200]))
    def a_phone_pushes(self, phone: int, trip: Trip, limit: int) -> None:
        self.do("push", phone, trip, limit)

    @rule(phone=PHONES, trip=TRIPS, max_bytes=st.sampled_from([PULL_BYTES_LEAST, PULL_BYTES]))
    def a_phone_pulls(self, phone: int, trip: Trip, max_bytes: int) -> None:
        self.do("pull", phone, trip, max_bytes)

    @rule(phone=PHONES, place=st.integers(0, 5))
    def something_arrives_late(self, phone: int, place: int) -> None:
        self.do("deliver_late", phone, place)

    @rule(phone=PHONES, what=st.sampled_from(["kill", "back_up", "restore", "upgrade", "revoke"]))
    def something_befalls_a_phone(self, phone: int, what: str) -> None:
        self.do(what, phone)

    @rule(place=st.integers(0, 9), take=st.sampled_from(TAKES), phone=st.none() | PHONES)
    def somebody_decides(self, place: int, take: str, phone: int | None) -> None:
        if phone is None:
            self.do("decide_at_desk", place, take)
        else:
            self.do("decide", phone, place, take)

    @rule(place=st.integers(0, 9), how=st.sampled_from(SETTLEMENTS))
    def a_dispatcher_settles(self, place: int, how: str) -> None:
        self.do("settle", place, how)

    @rule(what=st.sampled_from(["save_servers", "restore_servers", "keep_house"]))
    def something_befalls_the_servers(self, what: str) -> None:
        self.do(what)

    @rule(phone=PHONES, place=st.integers(0, 9), how=st.sampled_from(SPOILT))
    def a_row_is_spoilt(self, phone: int, place: int, how: str) -> None:
        self.do("spoil", phone, place, how)

    @rule(phone=PHONES, other=PHONES, days=st.sampled_from(CLOCKS))
    def a_phone_is_cloned_and_its_clock_is_wrong(self, phone: int, other: int, days: int) -> None:
        self.do("clone", phone, other)
        self.do("set_clock", phone, days)

    @invariant()
    def every_promise_is_kept(self) -> None:
        self.company.check()

    def teardown(self) -> None:
        run(heal(self.company))


TestHistory = History.TestCase
TestHistory.settings = settings(
    max_examples=50, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.mark.parametrize("seed", range(20))
def test_a_long_history_keeps_every_promise(seed: int) -> None:
    ending = run(play(drawn(seed, 200), MemoryPlace()))
    assert ending.broken is None, f"{ending.broken}\n{as_python(drawn(seed, 200))}"
    assert (ending.lost, ending.duplicated) == (0, 0)
    assert ending.mutations > 0


async def test_a_history_over_sqlite_keeps_every_promise(databases: Databases, tmp_path: Path) -> None:
    template = tmp_path / "migrated.db"
    databases.sqlite(template)
    async with opened("sqlite", template) as place:
        for seed in (3, 7):
            walked = await walk(Run(seed, 60, "sqlite"), place)
            assert walked.broken == "", walked.replay


async def test_a_history_replays_exactly_and_is_the_same_when_printed() -> None:
    steps = drawn(11, 120)
    printed: dict[str, Any] = {}
    exec(as_python(steps), {"Step": Step, "Trip": Trip, "Fault": Fault}, printed)  # noqa: S102 - what we print ourselves
    assert repr(printed["HISTORY"]) == repr(steps)
    assert await play(printed["HISTORY"], MemoryPlace()) == await play(steps, MemoryPlace())


async def test_a_history_is_cut_down_to_what_it_needs() -> None:
    needed = Step("edit", 0, "site", 0, {"name": "西门"})
    steps = [*drawn(1, 40), needed, Step("push", 0, Trip(Fault.DOUBLED, server=1), 3), *drawn(2, 40)]

    async def fails(some: Sequence[Step]) -> bool:
        names = [step.name for step in some if step is needed or (step.args[1:] and isinstance(step.args[1], Trip))]
        return needed in some and "push" in names[names.index("edit") :]

    left = await shrunk(steps, fails)
    assert [(step.name, step.args[1]) for step in left] == [("edit", "site"), ("push", WHOLE)]


def test_sim_walks_seeds_and_ends_with_its_figures() -> None:
    command = [sys.executable, "-m", "bench.sim", "--seeds", "3", "--steps", "30", "--store", "memory"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "seeds=3 steps=30 violations=0 mutations=" in done.stdout
    assert "lost=0 duplicated=0" in done.stdout


@pytest.mark.parametrize("bug", [cursor_before_commit, merge_drops_theirs, half_a_pull_shown], ids=name_of)
def test_a_seeded_bug_is_caught(bug: Bug) -> None:
    assert hunt(bug, seeds=10) is not None


def test_without_a_bug_nothing_is_caught() -> None:
    assert hunt(nullcontext, seeds=2) is None


HISTORIES: dict[str, Sequence[Step]] = {
    "a server killed after it wrote down what it sends": [
        Step("pull", 0, Trip(fault=Fault.KILLED_BEFORE_DISK, killed_at=7), 4096),
        Step("wait", 192),
        Step("command", 0, "sign_then_refuse", 1),
    ],
    "two copies of a phone, one of them older": [
        Step("command", 0, "sign", 0),
        Step("clone", 0, 1),
        Step("restore", 0),
        Step("command", 0, "sign", 0),
    ],
    "a wiped phone with work of its own": [
        Step("add", 0, 2),
        Step("clone", 0, 2),
        Step("revoke", 2),
        Step("pull", 2, WHOLE, 4096),
        Step("edit", 2, "asset", 671, {"note": "东门"}),
    ],
    "a phone that never pulled, and a server that lost what it had pushed": [
        Step("save_servers"),
        Step("command", 2, "refuse", 1),
        Step("push", 2, Trip(), 3),
        Step("restore_servers"),
    ],
    "housekeeping in the middle of a pull": [
        Step("pull", 1, Trip(), 1048576),
        Step("delete_asset", 524),
        Step("add", 0, 0),
        Step("assign", 2, 0, 3),
        Step("push", 0, Trip(), 3),
        Step("change_asset", 325, "南门"),
        Step("pull", 1, Trip(), 4096, False),
        Step("keep_house"),
        Step("keep_house"),
    ],
    "a conflict decided while the answer that told of it was still on its way": [
        Step("pull", 0, Trip(), 1048576, False),
        Step("edit", 0, "site", 723, {"name": "西门"}),
        Step("pull", 2, Trip(paused_at=1, meanwhile=Step("change_site", 0, "name", "南门")), 1048576, False),
        Step("push", 0, Trip(fault=Fault.ANSWER_LATE), 200),
        Step("pull", 0, Trip(), 4096, False),
        Step("edit", 0, "site", 971, {"name": "西门"}),
        Step("decide_at_desk", 297, "values"),
    ],
    "a copy that used the numbers of lost work, and one that goes on above them": [
        Step("clone", 0, 2),
        Step("pull", 0, Trip(), 4096),
        Step("command", 0, "sign", 1),
        Step("wait", 192),
        Step("clone", 0, 1),
        Step("pull", 0, Trip(), 4096),
        Step("command", 1, "sign", 1),
        Step("save_servers"),
        Step("push", 0, Trip(), 1),
        Step("push", 1, Trip(), 1),
        Step("restore_servers"),
        Step("assign", 1, 1, 0),
        Step("pull", 2, Trip(), 1048576),
        Step("edit", 2, "asset", 656, {"note": "西门"}),
        Step("push", 2, Trip(), 1),
    ],
    "a numbering that a copy made necessary, lost with its server, and work that waited behind it": [
        Step("hint", 0, 0),
        Step("command", 0, "sign", 1),
        Step("save_servers"),
        Step("clone", 0, 1),
        Step("edit", 1, "site", 295, {"name": "南门"}),
        Step("push", 1, Trip(), 200),
        Step("command", 0, "sign", 1),
        Step("push", 0, Trip(), 200),
        Step("push", 0, Trip(), 1),
        Step("restore_servers"),
    ],
    "a copy of a phone that cannot be told of a restore, as it never pulled": [
        Step("save_servers"),
        Step("command", 0, "sign", 2),
        Step("push", 0, Trip(), 3),
        Step("restore_servers"),
        Step("clone", 0, 1),
    ],
    "a copy that used the number of what another had lost": [
        Step("clone", 2, 0),
        Step("save_servers"),
        Step("command", 2, "refuse", 2),
        Step("push", 2, Trip(), 200),
        Step("hint", 0, 2),
        Step("restore_servers"),
        Step("edit", 0, "site", 729, {"lat": 30.0}),
    ],
    "a phone put out of use before it heard of a restore": [
        Step("save_servers"),
        Step("hint", 0, 2),
        Step("edit", 0, "site", 963, {"name": "南门"}),
        Step("push", 0, Trip(), 1),
        Step("restore_servers"),
        Step("revoke", 0),
    ],
    "a pull that finds the numbering forgotten": [
        Step("command", 0, "unheard of", 1),
        Step("push", 0, Trip(), 3),
        Step("save_servers"),
        Step("restore", 0),
        Step("command", 0, "nothing", 2),
        Step("push", 0, Trip(), 3),
        Step("push", 0, Trip(), 1),
        Step("restore_servers"),
    ],
}
"""Short histories that once looked like a broken promise, as `make sim` printed them."""


@pytest.mark.parametrize("name", HISTORIES)
def test_what_once_broke_a_promise_keeps_it(name: str) -> None:
    assert asyncio.run(play(HISTORIES[name], MemoryPlace(), check_every=1)).broken is None


def test_an_unfinished_pull_must_outlive_no_deletion_it_has_to_tell() -> None:
    history = HISTORIES["housekeeping in the middle of a pull"]
    with compaction_forgets_unfinished_pulls():
        broken = asyncio.run(play(history, MemoryPlace(), check_every=1)).broken
    assert broken is not None


def test_what_came_before_must_be_said_or_copies_lose_their_order() -> None:
    history = HISTORIES["a copy that used the numbers of lost work, and one that goes on above them"]
    with order_lost_with_a_copy():
        broken = asyncio.run(play(history, MemoryPlace(), check_every=1)).broken
    assert broken is not None
    assert broken.invariant == 10
