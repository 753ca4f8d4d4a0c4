"""Importing: files become records by a mapping, bad rows are told, a second run is silent, a run can be undone."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from tests.fakes import nominatim
from tests.importing import REGISTER, REGISTER_MAPPING, ImportDesk
from tests.make import START
from tests.personas import WANG_FANG

EXAMPLES = Path(__file__).parents[2] / "docs/examples"
MADE = {
    "customer": 2, "site": 2, "contact": 1, "contact_point": 1, "site_contact": 1, "position": 3, "asset": 3,
    "asset_placement": 3,
}  # fmt: skip
FAULTS = """
time_zone = "Asia/Shanghai"
[[record]]
entity = "service_request"
external_id = "fault-{编号}"
[record.fields]
site = { external_id = "site-{小区}" }
asset = { external_id = "{设备}" }
received_at = "时间"
symptom = "故障"
reporter_name = "报修人"
go_live_on = { value = "2026-03-02" }
"""


@pytest.fixture
def desk(furnished_url: str, tmp_path: Path) -> ImportDesk:
    return ImportDesk(furnished_url, tmp_path)


@pytest.fixture
def sqlite_desk(databases: Any, tmp_path: Path) -> ImportDesk:
    from tests.make import furnish  # noqa: PLC0415 - the fixture of conftest, for SQLite only

    return ImportDesk(databases.sqlite(tmp_path / "furnished.db", furnish=furnish), tmp_path)


def test_a_register_becomes_customers_sites_contacts_and_assets(desk: ImportDesk) -> None:
    before = desk.sizes()
    told = desk.load(REGISTER, REGISTER_MAPPING, "--person", WANG_FANG.employee_number)
    assert "3 行 / rows, 3 合格 / good, 0 拒绝 / refused" in told
    after = desk.sizes()
    assert {table: after[table] - before[table] for table in MADE} == MADE
    site = desk.ask("SELECT * FROM site WHERE external_id = 'site-X1'")[0]
    assert (site["name"], site["address"], site["time_zone"]) == ("湖畔花园", "云桥市湖滨路1号", "Asia/Shanghai")
    assert site["number"].startswith("S-")
    assert desk.ask("SELECT kind, address, consent FROM contact_point WHERE address = '+8613900000011'")
    lift = desk.ask("SELECT asset_type, warranty_until FROM asset WHERE external_id = 'LIFT-9'")[0]
    assert (lift["asset_type"], str(lift["warranty_until"])) == ("elevator", "2026-03-01")
    assert "东门广场 — 云桥市东门街2号: 未询问地理编码服务 / no geocoder was asked" in told
    (batch,) = desk.ask("SELECT * FROM import_batch")
    assert (batch["source_name"], batch["mapping_name"], batch["created_count"]) == ("table.csv", "mapping.toml", 16)
    assert batch["person_id"] is not None
    assert "王芳  +16 ~0 -0" in desk.run("import-list")


def test_coordinates_of_a_chinese_map_become_true_ones_and_the_original_stays(desk: ImportDesk) -> None:
    desk.load(REGISTER, REGISTER_MAPPING)
    (site,) = desk.ask("SELECT * FROM site WHERE external_id = 'site-X1'")
    assert (site["original_lat"], site["original_lon"], site["original_datum"]) == (31.02, 117.01, "gcj02")
    assert 0.001 < abs(site["lat"] - 31.02) + abs(site["lon"] - 117.01) < 0.02, "moved by some hundred metres"
    assert (site["position_source"], site["position_confidence"]) == ("import", 1.0)


def test_a_second_run_creates_nothing_and_phones_hear_nothing(desk: ImportDesk) -> None:
    desk.load(REGISTER, REGISTER_MAPPING)
    sizes, heads = desk.sizes(), desk.heads()
    told = desk.load(REGISTER, REGISTER_MAPPING)
    assert "asset: 新建 / created 0, 修改 / changed 0, 未变 / unchanged 3" in told
    assert desk.heads() == heads
    assert {**desk.sizes(), "import_batch": 0} == {**sizes, "import_batch": 0}


def test_a_changed_row_is_updated_audited_and_nothing_else_is_touched(desk: ImportDesk) -> None:
    desk.load(REGISTER, REGISTER_MAPPING)
    heads = desk.heads()
    desk.load(REGISTER.replace("CAM-2,摄像机", "CAM-2,客梯").replace("2027-03-01", "2028-03-01"), REGISTER_MAPPING)
    site = desk.one("SELECT id FROM site WHERE external_id = 'site-X1'")
    moved = {name for name, head in desk.heads().items() if head != heads.get(name)}
    assert {name.replace("-", "") for name in moved} == {f"site:{site}".replace("-", "")}
    (entry,) = desk.ask("SELECT * FROM audit_entry WHERE action = 'asset.changed_by_import'")
    assert "elevator" in str(entry["after"])
    assert "camera" in str(entry["before"])
    assert "name" not in str(entry["after"]), "only what changed is in the trail"
    assert desk.newest_batch()


def test_an_empty_cell_says_nothing_of_what_is_known(sqlite_desk: ImportDesk) -> None:
    sqlite_desk.load(REGISTER, REGISTER_MAPPING)
    told = sqlite_desk.load(REGISTER.replace(",2027年3月1日", ",").replace(",2027-03-01", ","), REGISTER_MAPPING)
    assert "asset: 新建 / created 0, 修改 / changed 0, 未变 / unchanged 3" in told
    assert sqlite_desk.one("SELECT count(*) FROM asset WHERE warranty_until = '2027-03-01'") == 2


BAD_ROWS = """设备编号,设备类型,小区编号,小区名称,地址,经度,纬度,联系人,电话,质保到期
CAM-1,摄像机,X1,湖畔花园,湖滨路1号,117.01,31.02,赵敏,12345,2027年13月1日
CAM-2,无人机,X1,湖畔花园,湖滨路1号,317.01,31.02,赵敏,139 0000 0011,
,摄像机,X1,湖畔花园,湖滨路1号,117.01,31.02,,,
CAM-4,摄像机,X3,,湖滨路3号,117.01,,,,
CAM-5,摄像机,X1,湖畔花园,湖滨路1号,117.01,31.02,,,
CAM-6,摄像机,X1,湖畔公寓,湖滨路1号,117.01,31.02,,,
"""


def test_bad_rows_are_listed_with_line_and_every_reason_and_the_others_come_in(desk: ImportDesk) -> None:
    told = desk.load(BAD_ROWS, REGISTER_MAPPING, code=3).splitlines()
    lines = {int(line.split("line ")[1].split(":")[0]): line for line in told if "/ line " in line}
    assert sorted(lines) == [2, 3, 4, 5, 7]
    assert "电话: “12345”不是电话号码 / '12345' is not a phone number" in lines[2] or "质保到期" in lines[2]
    assert "质保到期: “2027年13月1日”不是能唯一确定的日期或时间" in lines[2]
    assert "经度: 317.01 超出范围 -180..180 / 317.01 is outside -180..180" in lines[3]
    assert "设备类型: 对照表中没有“无人机”" in lines[3]
    assert "设备编号 is empty, so the record has no key" in lines[4]
    assert "customer.name must not be empty" in lines[5]
    assert "one of the coordinates is missing" in lines[5]
    assert "line 6 says something else of the same record" in lines[7]
    assert [row["external_id"] for row in desk.ask("SELECT external_id FROM asset WHERE external_id IS NOT NULL")] == [
        "CAM-5"
    ]
    assert "+" in desk.run("import-list")
    assert desk.one("SELECT refused_count FROM import_batch") == 5


def test_one_bad_row_can_refuse_all_of_them(desk: ImportDesk) -> None:
    before = desk.sizes()
    told = desk.load(BAD_ROWS, REGISTER_MAPPING, "--all-or-nothing", code=3)
    assert "有行被拒绝,什么都没有导入 / a row was refused: nothing was imported" in told
    assert desk.sizes() == before
    desk.load(REGISTER, REGISTER_MAPPING, "--all-or-nothing")
    assert desk.sizes()["asset"] == before["asset"] + 3


def test_a_dry_run_says_what_would_happen_and_writes_nothing(desk: ImportDesk) -> None:
    before = desk.sizes()
    dry = desk.load(REGISTER, REGISTER_MAPPING, "--dry-run")
    assert desk.sizes() == before
    assert "试运行,什么都没有写入 / dry run: nothing was written" in dry
    real = desk.load(REGISTER, REGISTER_MAPPING)
    assert dry.splitlines()[:-1] == real.splitlines()[:-1]


@pytest.mark.parametrize(
    ("content", "encoding", "told"),
    [
        (REGISTER.replace("小区编号", "小区号"), "utf-8", "missing columns: 小区编号"),
        (
            "number,caf\u00e9\n",
            "latin-1",
            "not utf-8: byte 10 (line 1) cannot be decoded; not gb18030: byte 10 (line 1)",
        ),
        (REGISTER + '"CAM-10,摄像机\n', "utf-8", "from line 5 on this is no sound CSV"),
    ],
)
def test_a_file_that_cannot_be_read_changes_nothing(
    sqlite_desk: ImportDesk, content: str, encoding: str, told: str
) -> None:
    before = sqlite_desk.sizes()
    csv = sqlite_desk.file("bad.csv", content, encoding)
    said = sqlite_desk.run("import", csv, "--mapping", sqlite_desk.file("m.toml", REGISTER_MAPPING), code=1)
    assert told in said
    assert "什么都没有导入" in said
    assert sqlite_desk.sizes() == before


def test_gbk_is_found_and_a_declared_encoding_is_believed(sqlite_desk: ImportDesk) -> None:
    csv = sqlite_desk.file("gbk.csv", REGISTER, "gbk")
    mapping = sqlite_desk.file("m.toml", REGISTER_MAPPING)
    refused = sqlite_desk.run("import", csv, "--mapping", mapping, "--encoding", "utf-8", code=1)
    assert "not utf-8: byte 0 (line 1)" in refused
    assert "(gb18030): 3 行" in sqlite_desk.run("import", csv, "--mapping", mapping)
    assert sqlite_desk.one("SELECT count(*) FROM site WHERE name = '东门广场'") == 1


def test_a_workbook_with_a_title_merged_cells_and_text_dates_is_read(sqlite_desk: ImportDesk) -> None:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["2026 年设备台账"])
    sheet.append(
        ["小区编号", "小区名称", "地址", "经度", "纬度", "联系人", "电话", "设备编号*", "设备类型", "质保到期"]
    )
    sheet.append(["X1", "湖畔花园", "湖滨路1号", 117.01, 31.02, "赵敏", 13900000011, "CAM-1", "摄像机", "2027.3.1"])
    sheet.append([None] * 7 + ["CAM-2", "摄像机", datetime(2027, 3, 1)])  # noqa: DTZ001 - a cell has no zone
    sheet.append([None] * 7 + ["CAM-3", "客梯", 46447])
    for column in "ABCDEFG":
        sheet.merge_cells(f"{column}3:{column}5")
    sheet.merge_cells("A1:J1")
    book.create_sheet("旧数据").sheet_state = "hidden"
    path = sqlite_desk.folder / "register.xlsx"
    book.save(path)
    told = sqlite_desk.run("import", str(path), "--mapping", sqlite_desk.file("m.toml", REGISTER_MAPPING))
    assert "register.xlsx (Sheet): 3 行 / rows, 3 合格 / good" in told
    assets = sqlite_desk.ask("SELECT name, warranty_until FROM asset WHERE external_id LIKE 'CAM-%' ORDER BY name")
    assert [(row["name"], row["warranty_until"]) for row in assets] == [
        ("CAM-1", "2027-03-01"), ("CAM-2", "2027-03-01"), ("CAM-3", "2027-03-01"),
    ]  # fmt: skip


# --- Cases ------------------------------------------------------------------------------------------------------------

FAULT_ROWS = """编号,小区,设备,时间,故障,报修人
1,X1,CAM-1,2026-03-01 08:00,大厅无图像,赵敏
2,X2,,2026-03-02 08:30,电梯异响,
"""


def test_faults_become_cases_whose_clocks_run_since_they_were_received(desk: ImportDesk) -> None:
    desk.load(REGISTER, REGISTER_MAPPING)
    desk.load(FAULT_ROWS, FAULTS)
    (case,) = desk.ask("SELECT * FROM service_request WHERE external_id = 'fault-1'")
    assert (case["symptom"], case["channel"], case["state"]) == ("大厅无图像", "import", "received")
    assert _instant(case["received_at"]) == datetime(2026, 3, 1, tzinfo=UTC)
    assert _instant(case["opened_at"]) == START
    assert case["asset_id"] == desk.one("SELECT id FROM asset WHERE external_id = 'CAM-1'")
    assert str(case["go_live_on"]) == "2026-03-02"
    clocks = desk.ask("SELECT kind, started_at FROM commitment_clock WHERE subject_id = :id", id=case["id"])
    assert len(clocks) >= 3
    assert {_instant(clock["started_at"]) for clock in clocks} == {datetime(2026, 3, 1, tzinfo=UTC)}
    assert desk.one("SELECT count(*) FROM notification") == 0, "nobody is written to about old faults"


def test_a_case_is_opened_once_and_then_belongs_to_the_office(desk: ImportDesk) -> None:
    desk.load(REGISTER, REGISTER_MAPPING)
    desk.load(FAULT_ROWS, FAULTS)
    heads = desk.heads()
    told = desk.load(FAULT_ROWS.replace("电梯异响", "电梯困人"), FAULTS)
    assert "service_request: 新建 / created 0, 修改 / changed 0, 未变 / unchanged 2" in told
    assert desk.heads() == heads


def test_cases_that_cannot_be_opened_are_refused_and_the_others_are(desk: ImportDesk) -> None:
    desk.load(REGISTER, REGISTER_MAPPING)
    rows = (
        "编号,小区,设备,时间,故障,报修人\n"
        "1,X9,,2026-03-01 08:00,a,\n"
        "2,X2,CAM-1,2026-03-01 08:00,b,\n"
        "3,X1,,2026-03-02 12:00,c,\n"
        "4,,,2026-03-01 08:00,d,\n"
        "5,X1,,2026-03-01 08:00,good,\n"
        "6,X1,,2026-03-01 08:00,,\n"
    )
    told = desk.load(rows, FAULTS, code=3)
    for reason in (
        "there is no site site-X9", "the asset is not at this site", "received_at lies in the future",
        "site is missing", "service_request.symptom must not be empty",
    ):  # fmt: skip
        assert reason in told
    assert [row["symptom"] for row in desk.ask("SELECT symptom FROM service_request")] == ["good"]


def test_what_only_the_case_itself_can_refuse_is_found_row_by_row(desk: ImportDesk) -> None:
    desk.load(REGISTER, REGISTER_MAPPING)
    mapping = FAULTS + 'channel = "报修人"\n'
    told = desk.load(FAULT_ROWS.replace("赵敏", "By Phone").replace("电梯异响,", "电梯异响,phone"), mapping, code=3)
    assert "第 2 行 / line 2: channel" in told
    assert [row["symptom"] for row in desk.ask("SELECT symptom FROM service_request")] == ["电梯异响"]


def test_an_old_register_of_faults_is_taken_but_not_one_from_another_century(desk: ImportDesk) -> None:
    desk.load(REGISTER, REGISTER_MAPPING)
    rows = "编号,小区,设备,时间,故障,报修人\n1,X1,,1995-03-01 08:00,long ago,\n2,X1,,1955-03-01 08:00,before us,\n"
    assert "第 3 行 / line 3: received_at" in desk.load(rows, FAULTS, code=3)
    assert [row["symptom"] for row in desk.ask("SELECT symptom FROM service_request")] == ["long ago"]


# --- undoing ----------------------------------------------------------------------------------------------------------


def test_an_undone_import_leaves_nothing_and_phones_hear_that_it_is_gone(desk: ImportDesk) -> None:
    before, live = desk.sizes(), desk.one("SELECT sum(live_count) FROM bucket")
    desk.load(REGISTER, REGISTER_MAPPING)
    desk.load(FAULT_ROWS, FAULTS)
    assert "2 removed, 0 restored" in desk.run("import-undo", str(desk.newest_batch()))
    register = desk.run("import-list").splitlines()[1].split()[0]
    assert "16 removed, 0 restored" in desk.run("import-undo", register, "--person", WANG_FANG.employee_number)
    kept = ("import_batch", "audit_entry", "change")
    assert {**desk.sizes(), **dict.fromkeys(kept, 0)} == {**before, **dict.fromkeys(kept, 0)}
    assert desk.one("SELECT sum(live_count) FROM bucket") == live
    assert desk.one("SELECT count(*) FROM change WHERE deleted AND entity = 'asset'") == 3, "as tombstones"
    assert "已撤销 / undone 2026-03-02 01:00Z" in desk.run("import-list")
    assert "这次导入已经撤销过" in desk.run("import-undo", register, code=1)


def test_undoing_a_later_import_restores_what_it_changed(desk: ImportDesk) -> None:
    desk.load(REGISTER, REGISTER_MAPPING)
    first = desk.newest_batch()
    held = desk.ask("SELECT * FROM asset ORDER BY id")
    desk.load(REGISTER.replace("CAM-2,摄像机", "CAM-2,客梯").replace("2027-03-01", ""), REGISTER_MAPPING)
    desk.load(REGISTER.replace("CAM-2,摄像机", "CAM-2,客梯").replace("2027-03-01", "2030-01-01"), REGISTER_MAPPING)
    told = desk.run("import-undo", str(first), code=1)
    assert "asset.changed_by_import since" in told, "a later import rests on it"
    assert "0 removed, 1 restored" in desk.run("import-undo", str(desk.newest_batch()))
    second = desk.run("import-list").splitlines()[1].split()[0]
    assert "0 removed, 2 restored" in desk.run("import-undo", second), "the asset, and its place's name"
    assert desk.ask("SELECT * FROM asset ORDER BY id") == held
    assert "16 removed" in desk.run("import-undo", str(first)), "what was undone no longer stands in the way"


def test_an_import_something_rests_on_is_not_undone_at_all(desk: ImportDesk) -> None:
    desk.load(REGISTER, REGISTER_MAPPING)
    register, before = desk.newest_batch(), desk.sizes()
    desk.load(FAULT_ROWS, FAULTS)
    told = desk.run("import-undo", str(register), code=1)
    assert "site site-X1: 被 1 条 service_request 引用 / referred to by 1 of service_request" in told
    assert "asset CAM-1: 被 1 条 service_request 引用" in told
    assert desk.sizes()["asset"] == before["asset"]
    desk.run("import-undo", str(desk.newest_batch()))
    assert "16 removed" in desk.run("import-undo", str(register))


def test_what_somebody_changed_since_is_not_taken_back(desk: ImportDesk) -> None:
    desk.load(REGISTER, REGISTER_MAPPING)
    desk.load(REGISTER.replace("2027-03-01", "2030-01-01"), REGISTER_MAPPING)
    desk.write("UPDATE asset SET warranty_until = '2031-01-01' WHERE external_id = 'CAM-2'")
    told = desk.run("import-undo", str(desk.newest_batch()), code=1)
    assert "asset CAM-2: warranty_until 之后又改为 2031-01-01 / warranty_until has become 2031-01-01 since" in told
    assert desk.one("SELECT count(*) FROM asset WHERE warranty_until = '2031-01-01'") == 1


def test_an_unknown_batch_and_an_unknown_person_are_said(sqlite_desk: ImportDesk) -> None:
    assert "没有这个批次" in sqlite_desk.run("import-undo", "0190d0b2-7f42-7000-8000-00000000dead", code=1)
    assert "nobody has the employee number Z999" in sqlite_desk.load(
        REGISTER, REGISTER_MAPPING, "--person", "Z999", code=1
    )


# --- positions by address ---------------------------------------------------------------------------------------------

ADDRESSES = """编号,名称,地址
1,湖畔花园,云桥市湖滨路1号
2,东门广场,云桥市东门街
3,南站,云桥市
4,无址,
5,新村,云桥市新村路 5 号
"""
ADDRESS_MAPPING = """
[[record]]
entity = "site"
external_id = "site-{编号}"
[record.fields]
unit = { value = "售后服务部" }
customer = { value = "C-1" }
name = "名称"
address = "地址"
time_zone = { value = "Asia/Shanghai" }
"""


def test_addresses_are_looked_up_once_and_only_sure_answers_are_used(desk: ImportDesk) -> None:
    with nominatim() as server:
        server.places = {
            "云桥市湖滨路1号": (31.02, 117.01, 0.0005), "云桥市东门街": (31.03, 117.02, 0.02), "云桥市": (31, 117, 0.5),
        }  # fmt: skip
        geocoder = {"PAIGONG_GEOCODER": "nominatim", "PAIGONG_GEOCODER_DOMAIN": server.url}
        told = desk.load(ADDRESSES, ADDRESS_MAPPING, settings=geocoder)
        assert server.asked == ["云桥市湖滨路1号", "云桥市东门街", "云桥市", "云桥市新村路 5 号"]
        assert server.agents == {"paigong"}
        again = desk.load(ADDRESSES, ADDRESS_MAPPING, settings=geocoder)
        assert len(server.asked) == 4, "answers are kept, also the ones that found nothing"
    assert "按地址定位 / positions found by address: 1" in told
    assert "需人工定位的现场 / sites a person must pin: 4" in told
    assert (
        "东门广场 — 云桥市东门街: 地理编码结果不够可靠 / the geocoder is not sure enough (≈ 31.03000, 117.02000)"
        in told
    )
    assert "无址 — -: 没有地址 / it has no address" in told
    assert "新村 — 云桥市新村路 5 号: 地理编码找不到该地址 / the geocoder does not find the address" in told
    assert "sites a person must pin: 4" in again
    (site,) = desk.ask("SELECT * FROM site WHERE external_id = 'site-1'")
    assert (site["lat"], site["lon"], site["original_datum"]) == (31.02, 117.01, "wgs84")
    assert (site["position_source"], site["position_confidence"]) == ("geocoder", 0.9)
    assert desk.one("SELECT count(*) FROM geocoded_address") == 4
    assert desk.one("SELECT count(*) FROM audit_entry WHERE action = 'site.geocoded'") == 1


def test_a_geocoder_that_does_not_answer_is_left_alone_and_asked_by_the_next_run(sqlite_desk: ImportDesk) -> None:
    rows = "编号,名称,地址\n" + "".join(f"{n},楼{n},云桥市湖滨路{n}号\n" for n in range(6))
    with nominatim() as server:
        server.failures = 1000
        geocoder = {"PAIGONG_GEOCODER": "nominatim", "PAIGONG_GEOCODER_DOMAIN": server.url}
        told = sqlite_desk.load(rows, ADDRESS_MAPPING, settings=geocoder)
        assert len(server.asked) == 3
        assert told.count("HTTP Error 503") == 6, "in both languages"
        assert told.count("the geocoder did not answer and was left alone") == 3
        assert sqlite_desk.one("SELECT count(*) FROM geocoded_address") == 0, "silence is no answer to keep"
        server.failures, server.places = 0, {f"云桥市湖滨路{n}号": (31.0, 117.0, 0.0005) for n in range(6)}
        assert "found by address: 6" in sqlite_desk.load(rows, ADDRESS_MAPPING, settings=geocoder)


def test_a_dry_run_asks_nobody_and_an_undo_takes_found_positions_back(sqlite_desk: ImportDesk) -> None:
    sqlite_desk.load(ADDRESSES, ADDRESS_MAPPING)
    with nominatim() as server:
        server.places = {"云桥市湖滨路1号": (31.02, 117.01, 0.0005)}
        geocoder = {"PAIGONG_GEOCODER": "nominatim", "PAIGONG_GEOCODER_DOMAIN": server.url}
        dry = sqlite_desk.load(ADDRESSES, ADDRESS_MAPPING, "--dry-run", settings=geocoder)
        assert server.asked == []
        assert dry.count("the import will ask the geocoder") == 5
        sqlite_desk.load(ADDRESSES, ADDRESS_MAPPING, settings=geocoder)
    found = "SELECT count(*) FROM site WHERE position_source = 'geocoder'"
    assert sqlite_desk.one(found) == 1
    assert "0 removed, 1 restored" in sqlite_desk.run("import-undo", str(sqlite_desk.newest_batch()))
    assert sqlite_desk.one(found) == 0


def test_a_position_pinned_by_a_person_stays_whatever_the_file_says(sqlite_desk: ImportDesk) -> None:
    sqlite_desk.load(REGISTER, REGISTER_MAPPING)
    sqlite_desk.write("UPDATE site SET lat = 31.5, lon = 117.5, position_source = 'pin' WHERE external_id = 'site-X1'")
    told = sqlite_desk.load(REGISTER, REGISTER_MAPPING)
    assert "site: 新建 / created 0, 修改 / changed 0, 未变 / unchanged 2" in told
    assert sqlite_desk.one("SELECT lat FROM site WHERE external_id = 'site-X1'") == 31.5


def test_a_geocoder_that_does_not_exist_or_needs_a_key_is_said_before_anything_is_done(sqlite_desk: ImportDesk) -> None:
    before = sqlite_desk.sizes()
    for name in ("atlantis", "baiduv3"):
        told = sqlite_desk.load(ADDRESSES, ADDRESS_MAPPING, code=1, settings={"PAIGONG_GEOCODER": name})
        assert "geocoder" in told.lower()
        assert "PAIGONG_GEOCODER_KEY" in told
    assert sqlite_desk.sizes() == before


def _instant(value: Any) -> datetime:
    """An instant as either database hands it to a plain query."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
