"""Who is planned for and when: absences, certificates, overtime, breaks and technicians on the way."""

from datetime import timedelta
from itertools import pairwise, permutations
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from backend.core.clock import parse_instant
from backend.dispatch.roster import breaks_apart, longest_presence
from backend.dispatch.wording import named_fault
from backend.jobs.models import Visit, WorkOrder
from backend.people.models import PersonSkill
from backend.people.roster_schemas import BREAKS_MAXIMUM
from routing.limits import MAX_BREAKS_PER_SHIFT
from routing.problem import Break, delay_second
from routing.protocol import Fault
from tests.make import LAT, START, Desk, Office
from tests.personas import LI_WEI, WANG_FANG, WU_GANG, ZHOU_TAO
from tests.planning import (
    absent,
    assignment,
    done,
    pause,
    planned,
    problem_of,
    published,
    second_site,
    shift_of,
    stops,
)
from tests.work import change, give, ok, opened, order_of, refused, report, sent

pytestmark = pytest.mark.usefixtures("quick_planners")


@pytest.fixture
async def sqlite(sqlite_office: Office) -> Office:
    return sqlite_office


# --- who is there, and for how long -----------------------------------------------------------------------------------


async def test_absences_that_overlap_are_one_absence(sqlite: Office) -> None:
    await shift_of(sqlite, LI_WEI)
    await absent(sqlite, LI_WEI, (1, 7.5), (2, 3))
    (shift,) = (await problem_of(sqlite)).shifts
    assert (shift.start, shift.end) == (0, 3600)


HOURS = st.integers(min_value=-2, max_value=12)
SPANS = st.lists(st.tuples(HOURS, HOURS).filter(lambda span: span[0] < span[1]), max_size=6)


@given(SPANS)
def test_nobody_is_planned_while_absent_and_nobody_there_longer_is_overlooked(spans: list[tuple[int, int]]) -> None:
    absences = [(START + timedelta(hours=start), START + timedelta(hours=end)) for start, end in spans]
    start, end = longest_presence(START, START + timedelta(hours=8), absences)
    there = [hour for hour in range(8) if not any(gone <= hour < back for gone, back in spans)]
    found = range(round((start - START) / timedelta(hours=1)), round((end - START) / timedelta(hours=1)))
    assert set(found) <= set(there)
    longest = max(size for size in range(9) for at in range(9 - size) if set(range(at, at + size)) <= set(there))
    assert len(found) == longest


async def test_a_certificate_counts_for_the_shifts_it_lasts_through(sqlite: Office) -> None:
    await shift_of(sqlite, LI_WEI)
    tomorrow = await shift_of(sqlite, LI_WEI, after=24)
    later = await shift_of(sqlite, LI_WEI, after=48)
    async with sqlite.database.write() as session:
        lift = sqlite.house.skills["elevator"]
        held = (PersonSkill.person_id == sqlite.house.id_of(LI_WEI), PersonSkill.skill_id == lift)
        await session.execute(update(PersonSkill).where(*held).values(valid_until=START + timedelta(hours=28)))
        renewed = START + timedelta(hours=40)
        session.add(
            PersonSkill(
                person_id=sqlite.house.id_of(LI_WEI), skill_id=lift, certificate_number="NEW", valid_from=renewed
            )
        )
    skills = {shift.id: shift.skills for shift in (await problem_of(sqlite)).shifts}
    assert skills.pop(str(tomorrow)) == ("cctv",)
    assert skills.pop(str(later)) == ("cctv", "elevator")
    assert list(skills.values()) == [("cctv", "elevator")]


async def test_who_was_sent_by_hand_is_followed_on_their_shift_once_they_set_off(sqlite: Office) -> None:
    """No shift was named: the plan knows where 李伟 is and for how long, the board shows it, and what follows comes."""
    wang_fang, li_wei, visit_id = await sent(sqlite)
    await shift_of(sqlite, LI_WEI)
    async with sqlite.database.write() as session:
        other = await second_site(session, sqlite, lat=LAT + 0.02)
    waiting = (await opened(wang_fang, sqlite, site_id=str(other)))["visits"][0]["id"]
    await report(li_wei, visit_id, "depart")
    days = ok(await wang_fang.get(f"/live/days?unit_id={sqlite.house.service}"))
    assert [stop["visit_id"] for day in days["days"] for stop in day["stops"]] == [visit_id]
    plan = await done(wang_fang, sqlite)
    ((first, then),) = [route["stops"] for route in plan["routes"]]
    assert [first["visit_id"], then["visit_id"]] == [visit_id, waiting]
    assert first["ends_at"] <= then["arrives_at"]
    (shift,) = (await problem_of(sqlite)).shifts
    assert (shift.start_place, shift.start) == (str(sqlite.house.site), 0)
    assert (await published(wang_fang, plan))["unchanged"] == 1


async def test_a_technician_at_a_site_without_a_position_is_given_nothing_else_until_it_is_over(sqlite: Office) -> None:
    shift = await shift_of(sqlite, LI_WEI)
    async with sqlite.database.write() as session:
        nowhere = await second_site(session, sqlite, lat=None, lon=None)
    wang_fang, li_wei, visit_id = await sent(sqlite, site_id=str(nowhere), duration_minutes=90)
    await give(wang_fang, sqlite, visit_id, LI_WEI, shift_id=str(shift))
    await report(li_wei, visit_id, "depart")
    (left,) = (await problem_of(sqlite)).shifts
    assert (left.start_place, left.start) == (left.end_place, 90 * 60)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("minutes", [105, 125])
async def test_a_visit_that_outlasts_its_shift_holds_up_the_next(sqlite: Office, minutes: int, *, named: bool) -> None:
    """Its own shift is over, or too short to be planned, and the next has not begun: nobody is in two places."""
    wang_fang, li_wei = await sqlite.sign_in_for_long(WANG_FANG), await sqlite.sign_in_for_long(LI_WEI)
    morning, evening, tomorrow = [
        await shift_of(sqlite, LI_WEI, after=after, hours=hours) for after, hours in ((0, 2), (2.5, 6), (24, 8))
    ]
    visit_id = (await opened(wang_fang, sqlite, duration_minutes=240))["visits"][0]["id"]
    await give(wang_fang, sqlite, visit_id, LI_WEI, shift_id=str(morning) if named else None)
    sqlite.move_clock(minutes=minutes)
    await report(li_wei, visit_id, "depart")
    found = {shift.id: shift for shift in (await problem_of(sqlite)).shifts}
    assert found.keys() == {str(evening), str(tomorrow)}
    held, free = found[str(evening)], found[str(tomorrow)]
    assert (held.start_place, held.start) == (str(sqlite.house.site), 240 * 60)
    assert (free.start_place, free.start) == (free.end_place, (24 * 60 - minutes) * 60)


async def test_a_visit_given_to_a_crew_takes_its_leaders_time_until_it_is_said_who_goes(sqlite: Office) -> None:
    for persona in (LI_WEI, WU_GANG):
        await shift_of(sqlite, persona)
    wang_fang = await sqlite.sign_in(WANG_FANG)
    visit, *others = [(await opened(wang_fang, sqlite, duration_minutes=120))["visits"][0]["id"] for _ in range(5)]
    times = {"arrives_at": START + timedelta(hours=2), "ends_at": START + timedelta(hours=4)}
    crew = {"crew_id": str(sqlite.house.crew)} | {name: at.isoformat() for name, at in times.items()}
    ok(await change(wang_fang, visit, "assign", crew))
    plan = await done(wang_fang, sqlite)
    (why,) = [one["reasons"][0] for one in plan["unplanned"] if one["visit_id"] == visit]
    assert (why["code"], why["basis"]) == ("with_crew", "proven")
    (leader,) = [route for route in plan["routes"] if route["person_id"] == str(sqlite.house.id_of(WU_GANG))]
    (there,) = [stop for stop in leader["stops"] if stop["visit_id"] == visit]
    assert times["arrives_at"] <= parse_instant(there["starts_at"]) <= times["arrives_at"] + timedelta(minutes=15)
    assert not there["leads"]
    for before, after in pairwise(leader["stops"]):
        assert before["ends_at"] <= after["arrives_at"]
    assert stops(plan).keys() <= {visit, *others}
    await published(wang_fang, plan)
    held = await assignment(wang_fang, visit)
    assert held is not None
    assert (held["crew_id"], held["person_id"]) == (str(sqlite.house.crew), None)
    days = ok(await wang_fang.get(f"/live/days?unit_id={sqlite.house.service}"))
    assert visit not in {one["visit_id"] for one in days["unplanned"]}
    said = refused(await wang_fang.get(f"/visits/{visit}/proposals"), "not_in_plan")
    assert "given to a crew as a whole" in said["detail"]


# --- rosters that are legal -------------------------------------------------------------------------------------------


async def test_overtime_ends_where_the_next_shift_or_an_absence_begins(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await opened(wang_fang, sqlite)
    await shift_of(sqlite, LI_WEI, overtime_minutes=60)
    await shift_of(sqlite, LI_WEI, after=8.5, hours=4, overtime_minutes=60)
    await shift_of(sqlite, ZHOU_TAO, overtime_minutes=60)
    await absent(sqlite, LI_WEI, (12.75, 20))
    overtime = [shift.overtime_allowed for shift in (await problem_of(sqlite)).shifts]
    assert sorted(overtime) == [15 * 60, 30 * 60, 60 * 60]
    assert len(stops(await done(wang_fang, sqlite))) == 1


async def test_breaks_whose_times_overlap_are_planned_one_after_the_other(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await opened(wang_fang, sqlite)
    breaks = [pause(4, 6, 30), pause(3, 5, 30), pause(1, 2, 15), pause(6, 8, 15)]
    offer = {
        "person_id": str(sqlite.house.id_of(LI_WEI)), "starts_at": START.isoformat(),
        "ends_at": (START + timedelta(hours=8)).isoformat(), "breaks": breaks,
    }  # fmt: skip
    ok(await wang_fang.post("/shifts", {"shifts": [offer]}), 201)
    plan = await done(wang_fang, sqlite)
    assert len(stops(plan)) == 1
    (shift,) = (await problem_of(sqlite)).shifts
    assert [one.duration for one in shift.breaks] == [900, 1800, 1800, 900]


def test_a_roster_takes_as_many_breaks_as_the_planner() -> None:
    assert BREAKS_MAXIMUM == MAX_BREAKS_PER_SHIFT


def minutes_long(earliest: int, room: int, minutes: int) -> Break:
    return Break(earliest=earliest * 60, latest=(earliest + room) * 60, duration=minutes * 60)


BREAKS = st.lists(
    st.builds(minutes_long, st.integers(0, 300), st.integers(0, 120), st.integers(1, 60)), max_size=BREAKS_MAXIMUM
)


@settings(max_examples=300)
@given(BREAKS)
def test_breaks_apart_keep_their_lengths_and_times_and_never_overlap(breaks: list[Break]) -> None:
    apart = breaks_apart(breaks)
    assert any(
        all(
            own.duration == one.duration and own.earliest <= one.earliest <= one.latest <= own.latest
            for own, one in zip(owners, apart, strict=True)
        )
        for owners in permutations(breaks, len(apart))
    )
    for before, after in pairwise(apart):
        assert before.latest + before.duration <= after.earliest
    in_order = sorted(breaks, key=lambda one: one.earliest)
    if all(before.latest + before.duration <= after.earliest for before, after in pairwise(in_order)):
        assert list(apart) == in_order


@given(BREAKS)
def test_breaks_that_can_all_be_taken_are_all_planned(breaks: list[Break]) -> None:
    def fits(order: tuple[Break, ...]) -> bool:
        free = 0
        for one in order:
            free = max(free, one.earliest)
            if free > one.latest:
                return False
            free += one.duration
        return True

    assert (len(breaks_apart(breaks)) == len(breaks)) == any(fits(order) for order in permutations(breaks))


async def test_a_pin_to_somebody_without_the_skill_stops_one_visit_not_the_unit(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    shift = await shift_of(sqlite, LI_WEI)
    wrong = (await opened(wang_fang, sqlite, required_skills=["network"]))["visits"][0]["id"]
    right = (await opened(wang_fang, sqlite))["visits"][0]["id"]
    at = {"arrives_at": (START + timedelta(hours=4)).isoformat(), "shift_id": str(shift)}
    await give(wang_fang, sqlite, wrong, LI_WEI, pinned=True, **at)
    plan = await done(wang_fang, sqlite)
    assert list(stops(plan)) == [right]
    assert [one["visit_id"] for one in plan["unplanned"]] == [wrong]


async def test_a_plan_that_failed_names_people_and_hours(sqlite: Office) -> None:
    """Two shifts of 李伟 at one time: the office refuses that, an import from elsewhere may bring it."""
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    await shift_of(sqlite, LI_WEI, after=4)
    plan = await planned(wang_fang, sqlite)
    assert (plan["state"], plan["error"]["code"]) == ("failed", "shifts_overlap")
    assert plan["error"]["zh"].startswith("李伟 周一 13:00 至 周一 21:00 的班次：李伟 在该时间已有班次“李伟 周一 09:00")
    assert plan["error"]["en"].startswith(
        "李伟's shift Mon 13:00 to Mon 21:00: 李伟 is on the shift '李伟's shift Mon 09:00"
    )
    assert str(sqlite.house.id_of(LI_WEI)) not in plan["error"]["zh"] + plan["error"]["en"]
    refused(await wang_fang.post(f"/plans/{plan['id']}/publish"), "plan_not_ready")


def test_a_fault_of_another_kind_keeps_its_words() -> None:
    died = Fault(code="planner_died", where="process", facts={}, zh="退出", en="ended")
    assert named_fault(died, {}) == died
    full = Fault(code="too_many", where="visits", facts={"found": 3000, "limit": 2000}, zh="", en="")
    assert named_fault(full, {}).zh.startswith("上门：给出 3000 个")


# --- what waits ------------------------------------------------------------------------------------------------------


async def test_what_is_long_or_due_soon_is_planned_at_a_dearer_delay(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in_for_long(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    asked = {"fresh": (60, None), "long": (240, None), "soon": (60, sqlite.now + timedelta(hours=5))}
    orders = {name: await opened(wang_fang, sqlite, duration_minutes=length) for name, (length, _) in asked.items()}
    async with sqlite.database.write() as session:
        for name, (_, due_at) in asked.items():
            visit = await session.get_one(Visit, UUID(orders[name]["visits"][0]["id"]))
            order = await session.get_one(WorkOrder, visit.work_order_id)
            order.due_at = due_at
    problem = await problem_of(sqlite)
    found = {visit.id: visit for visit in problem.visits}
    fresh, long, soon = (found[orders[name]["visits"][0]["id"]] for name in asked)
    assert (fresh.priority, fresh.delay_per_mille, fresh.commitment_due) == (3, 1_000, None)
    assert (long.priority, long.delay_per_mille) == (3, 3_400)
    assert soon.commitment_due == 5 * 3600, "nothing is called late that keeps its commitment"
    assert (fresh.commitment_margin, soon.commitment_margin) == (0, 0), "too late for a margin of six hours"
    assert soon.priority < fresh.priority
    assert delay_second(soon, problem.prices) > delay_second(fresh, problem.prices)


# --- who joins --------------------------------------------------------------------------------------------------------


async def together(office: Office, desk: Desk, *, hours: float, **values: object) -> str:
    """A visit that 李伟 leads, so many hours after the morning, and that 周涛 was asked to join."""
    visit_id = (await opened(desk, office, duration_minutes=120, **values))["visits"][0]["id"]
    starts_at = START + timedelta(hours=hours)
    times = {
        "departs_at": (starts_at - timedelta(minutes=20)).isoformat(), "arrives_at": starts_at.isoformat(),
        "ends_at": (starts_at + timedelta(hours=2)).isoformat(),
    }  # fmt: skip
    shift = await shift_of(office, LI_WEI)
    await give(desk, office, visit_id, LI_WEI, shift_id=str(shift), **times)
    await give(desk, office, visit_id, ZHOU_TAO, leads=False, **times)
    return visit_id


async def test_whoever_joins_a_visit_drives_there_and_is_given_nothing_else_then(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, ZHOU_TAO)
    visit_id = await together(sqlite, wang_fang, hours=2)
    async with sqlite.database.write() as session:
        far = await second_site(session, sqlite, lat=LAT + 0.1)
    for _ in range(3):  # only 周涛 may: hours of work around the two he joins
        await opened(wang_fang, sqlite, site_id=str(far), required_skills=["network"], duration_minutes=90)
    plan = await done(wang_fang, sqlite)

    zhou_tao = next(route for route in plan["routes"] if route["person_id"] == str(sqlite.house.id_of(ZHOU_TAO)))
    (joins,) = [stop for stop in zhou_tao["stops"] if not stop["leads"]]
    assert joins["visit_id"] == visit_id
    assert START + timedelta(hours=2) <= parse_instant(joins["starts_at"]) <= START + timedelta(hours=2, minutes=15)
    assert joins["travel_minutes"] > 0
    for before, after in pairwise(zhou_tao["stops"]):
        assert before["ends_at"] <= after["arrives_at"]
    assert len(zhou_tao["stops"]) >= 3, "what is left of his day is planned"
    leads = [stop for route in plan["routes"] for stop in route["stops"] if stop["visit_id"] == visit_id]
    assert sorted(stop["leads"] for stop in leads) == [False, True]
    assert plan["summary_en"].startswith(f"{len(stops(plan))} of 4 visits")

    difference = ok(await wang_fang.get(f"/plans/{plan['id']}/difference"))
    assert visit_id not in {one["visit_id"] for one in difference["changes"]}
    await published(wang_fang, plan)
    order = await order_of(wang_fang, visit_id)
    held = {one["person_id"]: one for one in order["assignments"] if one["withdrawn_at"] is None}
    assert held[str(sqlite.house.id_of(ZHOU_TAO))]["leads"] is False
    assert parse_instant(held[str(sqlite.house.id_of(ZHOU_TAO))]["arrives_at"]) == START + timedelta(hours=2)
    days = ok(await wang_fang.get(f"/live/days?unit_id={sqlite.house.service}"))
    assert [stop["visit_id"] for day in days["days"] for stop in day["stops"]].count(visit_id) == 2
