"""What every answer keeps: problem details for whatever fails, whole pages, creations once, edits on what was seen."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar, get, post
from litestar.di import NamedDependency
from sqlalchemy import insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from backend.app import _dependencies
from backend.core.changes import unstamped
from backend.core.clock import SystemClock
from backend.core.errors import FAULTS, INVALID, NOT_FOUND, Fault, Finding, Problem
from backend.core.etags import changed_fields, etag_of
from backend.core.ids import new_id
from backend.core.once import REMEMBERED, Creation, forget_old_creations
from backend.core.paging import PAGE_MAXIMUM, PageRequest, _cursor
from backend.core.problems import PROBLEM_HANDLERS, answer_database
from backend.core.sessions import READERS, Database
from backend.customers.models import Customer
from backend.devices.hints import HintBoard
from backend.dispatch.desk import Desk
from backend.people.models import Skill
from backend.settings import Settings
from tests.make import Office
from tests.personas import HE_LI, LI_WEI, WANG_FANG

FOUR = {"code", "detail", "detail_zh", "status", "title", "todo", "todo_zh", "type"}


def code_of(answer: httpx.Response) -> str:
    assert answer.headers["Content-Type"] == "application/problem+json", answer.text
    assert answer.json().keys() >= FOUR
    return answer.json()["code"]


# --- problems ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS.values(), ids=lambda fault: fault.code)
def test_every_fault_is_said_in_both_languages_with_what_to_do(fault: Fault) -> None:
    assert 400 <= fault.status < 600
    assert fault.code == fault.code.lower()
    for sentence in (fault.zh, fault.todo_zh):
        assert any("\u4e00" <= sign <= "\u9fff" for sign in sentence), sentence
    for sentence in (fault.en, fault.todo_en):
        assert not any("\u4e00" <= sign <= "\u9fff" for sign in sentence), sentence
        assert sentence[0].isupper() or sentence[0] in "{`", sentence
    assert "{" not in fault.title


def test_two_faults_cannot_share_a_code() -> None:
    with pytest.raises(ValueError, match="not_found"):
        Fault("not_found", 410, "没了。", "Gone.", "不必再试。", "Do not try again.")


def test_facts_are_told_in_the_sentence_and_beside_it() -> None:
    fault = Fault("test_only", 409, "还剩 {left} 件。", "{left} are left.", "请减少。", "Take fewer.")
    FAULTS.pop("test_only")
    details = Problem(fault, Finding("count", "太多", "too many"), left=3).details()
    assert (details.detail, details.detail_zh, details.facts) == ("3 are left.", "还剩 3 件。", {"left": 3})
    assert (details.type, details.title) == ("urn:paigong:problem:test_only", "… are left.")
    assert details.findings[0].field == "count"


@pytest.mark.parametrize(
    ("method", "path", "content", "headers", "status", "code"),
    [
        ("GET", "/nothing", b"", {}, 404, "not_found"), ("PUT", "/customers", b"", {}, 405, "method_not_allowed"),
        ("POST", "/customers", b"{", {"Content-Type": "application/json"}, 400, "malformed"),
        ("POST", "/customers", b"\xff\xfe", {"Content-Type": "application/json"}, 400, "malformed"),
        ("POST", "/customers", b'{"name": "\xb1\xb1\xba\xfe"}', {"Content-Type": "application/json"}, 400, "malformed"),
        ("POST", "/customers", b"[]", {"Content-Type": "application/json"}, 422, "invalid"),
        ("POST", "/customers", b"", {"Content-Type": "application/json"}, 422, "invalid"),
        ("POST", "/customers", b" " * (11 * 1024 * 1024), {"Content-Type": "application/json"}, 413, "too_large"),
        ("POST", "/customers", b"[" * 100_000, {"Content-Type": "application/json"}, 422, "invalid"),
        ("GET", "/customers/not-an-id", b"", {}, 404, "not_found"),
    ],
)  # fmt: skip
async def test_whatever_is_sent_gets_problem_details(  # noqa: PLR0917 - a table's columns
    sqlite_office: Office, method: str, path: str, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    desk = await sqlite_office.sign_in(HE_LI)
    answer = await desk.ask(method, path, content=content, headers=headers)
    assert (answer.status_code, code_of(answer)) == (status, code)


class Small(msgspec.Struct):
    """A view."""

    name: str


@pytest.fixture
async def small_app(database_url: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The house's dependencies and handlers around three handlers that misbehave."""
    database = Database(database_url)
    settings = Settings(mode="test", data_dir=tmp_path / "data", database=database_url)

    @post("/refused-at-commit")
    async def refused_at_commit(write: NamedDependency[AsyncSession]) -> Small:
        await write.execute(insert(unstamped).values(tx=5, entity="nothing", row_id=new_id()))
        return Small(name="never stored")

    @post("/fails-after-writing")
    async def fails_after_writing(write: NamedDependency[AsyncSession]) -> Small:
        write.add(Skill(key="half", name_zh="半", name_en="Half", needs_certificate=False))
        await write.flush()
        msg = "secret insides"
        raise KeyError(msg)

    @get("/writes-while-reading")
    async def writes_while_reading(read: NamedDependency[AsyncSession]) -> Small:
        await read.execute(text("UPDATE skill SET name_en = 'x'"))
        return Small(name="never")

    app = Litestar(
        [refused_at_commit, fails_after_writing, writes_while_reading],
        dependencies=_dependencies(settings, database, HintBoard(database, SystemClock().now), Desk(4096)),
        exception_handlers=PROBLEM_HANDLERS,
    )  # fmt: skip
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://small.test") as client:  # pyright: ignore[reportArgumentType]
        yield client
    await database.close()


async def test_what_the_database_refuses_at_commit_was_never_answered_as_stored(
    small_app: httpx.AsyncClient,
) -> None:
    answer = await small_app.post("/refused-at-commit")
    assert (answer.status_code, code_of(answer)) == (409, "constraint")


async def test_an_unexpected_error_takes_everything_back_and_tells_nothing_of_our_insides(
    small_app: httpx.AsyncClient, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = await small_app.post("/fails-after-writing")
    assert (answer.status_code, code_of(answer)) == (500, "unexpected")
    assert "secret insides" not in answer.text
    assert "secret insides" in caplog.text, "the operator sees it"
    database = Database(database_url)
    async with database.read() as session:
        assert (await session.execute(select(Skill.key))).all() == []
    await database.close()


async def test_a_read_cannot_write(small_app: httpx.AsyncClient) -> None:
    answer = await small_app.get("/writes-while-reading")
    assert answer.status_code in {500, 503}


async def test_two_who_wait_for_each_other_are_told_to_try_again(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    async with database.write() as session:
        for key in ("one", "two"):
            session.add(Skill(key=key, name_zh=key, name_en=key, needs_certificate=False))
    locked = asyncio.Barrier(2)

    async def lock(*keys: str) -> int:
        try:
            async with database.write() as session:
                for key in keys:
                    await session.execute(select(Skill).where(Skill.key == key).with_for_update())
                    await locked.wait()
        except DBAPIError as error:
            await locked.wait()
            asked: Any = None
            answer = answer_database(asked, error)
            assert msgspec.json.decode(answer.content)["code"] == "busy"
            assert int(answer.headers["Retry-After"]) > 0
            return answer.status_code or 0
        return 200

    async with asyncio.timeout(20):
        assert sorted(await asyncio.gather(lock("one", "two"), lock("two", "one"))) == [200, 503]
    await database.close()


async def test_requests_refused_by_a_dependency_leave_no_connection_behind(office: Office) -> None:
    """More of them than there are connections, at once; the next request is answered as ever."""
    desk = await office.sign_in(WANG_FANG)
    for _ in range(3):
        bad = [desk.get("/people?limit=0") for _ in range(READERS)]
        bad += [desk.post("/crews", {}, headers={"Idempotency-Key": ""}) for _ in range(READERS)]
        assert {answer.status_code for answer in await asyncio.gather(*bad)} <= {400, 422}
    assert (await desk.get("/people")).status_code == 200
    assert (await desk.post("/crews", {"unit_id": str(office.house.service), "name": "三组"})).status_code == 201


# --- pages ------------------------------------------------------------------------------------------------------------


async def test_pages_stay_right_while_rows_are_added(office: Office) -> None:
    desk = await office.sign_in(HE_LI)

    async def add(number: int) -> None:
        body = {"unit_id": str(office.house.service), "name": f"客户 {number}"}
        assert (await desk.post("/customers", body)).status_code == 201

    for number in range(7):
        await add(number)
    seen, cursor = list[str](), None
    while True:
        page = (await desk.get("/customers", params={"limit": 3} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [customer["name"] for customer in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
        await add(100 + len(seen))
    assert seen == [*[f"客户 {number}" for number in reversed(range(7))], "云桥物业"]


@given(st.uuids())
def test_a_cursor_leads_back_to_its_key(key: Any) -> None:
    assert PageRequest(cursor=_cursor(key)).after == key


@given(st.text(max_size=30))
def test_no_text_is_a_cursor_by_accident_or_breaks_the_reader(cursor: str) -> None:
    fault = None
    try:
        _ = PageRequest(cursor=cursor).after
    except Problem as problem:
        fault = problem.fault
    assert fault in {None, INVALID}


@pytest.mark.parametrize("limit", ["0", "-1", str(PAGE_MAXIMUM + 1), "x", "", "1.5", "9" * 5000, "٣٣٣"])
def test_a_page_has_a_sensible_size(limit: str) -> None:
    with pytest.raises(Problem):
        _ = PageRequest(rows=limit).limit


# --- creating once, editing on what was seen --------------------------------------------------------------------------


async def test_a_creation_sent_again_gets_the_same_answer_and_creates_nothing(office: Office) -> None:
    desk, other = await office.sign_in(HE_LI), await office.sign_in(WANG_FANG)
    body = {"unit_id": str(office.house.service), "name": "只建一次"}
    key = {"Idempotency-Key": "k-1"}
    answers = await asyncio.gather(*(desk.post("/customers", body, headers=key) for _ in range(4)))
    assert {(answer.status_code, answer.text) for answer in answers} == {(201, answers[0].text)}
    assert (await other.post("/customers", body, headers=key)).json()["id"] != answers[0].json()["id"]
    assert code_of(await desk.post("/customers", body | {"name": "别的"}, headers=key)) == "idempotency_key_reused"
    assert code_of(await desk.post("/crews", body, headers=key)) in {"forbidden", "idempotency_key_reused"}
    for bad in ("", "x" * 101):
        assert code_of(await desk.post("/customers", body, headers={"Idempotency-Key": bad})) == (
            "idempotency_key_missing"
        )
    async with office.database.read() as session:
        names = (await session.execute(select(Customer.name))).scalars().all()
    assert names.count("只建一次") == 2


async def test_a_creation_that_failed_may_be_tried_again_under_its_key(office: Office) -> None:
    desk, key = await office.sign_in(HE_LI), {"Idempotency-Key": "k-2"}
    body = {"unit_id": str(new_id()), "name": "湖滨小学"}
    assert (await desk.post("/customers", body, headers=key)).status_code == 422
    right = body | {"unit_id": str(office.house.service)}
    assert (await desk.post("/customers", right, headers=key)).status_code == 201


async def test_old_answers_are_forgotten(office: Office) -> None:
    desk = await office.sign_in(HE_LI)
    await desk.post("/customers", {"unit_id": str(office.house.service), "name": "湖滨小学"})
    async with office.database.write() as session:
        assert await forget_old_creations(session, office.now + REMEMBERED) == 0
        assert await forget_old_creations(session, office.now + REMEMBERED * 2) == 1
        assert (await session.execute(select(Creation))).first() is None


async def test_two_who_edit_the_same_do_not_overwrite_each_other(office: Office) -> None:
    one, other = await office.sign_in(HE_LI), await office.sign_in(WANG_FANG)
    path = f"/customers/{office.house.customer}"
    seen = (await one.get(path)).headers["ETag"]
    both = await asyncio.gather(*(
        desk.ask("PATCH", path, json={"name": desk.persona.name}, headers={"If-Match": seen}) for desk in (one, other)
    ))  # fmt: skip
    assert sorted(answer.status_code for answer in both) == [200, 412]
    weak = await one.ask("PATCH", path, json={"name": "x"}, headers={"If-Match": 'W/"*"'})
    assert code_of(weak) == "stale"
    (newest,) = [answer.headers["ETag"] for answer in both if answer.status_code == 200]
    listed = await one.ask("PATCH", path, json={"name": "云桥"}, headers={"If-Match": f'"old", {newest}'})
    assert listed.status_code == 200


names_ = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.none() | st.integers() | st.text(max_size=3))


@given(names_, names_)
def test_only_what_differs_is_audited(before: dict[str, Any], after: dict[str, Any]) -> None:
    was, became = changed_fields(before, after)
    assert became == {name: value for name, value in after.items() if before.get(name) != value}
    assert was == {name: before.get(name) for name in became}


@given(st.text(max_size=5), st.text(max_size=5))
def test_an_etag_is_the_same_exactly_for_the_same_view(one: str, other: str) -> None:
    assert (etag_of(Small(name=one)) == etag_of(Small(name=other))) is (one == other)


async def test_a_deactivated_role_or_foreign_record_is_no_different_from_none(sqlite_office: Office) -> None:
    desk = await sqlite_office.sign_in(LI_WEI)
    foreign = await desk.get(f"/sites/{sqlite_office.house.north_site}")
    missing = await desk.get(f"/sites/{new_id()}")
    assert (foreign.status_code, foreign.json()) == (missing.status_code, missing.json())
    assert code_of(foreign) == NOT_FOUND.code
