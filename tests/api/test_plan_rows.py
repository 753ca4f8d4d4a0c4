"""What the planner is told of territories, owners of sites and parts, as the rows have it."""

from datetime import timedelta
from uuid import UUID

import pytest

from backend.dispatch.plan import build_problem
from backend.people.models import Territory, TerritoryMember
from backend.sites.models import Site, SiteOwner
from routing.problem import PartNeed, VanStock, Visit
from tests.make import START, Office, add_all
from tests.personas import LI_WEI, WANG_FANG, WU_GANG, ZHOU_TAO, Persona
from tests.planning import done, problem_of, shift_of, stocked
from tests.work import opened


@pytest.fixture
async def sqlite(sqlite_office: Office) -> Office:
    return sqlite_office


LONG_AGO = START - timedelta(days=400)


async def only_visit(office: Office) -> Visit:
    (visit,) = (await problem_of(office)).visits
    return visit


# --- territories ------------------------------------------------------------------------------------------------------


async def territory(office: Office, *members: dict[str, object]) -> UUID:
    """A territory with the site of the house in it, served by these from long ago."""
    async with office.database.write() as session:
        row = Territory(unit_id=office.house.service, name_zh="东区", name_en="East", area={})
        await add_all(session, row)
        await add_all(
            session,
            *(TerritoryMember(territory_id=row.id, valid_from=LONG_AGO, **member) for member in members),
        )
        (await session.get_one(Site, office.house.site)).territory_id = row.id
    return row.id


async def test_who_serves_one_territory_belongs_there_and_who_serves_several_everywhere(office: Office) -> None:
    wang_fang = await office.sign_in(WANG_FANG)
    await opened(wang_fang, office)
    li_wei, zhou_tao = office.house.id_of(LI_WEI), office.house.id_of(ZHOU_TAO)
    shifts = {persona.name: await shift_of(office, persona) for persona in (LI_WEI, ZHOU_TAO, WU_GANG)}
    await territory(office, {"person_id": zhou_tao}, {"person_id": li_wei, "valid_until": START})
    east = await territory(office, {"person_id": zhou_tao}, {"crew_id": office.house.crew})
    problem = await problem_of(office)
    found = {UUID(shift.id): shift.territory for shift in problem.shifts}
    assert found == {shifts["李伟"]: str(east), shifts["吴刚"]: str(east), shifts["周涛"]: None}
    assert [visit.territory for visit in problem.visits] == [str(east)]


# --- who looks after a site -------------------------------------------------------------------------------------------


async def owned_by(office: Office, persona: Persona, *, since: float) -> None:
    async with office.database.write() as session:
        owner, begins = office.house.id_of(persona), START - timedelta(days=since)
        session.add(SiteOwner(site_id=office.house.site, person_id=owner, valid_from=begins))


@pytest.mark.rule("A140")
async def test_who_looks_after_a_site_is_preferred_there_while_at_work(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await opened(wang_fang, sqlite)
    await shift_of(sqlite, LI_WEI)
    assert (await only_visit(sqlite)).preferred_technician is None, "a crew is nobody in particular"
    await owned_by(sqlite, LI_WEI, since=20)
    assert (await only_visit(sqlite)).preferred_technician == str(sqlite.house.id_of(LI_WEI))
    await owned_by(sqlite, ZHOU_TAO, since=10)
    assert (await only_visit(sqlite)).preferred_technician is None, "周涛 is not at work"
    await shift_of(sqlite, ZHOU_TAO)
    assert (await only_visit(sqlite)).preferred_technician == str(sqlite.house.id_of(ZHOU_TAO))


# --- parts ------------------------------------------------------------------------------------------------------------


async def test_what_lies_in_a_van_is_with_its_technician_only(office: Office) -> None:
    wang_fang = await office.sign_in(WANG_FANG)
    for persona in (LI_WEI, ZHOU_TAO):
        await shift_of(office, persona)
    order = (await opened(wang_fang, office))["order"]
    part = await stocked(office, order, ("van", LI_WEI, 3, 2), ("van", ZHOU_TAO, 1, 0), ("warehouse", None, 9, 0))
    problem = await problem_of(office)
    (visit,) = problem.visits
    assert (visit.parts, visit.parts_ready) == ((PartNeed(part=part, quantity=2),), None)
    li_wei, zhou_tao = (str(office.house.id_of(persona)) for persona in (LI_WEI, ZHOU_TAO))
    assert sorted(problem.van_stock, key=lambda stock: stock.quantity) == [
        VanStock(technician=zhou_tao, part=part, quantity=1), VanStock(technician=li_wei, part=part, quantity=3),
    ]  # fmt: skip


async def test_parts_promised_for_later_may_come_sooner_from_a_van(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    ready_at = (START + timedelta(hours=5)).isoformat()
    order = (await opened(wang_fang, sqlite, parts_ready_at=ready_at))["order"]
    assert (await only_visit(sqlite)).earliest == 5 * 3600, "nothing says which parts"
    part = await stocked(sqlite, order, ("warehouse", None, 4, 1))
    visit = await only_visit(sqlite)
    assert (visit.earliest, visit.parts, visit.parts_ready) == (0, (PartNeed(part=part),), 5 * 3600)


async def test_what_lies_ready_in_a_warehouse_holds_nobody_up(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    order = (await opened(wang_fang, sqlite))["order"]
    await stocked(sqlite, order, ("warehouse", None, 4, 1))
    visit = await only_visit(sqlite)
    assert (visit.parts, visit.parts_ready, visit.earliest) == ((), 0, 0)


@pytest.mark.usefixtures("quick_planners")
async def test_parts_that_nobody_brings_are_named_in_the_reason(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    order = (await opened(wang_fang, sqlite))["order"]
    await stocked(sqlite, order, ("van", ZHOU_TAO, 1, 1))
    ((reason,),) = [one["reasons"] for one in (await done(wang_fang, sqlite))["unplanned"]]
    assert reason["code"] == "parts_missing"
    assert reason["en"].startswith("It needs Power board: no van ")
    assert reason["zh"].startswith("需要电源板：")


# --- work for several -------------------------------------------------------------------------------------------------


async def test_among_too_many_visits_only_work_for_several_is_left_out(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    for persona in (LI_WEI, ZHOU_TAO):
        await shift_of(sqlite, persona)
    alone, both = [
        (await opened(wang_fang, sqlite, technicians=people_needed))["visits"][0]["id"] for people_needed in (1, 2)
    ]
    async with sqlite.database.read() as session:
        task = await build_problem(
            session, now=sqlite.now, unit_ids=[sqlite.house.service], horizon_ends_at=sqlite.now + timedelta(days=3),
            anew=True, most_with_crews=1,
        )  # fmt: skip
    assert [visit.id for visit in task.problem.visits] == [alone]
    ((code, reason),) = [(one.code, one.reason()) for one in task.left_out if str(one.visit_id) == both]
    assert (code, reason["basis"]) == ("crew_in_large_plan", "proven")
