"""Who reaches what: every role of the presets, in the unit and in another one, at one record of every kind."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any, Final
from uuid import UUID

import httpx

from backend.app import read_token_key
from backend.core.audit import ImportBatch
from backend.core.auth import issue_access_token
from backend.dispatch.models import PlanRun
from backend.parts.models import Part, StockLocation, StockMovement
from backend.people.models import Absence, CrewMember, Person, RoleGrant, SignInSession
from tests.cases import report
from tests.make import LONG_AGO, START, Desk, Office, add_all, add_shift
from tests.personas import HE_LI, LI_WEI, WANG_FANG, Persona
from tests.work import change, ok, opened

DAY: Final = timedelta(days=1)
STALE: Final = {"If-Match": "an older view"}
"""Lets an edit be tried: whoever may make it is told that it rests on an older view."""
WINDOW: Final = "since=2026-03-01T00:00:00Z&until=2026-03-09T00:00:00Z"
QUOTE: Final = {"lines": [{"kind": "travel", "text": "上门费", "quantity": 1, "unit_fen": 5000}]}

ROLES: Final = """\
role               site customer contact file part stock fees shift absence person order visit case upkeep plan import
technician         ..   ..       ..      ..   +x   ..    .x   xx    xx      .x     .x    .x    ..   .x     xx   x.
crew_leader        ..   ..       ..      ..   +x   ..    .x   ..    ..      .x     ..    ..    ..   ..     ..   x.
install_dispatcher ++   ++       ++      ++   ++   ++    .x   ++    ++      +x     ..    ..    ++   ++     ++   +.
repair_dispatcher  ++   ++       ++      ++   ++   ++    +x   ++    ++      +x     ++    ++    ++   ++     ++   +.
operator           ++   ++       ++      ++   xx   xx    xx   xx    xx      .x     +x    +x    ++   +x     xx   +.
case_monitor       +x   +x       +x      +x   xx   xx    xx   xx    xx      .x     +x    +x    +x   +x     xx   xx
call_back          +x   +x       +x      +x   xx   xx    xx   xx    xx      .x     +x    +x    +x   +x     xx   xx
expert             +x   +x       +x      +x   +x   +x    xx   xx    xx      .x     +x    +x    +x   +x     xx   xx
parts_keeper       xx   xx       xx      ..   ++   ++    xx   +x    +x      +x     xx    xx    xx   xx     +x   xx
returns            ..   ..       ..      ..   +x   ..    .x   xx    xx      .x     .x    .x    ..   .x     xx   x.
quoting            +x   +x       +x      +x   +x   +x    ++   xx    xx      .x     +x    xx    +x   xx     xx   xx
head               ++   ++       ++      ++   +x   +x    +x   ++    ++      +x     ++    ++    ++   ++     ++   +.
deputy_head        ++   ++       ++      ++   +x   +x    +x   ++    ++      +x     ++    ++    ++   ++     ++   +.
vice_president     +x   +x       +x      +x   +x   +x    +x   +x    +x      +x     +x    +x    +x   +x     +x   xx
sales_director     +x   +x       +x      +x   +x   +x    +x   +x    +x      +x     +x    +x    +x   +x     +x   xx
committee          xx   xx       xx      .x   xx   xx    xx   xx    xx      .x     xx    xx    xx   xx     xx   xx
quality            +x   +x       +x      +x   +x   +x    xx   +x    +x      +x     +x    +x    +x   +x     +x   xx
data_analyst       +x   +x       +x      +x   +x   +x    xx   +x    +x      +x     +x    +x    +x   +x     +x   xx
information        +x   +x       +x      +x   +x   +x    xx   +x    +x      +x     +x    +x    +x   +x     +x   xx
trainer            +x   +x       +x      +x   xx   xx    xx   xx    xx      .x     xx    xx    +x   xx     xx   xx
production         xx   xx       xx      .x   xx   xx    xx   xx    xx      .x     .x    .x    xx   .x     xx   xx
admin              xx   xx       xx      .x   xx   xx    xx   xx    xx      ++     xx    xx    xx   xx     xx   xx
customer           .x   .x       .x      .x   xx   xx    .x   xx    xx      .x     .x    .x    .x   .x     xx   xx
customer_leader    .x   .x       .x      .x   xx   xx    .x   xx    xx      .x     .x    .x    .x   .x     xx   xx
maker              xx   xx       xx      .x   xx   xx    xx   xx    xx      .x     xx    xx    xx   xx     xx   xx"""
"""What each role of the presets may read and write of its own unit's records; for the signs see `sign_of`."""
IN_THE_FIELD: Final = """\
role               site customer contact file part stock fees shift absence person order visit case upkeep plan import
technician         ++   +.       ++      ++   +x   ..    +x   xx    xx      .x     +x    +x    ..   .x     xx   x.
returns            ++   +.       ++      ++   +x   ..    +x   xx    xx      .x     +x    +x    ..   .x     xx   x.
crew_leader        ++   +.       ++      ++   +x   ..    +x   ..    +.      +x     ++    ++    ++   ++     ..   x."""
"""The same for somebody sent to the site, and for who leads the crew that looks after it."""


@dataclass(frozen=True)
class Records:
    """One record of every kind, all of the service department."""

    order: str
    visit: str
    case: str
    plan: str
    shift: str
    store: str
    part: str
    run: str
    batch: str


Probe = Callable[[Desk, Office, Records], Awaitable[httpx.Response]]
number = count(1)


def reading(path: str, within: Callable[[Any, Office, Records], bool] | None = None) -> Probe:
    """Read an address; of a list, whether the record is `within`."""

    async def probe(desk: Desk, office: Office, records: Records) -> httpx.Response:
        answer = await desk.get(path.format(house=office.house, of=records, person=office.house.id_of(LI_WEI)))
        if answer.status_code == 200 and within is not None and not within(answer.json(), office, records):
            return httpx.Response(404)
        return answer

    return probe


def writing(method: str, path: str, body: Callable[[Office, Records], Any]) -> Probe:
    """Try a write; an edit is tried on an older view, so that it changes nothing for those who follow."""

    async def probe(desk: Desk, office: Office, records: Records) -> httpx.Response:
        where = path.format(house=office.house, of=records, person=office.house.id_of(LI_WEI))
        return await desk.ask(method, where, json=body(office, records), headers=STALE)

    return probe


def editing(path: str) -> Probe:
    """Try an edit."""
    return writing("PATCH", path, lambda *_: {})


PROBES: Final[dict[str, tuple[Probe, Probe]]] = {
    "site": (reading("/sites/{house.site}"), editing("/sites/{house.site}")),
    "customer": (reading("/customers/{house.customer}"), editing("/customers/{house.customer}")),
    "contact": (reading("/contacts/{house.contact}"), editing("/contacts/{house.contact}")),
    "file": (
        reading("/attachments?entity=site&subject_id={house.site}"),
        writing("POST", "/attachments", lambda office, _: {
            "entity": "site", "subject_id": str(office.house.site), "sha256": "0" * 64, "kind": "photo", "name": "图",
        }),
    ),
    "part": (
        reading("/parts"),
        writing("POST", "/parts", lambda *_: {"number": f"F-{next(number)}", "name_zh": "光模块", "name_en": "SFP"}),
    ),
    "stock": (
        reading("/stock", lambda lines, _, records: records.store in {line["location_id"] for line in lines}),
        writing("POST", "/stock/movements", lambda _, records: {
            "part_id": records.part, "quantity": 1, "reason": "receipt", "to_location_id": records.store,
        }),
    ),
    "fees": (
        reading("/work-orders/{of.order}/fees"), writing("POST", "/work-orders/{of.order}/quotes", lambda *_: QUOTE),
    ),
    "shift": (reading("/shifts/{of.shift}"), editing("/shifts/{of.shift}")),
    "absence": (
        reading(f"/absences?{WINDOW}", lambda listed, office, _: str(office.house.id_of(LI_WEI)) in {
            absence["person_id"] for absence in listed
        }),
        writing("POST", "/absences", lambda office, _: {
            "person_id": str(office.house.id_of(LI_WEI)), "starts_at": (START + 30 * DAY).isoformat(),
            "ends_at": (START + 31 * DAY).isoformat(), "kind": "leave",
        }),
    ),
    "person": (reading("/people/{person}"), editing("/people/{person}")),
    "order": (reading("/work-orders/{of.order}"), editing("/work-orders/{of.order}")),
    "visit": (reading("/visits/{of.visit}"), editing("/visits/{of.visit}")),
    "case": (reading("/requests/{of.case}"), editing("/requests/{of.case}")),
    "upkeep": (reading("/maintenance/plans/{of.plan}"), editing("/maintenance/plans/{of.plan}")),
    "plan": (reading("/plans/{of.run}"), writing("POST", "/plans/{of.run}/publish", lambda *_: {})),
    "import": (reading("/imports"), writing("POST", "/imports/{of.batch}/undo", lambda *_: None)),
}  # fmt: skip
"""Reading and writing one record of every kind."""


async def records_of(office: Office) -> Records:
    """Make the records the furnished house does not have."""
    house, clerk, dispatcher = office.house, await office.sign_in(HE_LI), await office.sign_in(WANG_FANG)
    case = await report(clerk, office)
    order = await opened(dispatcher, office)
    body = {"site_id": str(house.site), "kind": "inspect_m", "starts_on": "2026-01-01"}
    upkeep = ok(await dispatcher.post("/maintenance/plans", body), 201)
    part = Part(
        number="F-0", name_zh="球罩", name_en="Dome", measure="piece", price_fen=0, serialised=False, active=True
    )
    store = StockLocation(unit_id=house.service, kind="warehouse", name="总库")
    run = PlanRun(
        unit_id=house.service, horizon_starts_at=START, horizon_ends_at=START + DAY, seed=1, seconds=1.0,
        state="failed", progress={}, cancel_requested=False, requested_at=START, violations=[],
    )  # fmt: skip
    batch = ImportBatch(
        started_at=START, person_id=house.id_of(HE_LI), source_name="x", source_sha256="0" * 64, mapping_name="x",
        created_count=0, changed_count=0, refused_count=0,
    )  # fmt: skip
    async with office.database.write() as session:
        shift = await add_shift(session, house.id_of(LI_WEI), START)
        away = Absence(person_id=house.id_of(LI_WEI), starts_at=START + DAY, ends_at=START + 2 * DAY, kind="ill")
        await add_all(session, part, store, run, batch, away)
        await add_all(session, StockMovement(
            part_id=part.id, to_location_id=store.id, quantity=3, reason="receipt", happened_at=START, posted_at=START,
            went_negative=False,
        ))  # fmt: skip
    return Records(
        order=order["order"]["id"], visit=order["visits"][0]["id"], case=case["id"], plan=upkeep["id"],
        shift=str(shift.id), store=str(store.id), part=str(part.id), run=str(run.id), batch=str(batch.id),
    )  # fmt: skip


async def somebody(office: Office, role: str, unit: str) -> tuple[UUID, Desk]:
    """Let somebody new with a role in a unit sit down; nobody types a password sixty times."""
    house = office.house
    person = Person(
        unit_id=house.unit(unit), employee_number=f"X{next(number):03}", name=role, language="zh", external=False,
        active=True,
    )  # fmt: skip
    opened_session = SignInSession(
        person_id=person.id, next_hashes=[], address="", started_at=START, last_used_at=START, expires_at=START + DAY
    )  # fmt: skip
    grant = RoleGrant(person_id=person.id, role_id=house.roles[role], unit_id=house.unit(unit), valid_from=LONG_AGO)
    async with office.database.write() as session:
        await add_all(session, person)
        await add_all(session, grant, opened_session)
    token = issue_access_token(
        read_token_key(office.settings.data_dir), person_id=person.id, session_id=opened_session.id, now=START,
        lifetime=DAY,
    )  # fmt: skip
    return person.id, Desk(office.client, Persona(role, person.employee_number, "", role), {"access_token": token})


def sign_of(answer: httpx.Response) -> str:
    """`x`: the role never may; `.`: not this record, as if there were none; `+`: may."""
    assert answer.status_code < 500, answer.text
    return {403: "x", 404: ".", 422: "."}.get(answer.status_code, "+")


async def row_of(desk: Desk, office: Office, records: Records, never: str = "") -> str:
    """What somebody may do: two signs for each kind of record, for reading and for writing it.

    What the role may `never` do, by a row found before, is not asked again: no unit is looked at for that.
    """
    known = never.split() or [""] * len(PROBES)
    row: list[str] = []
    for (read, write), before in zip(PROBES.values(), known, strict=True):
        signs = "x" if before[:1] == "x" else sign_of(await read(desk, office, records))
        signs += "x" if before[1:] == "x" else sign_of(await write(desk, office, records))
        row.append(signs)
    return " ".join(row)


async def test_every_role_reaches_what_the_presets_say_and_nothing_of_another_unit(sqlite_office: Office) -> None:
    office = sqlite_office
    records, (kinds, expected) = await records_of(office), table(ROLES)
    assert (kinds, expected.keys()) == (list(PROBES), office.house.roles.keys())
    ours = {role: await row_of((await somebody(office, role, "service"))[1], office, records) for role in expected}
    assert ours == expected
    theirs = {
        role: await row_of((await somebody(office, role, "north"))[1], office, records, never=row)
        for role, row in expected.items()
    }
    assert theirs == {role: elsewhere(row) for role, row in expected.items()}


def table(text: str) -> tuple[list[str], dict[str, str]]:
    """Read a table: the kinds of record, and the signs of each role."""
    (_, *kinds), *rows = [line.split() for line in text.splitlines()]
    return kinds, {role: " ".join(cells) for role, *cells in rows}


def elsewhere(row: str) -> str:
    """What is left to a role in another unit: the catalogue of parts, which is everybody's, and the own imports."""
    shared = {list(PROBES).index("part"), list(PROBES).index("import")}
    return " ".join(
        cell if place in shared else cell.replace("+", ".") for place, cell in enumerate(row.split())
    )  # fmt: skip


async def test_work_leads_those_in_the_field_to_what_belongs_to_it(sqlite_office: Office) -> None:
    office = sqlite_office
    records, dispatcher = await records_of(office), await office.sign_in(WANG_FANG)
    found: dict[str, str] = {}
    for role in ("technician", "returns", "crew_leader"):
        person_id, desk = await somebody(office, role, "service")
        if role == "crew_leader":
            member = CrewMember(crew_id=office.house.crew, person_id=person_id, leads=True, valid_from=LONG_AGO)
            async with office.database.write() as session:
                await add_all(session, member)
        else:
            sent = {"person_id": str(person_id), "leads": False}
            ok(await change(dispatcher, records.visit, "assign", sent))
        found[role] = await row_of(desk, office, records)
    kinds, expected = table(IN_THE_FIELD)
    assert (kinds, found) == (list(PROBES), expected)
