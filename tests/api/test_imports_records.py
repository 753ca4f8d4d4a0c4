"""What each entity asks of its rows; the examples of the docs; runs that are interrupted; large files."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.core.audit import Actor
from backend.core.errors import Problem
from backend.core.sessions import Database
from backend.imports import runs
from backend.imports.mapping import parse_mapping
from backend.imports.runs import ImportOrder, run_import
from backend.imports.schemas import ImportResult
from tests.databases import Databases
from tests.importing import ImportDesk
from tests.make import START, furnish

EXAMPLES = Path(__file__).parents[2] / "docs/examples/transit-outages"


@pytest.fixture
def desk(databases: Databases, tmp_path: Path) -> ImportDesk:
    return ImportDesk(databases.sqlite(tmp_path / "furnished.db", furnish=furnish), tmp_path)


PEOPLE = """工号,姓名,手机,邮箱,角色,技能,证书,经度,纬度
E1,陈明,138 1111 0001,Chen.Ming@Paigong.example,technician,elevator,CERT-1,117.01,31.02
E2,刘洋,138 1111 0002,,technician,cctv,,,
E3,重号,13800000001,,technician,cctv,,,
T001,李伟二,138 1111 0003,,technician,cctv,,,
E4,无角色,138 1111 0004,,magician,cctv,,,
"""
PEOPLE_MAPPING = """
datum = "wgs84"
[[record]]
entity = "person"
external_id = "person-{工号}"
[record.fields]
unit = { value = "售后服务部" }
employee_number = "工号"
name = "姓名"
phone = "手机"
email = "邮箱"
home_lat = "纬度"
home_lon = "经度"
[[record]]
entity = "role_grant"
[record.fields]
person = { external_id = "person-{工号}" }
role = "角色"
unit = { value = "售后服务部" }
[[record]]
entity = "person_skill"
[record.fields]
person = { external_id = "person-{工号}" }
skill = "技能"
certificate_number = "证书"
"""


def test_people_come_with_roles_and_skills_and_keep_their_numbers_to_themselves(desk: ImportDesk) -> None:
    told = desk.load(PEOPLE, PEOPLE_MAPPING, code=3)
    assert "第 4 行 / line 4: 手机: +8613800000001 属于另一条记录" in told
    assert "第 5 行 / line 5: 工号: T001 属于另一条记录 / T001 belongs to another record" in told
    assert "第 6 行 / line 6: 角色: 没有 role magician / there is no role magician" in told
    (chen,) = desk.ask("SELECT * FROM person WHERE employee_number = 'E1'")
    assert (chen["email"], chen["phone"], chen["active"]) == ("chen.ming@paigong.example", "+8613811110001", 1)
    assert chen["password_hash"] is None, "nobody signs in before a password is set"
    granted = "SELECT count(*) FROM role_grant JOIN person ON person.id = person_id WHERE employee_number LIKE 'E%'"
    assert desk.one(granted) == 2
    assert desk.ask("SELECT certificate_number FROM person_skill WHERE certificate_number = 'CERT-1'")
    again = desk.load(PEOPLE, PEOPLE_MAPPING, code=3)
    for entity in ("person", "role_grant", "person_skill"):
        assert f"{entity}: 新建 / created 0, 修改 / changed 0, 未变 / unchanged 2" in again


CONTRACTS = """合同号,客户,开始,维保到,配件号,配件,英文,单价
HT-1,云桥物业,2026-01-01,2027-12-31,P-1,硬盘,Disk,399.90
HT-2,云桥物业,2026-01-01,2025-12-31,P-2,电源,Power supply,0.01
"""
CONTRACT_MAPPING = """
[[record]]
entity = "part"
external_id = "{配件号}"
[record.fields]
number = "配件号"
name_zh = "配件"
name_en = "英文"
price_fen = { column = "单价", times = 100 }
[[record]]
entity = "service_contract"
external_id = "{合同号}"
[record.fields]
number = "合同号"
customer = { value = "C-1" }
starts_on = "开始"
maintenance_ends_on = "维保到"
[[record]]
entity = "contract_site"
[record.fields]
contract = { external_id = "{合同号}" }
site = { value = "S-1" }
valid_from_on = "开始"
"""


def test_contracts_pin_the_standard_clocks_and_prices_are_kept_in_fen(desk: ImportDesk) -> None:
    told = desk.load(CONTRACTS, CONTRACT_MAPPING, code=3)
    assert "service_contract HT-2: maintenance_ends_on 早于 starts_on" in told
    assert desk.ask("SELECT number, price_fen FROM part WHERE external_id IS NOT NULL") == [
        {"number": "P-1", "price_fen": 39990}
    ]
    (row,) = desk.ask(
        "SELECT policy.key, contract.coverage FROM service_contract AS contract"
        " JOIN clock_policy AS policy ON policy.id = clock_policy_id JOIN contract_site ON contract_id = contract.id"
    )
    assert (row["key"], row["coverage"]) == ("std", "{}")


PLANS = """编号,设备,规则,上次
1,camera,FREQ=MONTHLY,2026-02-20
2,camera,每月一次,2026-02-20
3,camera;drone,FREQ=MONTHLY,
"""
PLAN_MAPPING = """
[[record]]
entity = "maintenance_plan"
external_id = "plan-{编号}"
[record.fields]
site = { value = "S-1" }
kind = { value = "inspect_m" }
template_version = { value = "inspect_m" }
asset_types = "设备"
recurrence = "规则"
starts_on = { value = "2026-01-05" }
last_done_on = "上次"
go_live_on = { value = "2026-03-01" }
duration_minutes = { value = 45 }
"""


def test_periodic_care_comes_with_the_day_it_was_last_done(desk: ImportDesk) -> None:
    told = desk.load(PLANS, PLAN_MAPPING, code=3)
    assert "“每月一次”不是可用的周期规则 / '每月一次' is not a rule a plan can follow" in told
    assert "没有 asset_type drone" in told
    (plan,) = desk.ask("SELECT * FROM maintenance_plan")
    assert (plan["last_done_on"], plan["go_live_on"], plan["active"]) == ("2026-02-20", "2026-03-01", 1)
    assert plan["unit_id"] == desk.one("SELECT unit_id FROM site WHERE number = 'S-1'")


def test_layouts_hang_together(desk: ImportDesk) -> None:
    mapping = """
    [[record]]
    entity = "position"
    external_id = "{位}"
    [record.fields]
    site = "现场"
    name = "位"
    parent = { external_id = "{上级}" }
    [[record]]
    entity = "asset_placement"
    only_if = "设备"
    [record.fields]
    asset = "设备"
    position = { external_id = "{位}" }
    installed_at = { column = "装", zone = "Asia/Shanghai" }
    """
    rows = "位,现场,上级,设备,装\n1F,S-1,,,\n1F-A,S-1,1F,LIFT-0001,2025-05-01\n2F,S-2,,LIFT-0001,\n3F,S-1,,CAM-0001,\n"
    told = desk.load(rows, mapping, code=3)
    assert "第 4 行 / line 4: asset_placement: 设备和点位不在同一现场" in told
    assert "第 5 行 / line 5: asset_placement: 设备已装在另一点位 / the asset stands at another position" in told
    (place,) = desk.ask(
        "SELECT child.name, parent.name AS upper FROM position AS child"
        " JOIN position AS parent ON parent.id = child.parent_id"
    )
    assert place == {"name": "1F-A", "upper": "1F"}


def test_names_that_mean_several_records_are_not_guessed(desk: ImportDesk) -> None:
    desk.write("UPDATE asset SET serial = 'SAME'")
    mapping = """
    [[record]]
    entity = "service_request"
    external_id = "{n}"
    [record.fields]
    asset = "serial"
    received_at = { value = "2026-03-01T08:00:00Z" }
    symptom = { value = "坏了" }
    """
    told = desk.load("n,serial\n1,SAME\n2,NONE\n", mapping, code=3)
    assert "serial: 有 2 条 asset SAME,无法确定 / 2 of asset SAME: which one is meant?" in told
    assert "serial: 没有 asset NONE / there is no asset NONE" in told


def test_numbers_the_system_gives_are_not_taken_from_a_file(desk: ImportDesk) -> None:
    mapping = """
    [[record]]
    entity = "customer"
    external_id = "{n}"
    [record.fields]
    unit = { value = "售后服务部" }
    number = "n"
    name = "name"
    """
    told = desk.load("n,name\nC-77,甲\nKH-1,乙\n", mapping, code=3)
    assert "第 2 行 / line 2: n: 这种编号由系统给出" in told
    assert desk.one("SELECT name FROM customer WHERE number = 'KH-1'") == "乙"


def test_what_was_merged_is_followed_and_not_changed(desk: ImportDesk) -> None:
    customers = """
    [[record]]
    entity = "customer"
    external_id = "{n}"
    [record.fields]
    unit = { value = "售后服务部" }
    name = "name"
    """
    desk.load("n,name\nA,甲公司\nB,甲有限公司\n", customers)
    into = "(SELECT id FROM customer WHERE external_id = 'A')"
    desk.write(f"UPDATE customer SET merged_into_id = {into} WHERE external_id = 'B'")
    contacts = """
    [[record]]
    entity = "contact"
    external_id = "{n}-{name}"
    [record.fields]
    customer = { external_id = "{n}" }
    name = "name"
    """
    desk.load("n,name\nB,赵敏\n", contacts)
    joined = (
        "SELECT customer.external_id FROM contact JOIN customer ON customer.id = customer_id"
        " WHERE contact.external_id = 'B-赵敏'"
    )
    assert desk.one(joined) == "A"
    told = desk.load("n,name\nB,乙公司\n", customers)
    assert "customer: 新建 / created 0, 修改 / changed 0, 未变 / unchanged 1" in told


def test_records_may_be_only_changed_or_only_created(desk: ImportDesk) -> None:
    mapping = """
    [[record]]
    entity = "customer"
    external_id = "{n}"
    writes = "WRITES"
    [record.fields]
    unit = { value = "售后服务部" }
    name = "name"
    """
    told = desk.load("n,name\nA,甲\n", mapping.replace("WRITES", "change"), code=3)
    assert "customer A: 没有这条记录,无法修改 / there is no such record to change" in told
    desk.load("n,name\nA,甲\n", mapping.replace("WRITES", "create"))
    desk.load("n,name\nA,乙\n", mapping.replace("WRITES", "create"))
    assert desk.one("SELECT name FROM customer WHERE external_id = 'A'") == "甲"
    desk.load("n,name\nA,乙\n", mapping.replace("WRITES", "change"))
    assert desk.one("SELECT name FROM customer WHERE external_id = 'A'") == "乙"


# --- the examples of the docs -----------------------------------------------------------------------------------------

UNITS = """unit_id,unit_type,station_code,station_name,station_desc,unit_desc
Z01E01ESCALATOR,ESCALATOR,Z01,Harbour,North Entrance,Escalator between street and mezzanine
Z01X02ELEVATOR,ELEVATOR,Z01,HARBOUR,South Entrance,Elevator between mezzanine and platform
Z02E01ESCALATOR,ESCALATOR,Z02,Lakeside,Lake Entrance,Escalator between mezzanine and platform
"""
OUTAGE = "unit_id,unit_type,station_code,station_name,lat,lon,opened_utc,restored_utc,hours,first_category,symptom_path"
WORK_ORDERS = f"""{OUTAGE}
Z01E01ESCALATOR,ESCALATOR,Z01,Harbour,38.91,-77.03,2026-02-01T05:03:32Z,2026-02-01T09:14:13Z,4.18,BROKEN,Service Call
Z02E01ESCALATOR,ESCALATOR,Z02,Lakeside,38.92,-77.04,2026-02-01T06:03:32Z,2026-02-01T07:00:00Z,0.94,INSPECTION,Walker
Z09E01ESCALATOR,ESCALATOR,Z09,Nowhere,38.93,-77.05,2026-02-01T07:03:32Z,2026-02-01T08:00:00Z,0.94,BROKEN,Service Call
"""


def test_the_outages_example_reads_files_of_that_shape(desk: ImportDesk) -> None:
    units = desk.run("import", desk.file("units.csv", UNITS), "--mapping", str(EXAMPLES / "units.toml"))
    assert "3 行 / rows, 3 合格 / good" in units
    for entity, created in (("customer", 1), ("site", 2), ("position", 3), ("asset", 3), ("asset_placement", 3)):
        assert f"{entity}: 新建 / created {created}" in units
    orders = str(EXAMPLES / "work_orders.toml")
    told = desk.run("import", desk.file("work_orders.csv", WORK_ORDERS), "--mapping", orders, code=3)
    assert "site: 新建 / created 0, 修改 / changed 2" in told
    assert "第 4 行 / line 4: site station-Z09: 没有这条记录,无法修改" in told
    (site,) = desk.ask("SELECT * FROM site WHERE external_id = 'station-Z01'")
    assert (site["name"], site["lat"], site["lon"], site["time_zone"]) == ("Harbour", 38.91, -77.03, "America/New_York")
    cases = desk.ask("SELECT priority, symptom, channel, received_at FROM service_request ORDER BY received_at")
    assert [(case["priority"], case["symptom"]) for case in cases] == [
        ("P2", "BROKEN: Service Call"), ("P3", "INSPECTION: Walker"),
    ]  # fmt: skip
    assert str(cases[0]["received_at"]).startswith("2026-02-01 05:03:32")
    again = desk.run("import", desk.file("units.csv", UNITS), "--mapping", str(EXAMPLES / "units.toml"))
    assert "site: 新建 / created 0, 修改 / changed 0, 未变 / unchanged 2" in again


# --- portions and interruptions ---------------------------------------------------------------------------------------

NAMES = parse_mapping(
    b"""
[[record]]
entity = "customer"
external_id = "{n}"
[record.fields]
unit = { value = "Service department" }
name = "name"
"""
)


def customers(desk: ImportDesk, count: int) -> Path:
    return Path(desk.file("many.csv", "n,name\n" + "".join(f"K{n},客户{n}\n" for n in range(count))))


def run(desk: ImportDesk, order: ImportOrder, progress: Callable[[str, int, int], None] | None = None) -> ImportResult:
    async def go() -> ImportResult:
        database = Database(desk.url)
        try:
            told = progress or (lambda _what, _done, _total: None)
            return await run_import(database, order, now=START, progress=told)
        finally:
            await database.close()

    return asyncio.run(go())


def test_a_run_goes_through_in_portions_and_progress_is_told(desk: ImportDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "PORTION_ROWS_MAXIMUM", 4)
    seen: list[tuple[str, int, int]] = []
    result = run(desk, ImportOrder(customers(desk, 10), NAMES, Actor()), lambda *told: seen.append(told))
    assert seen == [("rows", 4, 10), ("rows", 4, 10), ("rows", 2, 10)]
    assert (result.rows, result.created, result.refused) == (10, 10, [])
    versions = "SELECT count(DISTINCT v) FROM change JOIN customer ON customer.id = row_id WHERE external_id LIKE 'K%'"
    assert desk.one(versions) == 3, "each portion has its own place in the order of commits"


class Stopped(Exception):
    """Somebody pressed Ctrl-C."""


def test_a_run_that_is_stopped_keeps_what_it_committed_and_the_next_goes_on(
    desk: ImportDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "PORTION_ROWS_MAXIMUM", 4)
    left = iter([True, False])

    def stop(_what: str, _done: int, _total: int) -> None:
        if not next(left):
            raise Stopped

    order = ImportOrder(customers(desk, 10), NAMES, Actor())
    with pytest.raises(Stopped):
        run(desk, order, stop)
    (batch,) = desk.ask("SELECT created_count FROM import_batch")
    assert batch["created_count"] == desk.one("SELECT count(*) FROM customer WHERE external_id LIKE 'K%'") == 8
    result = run(desk, ImportOrder(order.path, NAMES, Actor()))
    assert (result.counts["customer"].created, result.counts["customer"].unchanged) == (2, 8)
    assert "8 removed" in desk.run("import-undo", str(order.batch_id))


def test_an_atomic_run_has_a_largest_size(desk: ImportDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "ATOMIC_ROWS_MAXIMUM", 9)
    with pytest.raises(Problem) as refused:
        run(desk, ImportOrder(customers(desk, 10), NAMES, Actor(), all_or_nothing=True))
    assert refused.value.findings[0].en == "an all-or-nothing import takes at most 9 rows"
    assert desk.one("SELECT count(*) FROM import_batch") == 0


def test_the_same_record_on_rows_of_different_portions_is_one_record(
    desk: ImportDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "PORTION_ROWS_MAXIMUM", 1)
    path = Path(desk.file("many.csv", "n,name\nA,甲\nA,甲\nA,乙\n"))
    for dry_run in (True, False):
        result = run(desk, ImportOrder(path, NAMES, Actor(), dry_run=dry_run))
        assert result.counts["customer"].created == 1
        assert [refusal.line for refusal in result.refused] == [4]
        assert result.refused[0].reasons[0].en == "line 2 says something else of the same record"


# --- what does not fit together ---------------------------------------------------------------------------------------

HEAD = 'datum = "wgs84"\n'


def record(entity: str, fields: str, head: str = 'external_id = "{n}"') -> str:
    return f'[[record]]\nentity = "{entity}"\n{head}\n[record.fields]\n{fields}\n'


THERE = "".join(
    (
        record("service_contract", 'number = "n"\ncustomer = { value = "C-1" }\nstarts_on = { value = "2026-01-01" }'),
        record("contact", 'customer = { value = "C-1" }\nname = "n"', 'external_id = "zhao"'),
        record(
            "asset",
            'site = { value = "S-1" }\nasset_type = { value = "camera" }\nname = "n"',
            'external_id = "known"',
        ),
    )
)
PLACE = 'unit = { value = "售后服务部" }\ncustomer = { value = "C-1" }\nname = "name"\nlat = "lat"\nlon = "lon"'
PLAN = """
site = { value = "S-1" }
kind = { value = "inspect_m" }
template_version = { value = "inspect_m" }
recurrence = { value = "FREQ=MONTHLY" }
duration_minutes = { value = 30 }
starts_on = "from"
ends_on = "until"
"""
COVERED = 'contract = { value = "HT-9" }\nsite = { value = "S-2" }\nvalid_from_on = "from"'
ASKED_FOR = 'contact = { external_id = "zhao" }\nprimary = { value = true }\n'
CASE = """
site = { value = "S-2" }
contact = { external_id = "zhao" }
symptom = { value = "x" }
received_at = { value = "2026-03-01T00:00:00Z" }
"""
MISFITS = [
    (record("site", PLACE), "n,name,lat,lon\n1,a,0,0\n", "the coordinates are 0, 0, which is no place of ours"),
    (record("site", PLACE), f"n,name,lat,lon\n1,{'名' * 201},1,1\n", "longer than 200 characters"),
    (record("site", PLACE), f"n,name,lat,lon\n{'1' * 121},a,1,1\n", "longer than 120 characters"),
    (record("site", PLACE), "n,name,lat,lon,\n1,a,1,1,1\n", "1 cells more than there are headings"),
    (record("contract_site", COVERED, ""), "n,from\n1,2026-01-01\n", "not a site of the contract's customer"),
    (record("maintenance_plan", PLAN), "n,from,until\n1,1926-01-01,\n", "starts_on is outside 1990-01-01"),
    (record("maintenance_plan", PLAN), "n,from,until\n1,2026-01-02,2026-01-01\n", "ends_on is before starts_on"),
    (
        record("site_contact", 'site = { value = "S-2" }\n' + ASKED_FOR, ""),
        "n\n1\n",
        "the contact is not one of the site's customer",
    ),
    (
        record("site_contact", 'site = { value = "S-1" }\n' + ASKED_FOR, ""),
        "n\n1\n",
        "another contact is the first to call at this site",
    ),
    (record("service_request", CASE), "n\n1\n", "the contact is not one of the site's customer"),
    (
        record("asset", 'site = { value = "S-2" }\nasset_type = { value = "camera" }\nname = "n"'),
        "n\nknown\n",
        "an import may not change",
    ),
    (
        record("customer", 'unit = { value = "公司" }\nname = "n"', 'external_id = "{n}"\nonly_if = "if"'),
        "n,if\n1,#REF!\n",
        "a broken formula",
    ),
]


@pytest.mark.parametrize(("mapping", "rows", "reason"), MISFITS)
def test_what_does_not_fit_together_is_refused(desk: ImportDesk, mapping: str, rows: str, reason: str) -> None:
    desk.load("n\nHT-9\n", HEAD + THERE)
    before = desk.sizes()
    told = desk.load(rows, HEAD + mapping, code=3)
    assert reason in told
    kept = dict.fromkeys(("import_batch", "audit_entry"), 0)
    assert {**desk.sizes(), **kept} == {**before, **kept}
