"""Travel times of an installation: learnt from attendances, shown and used; roads kept in blocks; failures said."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
import numpy as np
import pytest
from sqlalchemy import func, select

from backend.core.clock import clock_of
from backend.core.tasks import Task
from backend.dispatch.desk import Desk as PlanDesk
from backend.dispatch.live import situation
from backend.dispatch.travel import Roads, parameters_in_use
from backend.dispatch.travel_cache import (
    BUCKET_PLACES,
    BUCKETS,
    KEPT,
    Known,
    forget_old_blocks,
    keep_legs,
    known_legs,
    place_keys,
)
from backend.dispatch.travel_models import TravelBlock, TravelModel
from backend.dispatch.travel_queries import finished_trips
from backend.dispatch.travel_rules import pace_of, zone_of
from backend.dispatch.travel_timer import LEARN_TRAVEL, MODELS_KEPT, forget_old_models, learn_travel, learning_task
from backend.jobs.models import Attendance, Visit, VisitEvent, WorkOrder
from backend.people.models import Shift
from backend.sites.models import Site
from routing.problem import EstimatedTravel, GivenTravel, Place, Problem
from routing.travel.estimate import SOURCE, CoordinateEstimate
from tests.make import LAT, LON, START, Office
from tests.osrm import TableServer, table_server
from tests.personas import CHEN_JING, LI_WEI, WANG_FANG, ZHOU_TAO
from tests.planning import copied, done, problem_of, run_of, second_site, shift_of
from tests.work import ok, opened, refused

SLOW = 1.6
"""How much longer than the untrained estimate trips take in these tests."""


@pytest.fixture
def server() -> Iterator[TableServer]:
    with table_server() as running:
        yield running


def minutes(north: float) -> float:
    """What a trip of so many degrees north takes here."""
    places = [Place(id="a", latitude=LAT, longitude=LON), Place(id="b", latitude=LAT + north, longitude=LON)]
    return SLOW * float(CoordinateEstimate(EstimatedTravel()).table(places).seconds[0, 1]) / 60


async def round_trips(office: Office, days: int = 40) -> None:
    """Days on which 李伟 goes from his shift's start to the site, then to another, has lunch, and comes back."""
    visit_id = UUID((await opened(await office.sign_in(WANG_FANG), office))["visits"][0]["id"])
    async with office.database.write() as session:
        visit = await session.get_one(Visit, visit_id)
        here = await session.get_one(WorkOrder, visit.work_order_id)
        there_id = await second_site(session, office, lat=LAT + 0.12, lon=LON)
        there = copied(here, number=f"{here.number}-b", site_id=there_id)
        session.add(there)
        await session.flush()
        for day in range(days):
            morning = START - timedelta(days=days - day)
            await _day(office, session, visit, (here.id, there.id, here.id), morning)


async def _day(office: Office, session, visit: Visit, orders: tuple[UUID, UUID, UUID], morning: datetime) -> None:
    left = morning
    plan = ((orders[0], 0.05), (orders[1], 0.12), (orders[2], 0.12))
    for number, (order_id, north) in enumerate(plan):
        arrived = left + timedelta(minutes=minutes(north))
        row = copied(visit, work_order_id=order_id, sequence=1000 + number + (morning - START).days * 10)
        session.add(row)
        await session.flush()
        session.add(
            Attendance(
                work_order_id=order_id, visit_id=row.id, person_id=office.house.id_of(LI_WEI), leads=True,
                state="finished", departed_at=left, arrived_at=arrived, started_at=arrived,
                finished_at=arrived + timedelta(minutes=30),
            )
        )  # fmt: skip
        left = arrived + timedelta(minutes=35 if number == 0 else 90)  # after the second: lunch, somewhere


async def learnt(office: Office) -> TravelModel:
    return await learn_travel(office.database, clock_of(office.settings), None, "estimate")


async def test_trips_teach_and_plans_are_made_from_it(office: Office) -> None:
    wang_fang = await office.sign_in(WANG_FANG)
    nothing = ok(await wang_fang.get("/travel-model"))
    assert (nothing["provider"], nothing["in_use"], nothing["newest"]) == ("estimate", None, None)
    await round_trips(office)
    model = await learnt(office)
    assert (model.trips, model.in_use) == (
        40,
        True,
    )  # the first site to the second; after lunch nobody knows from where
    seen = ok(await wang_fang.get("/travel-model"))
    assert seen["in_use"]["trips"] == 40
    assert seen["in_use"]["error_after"] < 0.02
    assert seen["in_use"]["error_before"] > 0.3
    assert sum(hour["trips"] for hour in seen["in_use"]["hours"]) == 40
    (zone,) = seen["in_use"]["zones"]
    assert (zone["origin"], zone["trips"]) == (zone_of(None, LAT, LON), 40)
    assert "40" in seen["zh"]
    assert "40 trips" in seen["en"]
    await shift_of(office, LI_WEI)
    problem = await problem_of(office)
    assert isinstance(problem.travel, EstimatedTravel)
    assert problem.pace is not None
    places = [
        Place(id="a", latitude=LAT, longitude=LON, zone=zone["origin"]),
        Place(id="b", latitude=LAT + 0.12, longitude=LON, zone=zone["destination"]),
    ]
    took = CoordinateEstimate(problem.travel).table(places).seconds[0, 1] / 60
    assert took == pytest.approx(minutes(0.12), rel=0.02)


async def test_from_where_a_shift_began_is_a_trip_too(sqlite_office: Office) -> None:
    office = sqlite_office
    await round_trips(office, days=10)
    async with office.database.read() as session:
        before = len(await finished_trips(session, office.now))
    for day in range(10):
        await shift_of(office, LI_WEI, after=-24 * (10 - day) - 0.25)
    async with office.database.read() as session:
        trips = await finished_trips(session, office.now)
    assert (before, len(trips)) == (10, 20)
    assert {trip.origin.latitude for trip in trips} == {LAT, LAT + 0.05}


async def test_doubted_times_and_old_ones_teach_nothing(sqlite_office: Office) -> None:
    office = sqlite_office
    await round_trips(office, days=5)
    async with office.database.write() as session:
        attended = (await session.execute(select(Attendance).order_by(Attendance.arrived_at))).scalars().all()
        arrived = [one for one in attended if one.arrived_at][4]
        session.add(
            VisitEvent(
                work_order_id=arrived.work_order_id, visit_id=arrived.visit_id, person_id=arrived.person_id, sequence=1,
                kind="arrive", claimed_at=START, device_at=START, server_at=START, effective_at=START,
                time_flagged=True, late=False,
            )
        )  # fmt: skip
    async with office.database.read() as session:
        assert len(await finished_trips(session, office.now)) == 4
        assert len(await finished_trips(session, office.now + timedelta(days=177))) == 3
        assert await finished_trips(session, office.now + timedelta(days=190)) == []


async def test_what_errs_more_is_not_used_and_the_last_good_night_is(sqlite_office: Office) -> None:
    office = sqlite_office
    assert not (await learnt(office)).in_use
    await round_trips(office)
    office.move_clock(days=1)
    await learnt(office)
    office.move_clock(days=200)
    worse = await learnt(office)
    assert (worse.trips, worse.in_use) == (0, False)
    async with office.database.write() as session:
        assert (await parameters_in_use(session, "estimate")).per_mille
        assert (
            await forget_old_models(session, office.now + MODELS_KEPT + timedelta(days=1)) == 2
        )  # the first, and the worse
        assert (await parameters_in_use(session, "estimate")).per_mille


async def test_each_night_asks_for_the_next(sqlite_office: Office) -> None:
    office = sqlite_office
    async with office.database.read() as session:
        (first,) = (await session.execute(select(Task).where(Task.kind == LEARN_TRAVEL))).scalars().all()
    assert first.run_at.isoformat() == "2026-03-02T18:30:00+00:00"  # 02:30 in Shanghai
    office.move_clock(hours=24)
    await learning_task(office.database, clock_of(office.settings), "estimate")({})
    async with office.database.read() as session:
        nights = (await session.execute(select(Task.run_at).where(Task.kind == LEARN_TRAVEL))).scalars().all()
        assert sorted(at.day for at in nights) == [2, 3]
        assert (await session.execute(select(func.count()).select_from(TravelModel))).scalar_one() == 1


async def test_technicians_do_not_see_it(sqlite_office: Office) -> None:
    refused(await (await sqlite_office.sign_in(ZHOU_TAO)).get("/travel-model"), "forbidden")
    assert ok(await (await sqlite_office.sign_in(CHEN_JING)).get("/travel-model"))["provider"] == "estimate"


def test_hours_are_those_of_the_wall_and_make_up_workdays_count() -> None:
    per_mille = {8: 700, 24 + 8: 900}
    friday = datetime.fromisoformat("2026-03-06T06:10:00+00:00")  # 14:10 in Shanghai
    until = friday + timedelta(days=2)
    plain = pace_of(per_mille, now=friday, until=until, zone="Asia/Shanghai", exceptions={})
    assert plain is not None
    assert plain.begins == -600
    assert plain.per_mille[18] == 900  # Saturday at 8
    saturday = friday.date() + timedelta(days=1)
    worked = pace_of(per_mille, now=friday, until=until, zone="Asia/Shanghai", exceptions={saturday: True})
    assert worked is not None
    assert worked.per_mille[18] == 700
    assert len(worked.per_mille) == 49
    assert pace_of({}, now=friday, until=until, zone="Asia/Shanghai", exceptions={}) is None


# --- roads ------------------------------------------------------------------------------------------------------------


def town(*spots: tuple[float, float]) -> Problem:
    places = tuple(Place(id=str(number), latitude=lat, longitude=lon) for number, (lat, lon) in enumerate(spots))
    return Problem(places=places, shifts=(), visits=())


def roads_of(office: Office, setting: str) -> Roads:
    return Roads(office.database, clock_of(office.settings), setting)


async def test_legs_are_asked_once_and_only_what_is_new(office: Office, server: TableServer) -> None:
    roads = roads_of(office, f"osrm:{server.url}")
    spots = [(0.001 * number, 0.002 * number) for number in range(20)]
    first = (await roads.on_roads(town(*spots))).travel
    assert isinstance(first, GivenTravel)
    assert (first.estimated, first.source) == (False, f"road server {server.url.removeprefix('http://')}")
    asked = sum("/table/" in path for path in server.asked)
    again = (await roads.on_roads(town(*reversed(spots)))).travel
    assert isinstance(again, GivenTravel)
    assert again.seconds == tuple(tuple(reversed(row)) for row in reversed(first.seconds))
    assert sum("/table/" in path for path in server.asked) == asked
    moved = [*spots[:-1], (0.5, 0.5)]
    await roads.on_roads(town(*moved))
    newly = [path for path in server.asked if "/table/" in path][asked:]
    assert len(newly) == 2  # its row, and its column
    assert all(path.count("0.500000,0.500000") for path in newly)
    office.move_clock(days=KEPT.days + 1)
    await roads.on_roads(town(*moved))
    assert sum("/table/" in path for path in server.asked) == asked + 3


async def test_what_is_off_the_road_is_estimated_and_said(sqlite_office: Office, server: TableServer) -> None:
    problem = town((0.0, 0.0), (0.0, 0.01), (0.0, 40.0), (0.0, 0.0))
    travel = (await roads_of(sqlite_office, f"osrm:{server.url}").on_roads(problem)).travel
    assert isinstance(travel, GivenTravel)
    assert travel.source.endswith(", 1 of 4 places off the road: estimated")
    estimated = CoordinateEstimate(EstimatedTravel()).table(problem.places)
    assert travel.seconds[0][2] == estimated.seconds[0, 2]
    assert travel.seconds[0][1] == 111
    assert travel.seconds[0][3] == 0


async def test_a_server_that_is_down_is_said_on_the_plan(sqlite_office: Office, server: TableServer) -> None:
    server.failures = 1000
    travel = (await roads_of(sqlite_office, f"osrm:{server.url}").on_roads(town((0.0, 0.0), (0.0, 0.01)))).travel
    assert isinstance(travel, GivenTravel)
    assert travel.estimated
    assert travel.source.startswith(SOURCE)
    assert "HTTP 503" in travel.source
    assert "没有应答" in travel.source


async def test_what_no_plan_has_asked_for_is_estimated_and_said(sqlite_office: Office, server: TableServer) -> None:
    roads, label = roads_of(sqlite_office, f"osrm:{server.url}"), f"road server {server.url.removeprefix('http://')}"
    spots = [(0.0, 0.0), (0.0, 0.01), (0.0, 40.0)]

    async def known(*some: tuple[float, float]) -> GivenTravel:
        async with sqlite_office.database.read() as session:
            travel = (await roads.on_known_roads(session, town(*some))).travel
        assert isinstance(travel, GivenTravel)
        return travel

    nothing = await known(*spots)
    assert (nothing.estimated, nothing.source) == (True, f"{label}, 6 of 6 legs estimated until a plan asks for them")
    planned = (await roads.on_roads(town(*spots))).travel
    asked = len(server.asked)
    assert await known(*spots) == planned
    more = await known(*spots, (0.0, 0.02))
    assert isinstance(planned, GivenTravel)
    assert tuple(row[:3] for row in more.seconds[:3]) == planned.seconds
    off, unasked = "4 legs without a road: estimated", "6 of 12 legs estimated until a plan asks for them"
    assert more.source == f"{label}, {off}, {unasked}"
    assert len(server.asked) == asked


async def test_very_many_places_get_the_estimate_fitted_to_the_roads(
    sqlite_office: Office, server: TableServer
) -> None:
    random = np.random.default_rng(4)
    problem = town(*((lat, lon) for lat, lon in random.uniform(0, 0.2, (1_001, 2))))
    travel = (await roads_of(sqlite_office, f"osrm:{server.url}").on_roads(problem)).travel
    assert isinstance(travel, EstimatedTravel)
    table = CoordinateEstimate(travel).table(problem.places)
    far = table.metres > 2_000
    ratio = table.seconds[far] / (table.metres[far] / 10)  # the server drives straight at 10 m/s
    assert np.median(ratio) == pytest.approx(1, abs=0.05)


async def test_without_roads_or_with_a_table_nothing_changes(sqlite_office: Office) -> None:
    problem = town((0.0, 0.0), (0.0, 0.01))
    assert await roads_of(sqlite_office, "estimate").on_roads(problem) is problem
    given = msgspec.structs.replace(
        problem, travel=GivenTravel(seconds=((0, 1), (1, 0)), metres=((0, 1), (1, 0)), source="told")
    )
    assert await roads_of(sqlite_office, "osrm:http://127.0.0.1:9").on_roads(given) is given


async def test_blocks_are_bounded_and_old_versions_forgotten(sqlite_office: Office) -> None:
    office = sqlite_office
    random = np.random.default_rng(5)
    now = office.now
    for version, count in (("a", 100), ("b", 100), ("c", 2_500)):
        known = Known(place_keys(random.uniform(30, 32, count).tolist(), random.uniform(116, 118, count).tolist()))
        known.table[:] = random.integers(1, 1_000, (2, count, count))
        learnt_now = np.ones((count, count), dtype=bool)
        now += timedelta(minutes=1)
        async with office.database.write() as session:
            await keep_legs(session, version, known, learnt_now, now=now)
    async with office.database.read() as session:
        sizes = (
            await session.execute(select(func.length(TravelBlock.legs)).where(TravelBlock.version == "c"))
        ).scalars()
        sizes = list(sizes)
        again = await known_legs(session, "c", known.keys, now)
    assert len(sizes) == BUCKETS**2
    assert max(sizes) <= 2 * 4 * BUCKET_PLACES**2
    kept = again.table[0] > 0
    assert 0.4 < kept.mean() < 0.9  # 128 of about 156 places a group
    assert (again.table[:, kept] == known.table[:, kept]).all()
    async with office.database.write() as session:
        await forget_old_blocks(session, now)
        left = (await session.execute(select(TravelBlock.version).distinct())).scalars().all()
        assert sorted(left) == ["b", "c"]
        await forget_old_blocks(session, now + KEPT + timedelta(days=1))
        assert (await session.execute(select(func.count()).select_from(TravelBlock))).scalar_one() == 0


def test_places_a_metre_apart_are_told_apart() -> None:
    keys = place_keys([31.0, 31.00001, 31.000001, -90, 90], [117.0, 117.0, 117.0, -180, 180])
    assert keys[0] == keys[2]
    assert len(set(keys.tolist())) == 4


@pytest.mark.usefixtures("quick_planners")
async def test_a_plan_and_the_board_drive_on_the_same_roads(sqlite_office: Office, server: TableServer) -> None:
    office = sqlite_office
    wang_fang = await office.sign_in(WANG_FANG)
    await shift_of(office, LI_WEI)
    async with office.database.write() as session:
        site = await session.get_one(Site, office.house.site)
        site.lat, site.lon = 0.02, 0.0
        shift = (await session.execute(select(Shift))).scalar_one()
        shift.start_lat, shift.start_lon = 0.0, 0.0
    await opened(wang_fang, office)
    office.settings = msgspec.structs.replace(office.settings, travel=f"osrm:{server.url}")
    plan = await done(wang_fang, office)
    assert plan["travel_source"] == f"road server {server.url.removeprefix('http://')}"
    (route,) = plan["routes"]
    assert route["stops"][0]["travel_minutes"] == 4  # 2,224 m at 10 m/s
    roads, asked = roads_of(office, office.settings.travel), len(server.asked)
    until, units = office.now + timedelta(hours=48), frozenset({office.house.service})
    async with office.database.read() as session:
        seen = await situation(session, PlanDesk(0), roads, now=office.now, units=units, until=until)
    run = await run_of(office, plan)
    assert seen.problem.travel == msgspec.convert(run.problem, Problem).travel
    assert len(server.asked) == asked
