"""What the customer is shown: the text on the glass, bound byte for byte, and recomputed from the frozen template."""

from datetime import datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import Problem
from backend.forms import wording
from backend.forms.canonical import NotCanonicalError, canonical_bytes, canonical_value, sha256_hex
from backend.forms.rules import FilledForm, Prices
from backend.forms.shown import (
    ShownForm,
    filled_form,
    read_shown,
    shown_document,
    shown_form,
    template_bytes,
    template_mismatches,
    template_sha256,
)
from backend.forms.template import Answer, Language, Template
from tests.forms.samples import ANSWERS, FILLED, NOW, TEMPLATE, facts, shown
from tests.presets_data import FORM_FILES


def texts_of(form: ShownForm) -> dict[str, tuple[str, str]]:
    return {
        f"{item.key}[{group.subject}]" if group.subject else item.key: (item.label, item.shown)
        for section in form.sections
        for group in section.groups
        for item in group.items
    }


@pytest.mark.rule("A098", "A102", "A104")
def test_every_answer_stands_there_as_a_person_reads_it() -> None:
    read = texts_of(read_shown(shown("zh")))
    assert read == {
        "symptom": ("故障现象", "夜间无图像,白天有横纹"),
        "cause": ("原因", "自然磨损"),
        "steps_taken": ("步骤", "清洁、更换"),
        "voltage": ("供电电压", "12.1 V"),
        "agreed": ("同意的费用", "128.00"),
        "consent_at": ("同意时间", "2026-11-21 09:58 (+08:00)"),
        "next_on": ("下次保养", "2026-12-21"),
        "verified": ("已验证", "是"),
        "retested": ("共同复测", "否"),
        "hazards": ("安全隐患", "异常"),
        "before": ("维修前照片", "1 张照片"),
        "lens[cam-1]": ("清理镜头", "正常"),
        "aim[cam-1]": ("调整方位", "正常"),
        "lens[cam-2]": ("清理镜头", "异常"),
        "aim[cam-2]": ("调整方位", "不适用"),
        "part[1]": ("配件", "红外灯板 IR-48"),
        "old_part[1]": ("旧件去向", "交还客户"),
        "part[2]": ("配件", "电源 12V"),
        "old_part[2]": ("旧件去向", "带回公司"),
        "solved": ("是否解决", "已完全解决"),
        "satisfaction": ("满意度", "5 / 5 · 非常满意"),
        "opinion": ("意见", "师傅很准时"),
    }


def test_the_language_shown_is_part_of_what_is_signed() -> None:
    assert texts_of(read_shown(shown("en")))["hazards"] == ("Safety hazards", "Abnormal")
    assert texts_of(read_shown(shown("en")))["steps_taken"] == ("Steps", "Cleaned, Replaced")
    assert texts_of(read_shown(shown("zh+en")))["hazards"] == ("安全隐患 / Safety hazards", "异常 / Abnormal")
    languages: tuple[Language, ...] = ("zh", "en", "zh+en")
    assert len({sha256_hex(shown(language)) for language in languages}) == 3


def test_a_free_part_reads_zero_with_its_reason() -> None:
    prices = read_shown(shown("zh")).prices
    assert prices is not None
    assert [line.amount for line in prices.lines] == ["0.00 (保修)", "120.00"]
    assert [line.unit for line in prices.lines] == ["128.00", "80.00"]
    assert (prices.total, prices.currency) == ("120.00", "CNY")


def test_what_is_open_says_so_and_an_empty_list_says_none() -> None:
    bare = shown_form(TEMPLATE, FilledForm(answers=(Answer(item="symptom", value=" "),)), facts("en"))
    assert texts_of(bare)["symptom"][1] == "Not answered"
    assert texts_of(bare)["verified"][1] == "Not answered"
    assert [(section.key, len(section.groups)) for section in bare.sections] == [
        ("work", 1),
        ("parts", 0),
        ("left_over", 0),
        ("result", 1),
    ]


@pytest.mark.parametrize(
    ("item", "value", "told"),
    [
        ("cause", "rust", "rust"),
        ("steps_taken", ("cleaned", "painted"), "清洁、painted"),
        ("consent_at", "yesterday", "yesterday"),
        ("agreed", "free", "free"),
        ("satisfaction", "ten", "ten / 5 · ten"),
        ("voltage", "much", "much V"),
    ],
)
def test_an_answer_that_does_not_fit_is_shown_and_never_hidden(
    item: str, value: str | tuple[str, ...], told: str
) -> None:
    answers = (*(a for a in ANSWERS if a.item != item), Answer(item=item, value=value))
    odd = shown_form(TEMPLATE, msgspec.structs.replace(FILLED, answers=answers), facts())
    assert texts_of(odd)[item][1] == told


def test_the_document_names_its_frozen_template() -> None:
    form = read_shown(shown())
    assert (form.template.key, form.template.version) == ("every_kind", 1)
    assert form.template.sha256 == template_sha256(TEMPLATE) == sha256_hex(template_bytes(TEMPLATE))


def test_any_change_of_a_template_has_another_name() -> None:
    names = {template_sha256(TEMPLATE)}
    body = msgspec.json.decode(template_bytes(TEMPLATE))
    body["sections"][0]["items"][0]["label"]["en"] = "Symptoms"
    names.add(template_sha256(msgspec.convert(body, type=Template)))
    names.add(template_sha256(msgspec.structs.replace(TEMPLATE, version=2)))
    assert len(names) == 3


def test_a_frozen_template_reads_back_to_itself() -> None:
    for path in FORM_FILES:
        template = msgspec.toml.decode(path.read_bytes(), type=Template)
        assert msgspec.json.decode(template_bytes(template), type=Template) == template


def test_phone_and_server_write_the_same_bytes() -> None:
    raw = shown()
    assert canonical_bytes(canonical_value(raw)) == raw
    assert canonical_bytes(read_shown(raw)) == raw
    assert filled_form(read_shown(raw)).answers == tuple(sorted(ANSWERS, key=_place))
    assert template_mismatches(read_shown(raw), TEMPLATE) == []


def _place(answer: Answer) -> int:
    order = [f"{i}[{s}]" if s else i for i, s in ((a.item, a.subject) for a in ANSWERS)]
    read = list(texts_of(read_shown(shown())))
    assert set(read) == set(order)
    return read.index(f"{answer.item}[{answer.subject}]" if answer.subject else answer.item)


@given(
    language=st.sampled_from(["zh", "en", "zh+en"]),
    left_out=st.sets(st.sampled_from([a.item for a in ANSWERS])),
    prices=st.sampled_from([FILLED.prices, None]),
)
def test_whatever_was_filled_in_recomputes_from_the_template(
    language: Language, left_out: set[str], prices: Prices | None
) -> None:
    answers = tuple(a for a in ANSWERS if a.item not in left_out)
    filled = msgspec.structs.replace(FILLED, answers=answers, prices=prices)
    raw = shown_document(TEMPLATE, filled, facts(language))
    assert template_mismatches(read_shown(raw), TEMPLATE) == []


def test_words_that_are_not_the_templates_are_found() -> None:
    form = read_shown(shown())
    forged = canonical_bytes(form).replace("已完全解决".encode(), "未解决".encode())
    assert [(m.path, m.received, m.expected) for m in template_mismatches(read_shown(forged), TEMPLATE)] == [
        ("sections[4].groups[0].items[0].shown", '"未解决"', '"已完全解决"')
    ]
    cheaper = canonical_bytes(form).replace(b'"total":"120.00"', b'"total":"12.00"')
    assert [m.path for m in template_mismatches(read_shown(cheaper), TEMPLATE)] == ["prices.total"]


def test_a_question_left_out_is_found() -> None:
    form = read_shown(shown())
    section = form.sections[0]
    group = msgspec.structs.replace(section.groups[0], items=section.groups[0].items[:-1])
    shorter = msgspec.structs.replace(
        form, sections=(msgspec.structs.replace(section, groups=(group,)), *form.sections[1:])
    )
    assert [m.path for m in template_mismatches(shorter, TEMPLATE)] == ["sections[0].groups[0].items[10]"]


def test_another_version_of_the_template_is_found() -> None:
    newer = msgspec.structs.replace(TEMPLATE, version=2)
    assert [m.path for m in template_mismatches(read_shown(shown()), newer)] == ["template.sha256", "template.version"]


def test_what_cannot_be_read_says_why() -> None:
    document = canonical_value(shown())
    assert isinstance(document, dict)
    for change in (
        {"schema": "paigong/shown/9"},
        {"zone": "Mars/Olympus"},
        {"zone": "Asia"},
        {"zone": "../../etc/passwd"},
        {"shown_at": "noon"},
        {"times": [{"key": "arrived", "label": "", "at": "2026-13-01T00:00:00Z", "shown": ""}]},
        {"language": "fr"},
        {"sections": None},
    ):
        with pytest.raises(Problem) as caught:
            read_shown(canonical_bytes({**document, **change}))
        assert caught.value.fault.code == "shown_unreadable"
        assert caught.value.findings[0].en
    with pytest.raises(Problem):
        read_shown(b" " + shown())


def test_fields_of_a_newer_phone_stay_in_the_bytes() -> None:
    document = canonical_value(shown())
    assert isinstance(document, dict)
    newer = canonical_bytes({**document, "weather": "雨"})
    assert read_shown(newer) == read_shown(shown())
    assert sha256_hex(newer) != sha256_hex(shown())


def test_a_lone_surrogate_cannot_be_shown() -> None:
    broken = msgspec.structs.replace(facts(), done="\ud83d")
    with pytest.raises(NotCanonicalError):
        shown_document(TEMPLATE, FILLED, broken)


def test_an_instant_needs_its_offset() -> None:
    with pytest.raises(ValueError, match="offset"):
        shown_document(TEMPLATE, FILLED, msgspec.structs.replace(facts(), shown_at=NOW.replace(tzinfo=None)))


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        ("Asia/Shanghai", "2026-11-21 10:41 (+08:00)"),
        ("Asia/Kathmandu", "2026-11-21 08:26 (+05:45)"),
        ("America/St_Johns", "2026-11-20 23:11 (-03:30)"),
    ],
)
def test_instants_are_read_in_the_sites_time(zone: str, told: str) -> None:
    assert wording.local_text(NOW, zone) == told
    assert wording.utc_text(NOW.astimezone(timezone(timedelta(hours=8)))) == "2026-11-21T02:41:00Z"
    assert datetime.fromisoformat(wording.utc_text(NOW)) == NOW


@pytest.mark.parametrize(
    ("fen", "told"), [(0, "0.00"), (5, "0.05"), (-5, "-0.05"), (128000, "1,280.00"), (-100, "-1.00")]
)
def test_money_is_written_with_two_decimals(fen: int, told: str) -> None:
    assert wording.money_text(fen) == told
