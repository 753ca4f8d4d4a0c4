"""Any history of work, office and faults keeps every promise (invariants 1-13, 18, 19, 21, 22 and 30 of the design)."""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sync.limits import PULL_BYTES, PULL_BYTES_LEAST
from tests.sync.simulation import Fault, Simulation, walk

PHONES = st.integers(0, 2)
PLACES = st.integers(0, 2)
NAMES = st.sampled_from(["东门", "西门", "南门", "北门"])
DATES = st.sampled_from([None, "2026-01-01", "2026-02-01"])
FAULTS = st.sampled_from([Fault.NONE, *Fault])
COMMANDS = st.sampled_from(["sign", "sign", "sign_then_refuse", "sign_then_fail", "refuse", "nothing", "unheard of"])


class History(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.company = Simulation()

    @rule(site=PLACES, name=NAMES)
    def office_names_a_site(self, site: int, name: str) -> None:
        self.company.change_site(site, "name", name)

    @rule(site=PLACES, date=DATES)
    def office_dates_a_site(self, site: int, date: Any) -> None:
        self.company.change_site(site, "acceptance_on", date)

    @rule(asset=st.integers(0, 9), note=NAMES)
    def office_notes_an_asset(self, asset: int, note: str) -> None:
        self.company.change_asset(asset, note)

    @rule(asset=st.integers(0, 9), site=PLACES)
    def office_moves_an_asset(self, asset: int, site: int) -> None:
        self.company.move_asset(asset, site)

    @rule(asset=st.integers(0, 9))
    def office_deletes_an_asset(self, asset: int) -> None:
        self.company.delete_asset(asset)

    @rule(site=PLACES, size=st.sampled_from([1, 800]))
    def office_adds_an_asset(self, site: int, size: int) -> None:
        self.company.add_asset(site, size)

    @rule(job=PLACES, phone=PHONES, days=st.sampled_from([0, 3, 20]))
    def office_assigns(self, job: int, phone: int, days: int) -> None:
        self.company.assign(job, self.company.phones[phone].handset.person, days)

    @rule(assignment=st.integers(0, 20))
    def office_withdraws(self, assignment: int) -> None:
        self.company.withdraw(assignment)

    @rule(hours=st.sampled_from([1, 24, 24 * 8, 24 * 31]))
    def time_passes(self, hours: int) -> None:
        self.company.wait(hours)

    @rule(phone=PHONES, site=PLACES, name=NAMES)
    def a_person_names_a_site(self, phone: int, site: int, name: str) -> None:
        self.company.edit(phone, "site", site, {"name": name})

    @rule(phone=PHONES, site=PLACES, date=DATES)
    def a_person_dates_a_site(self, phone: int, site: int, date: Any) -> None:
        self.company.edit(phone, "site", site, {"acceptance_on": date})

    @rule(phone=PHONES, site=PLACES, lat=st.sampled_from([30.0, 31.0]))
    def a_person_pins_a_site(self, phone: int, site: int, lat: float) -> None:
        self.company.edit(phone, "site", site, {"lat": lat})

    @rule(phone=PHONES, asset=PLACES, note=NAMES)
    def a_person_notes_an_asset(self, phone: int, asset: int, note: str) -> None:
        self.company.edit(phone, "asset", asset, {"note": note})

    @rule(phone=PHONES, site=PLACES)
    def a_person_adds_an_asset(self, phone: int, site: int) -> None:
        self.company.add(phone, site)

    @rule(phone=PHONES, asset=PLACES)
    def a_person_removes_an_asset(self, phone: int, asset: int) -> None:
        self.company.remove(phone, asset)

    @rule(phone=PHONES, name=COMMANDS, site=PLACES)
    def a_person_works(self, phone: int, name: str, site: int) -> None:
        self.company.command(phone, name, site)

    @rule(phone=PHONES, fault=FAULTS, limit=st.sampled_from([1, 3, 200]))
    def a_phone_pushes(self, phone: int, fault: Fault, limit: int) -> None:
        self.company.push(phone, fault, limit)

    @rule(phone=PHONES, fault=FAULTS, max_bytes=st.sampled_from([PULL_BYTES_LEAST, PULL_BYTES]))
    def a_phone_pulls(self, phone: int, fault: Fault, max_bytes: int) -> None:
        self.company.pull(phone, fault, max_bytes)

    @rule(phone=PHONES, place=st.integers(0, 5))
    def an_answer_arrives_late(self, phone: int, place: int) -> None:
        self.company.deliver_late(phone, place)

    @rule(phone=PHONES)
    def a_phone_dies(self, phone: int) -> None:
        self.company.kill(phone)

    @rule(phone=PHONES)
    def a_phone_is_backed_up(self, phone: int) -> None:
        self.company.back_up(phone)

    @rule(phone=PHONES)
    def a_phone_is_restored(self, phone: int) -> None:
        self.company.restore(phone)

    @invariant()
    def effects_are_single_and_in_order(self) -> None:
        self.company.check_effects()

    @invariant()
    def values_are_as_expected(self) -> None:
        self.company.check_values()

    def teardown(self) -> None:
        self.company.heal()


TestHistory = History.TestCase
TestHistory.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.mark.parametrize("seed", range(25))
def test_a_long_history_keeps_every_promise(seed: int) -> None:
    walk(seed, steps=200)
