"""When a filled form is complete: each kind of item, the ★, confidential sites, prices, who signs next, and laws."""

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.forms.rules import (
    FilledForm,
    FormFinding,
    PhotoWaiver,
    PriceLine,
    Prices,
    SiteFlags,
    asked_items,
    is_answered,
    line_amount,
    may_sign,
    missing_signers,
    subjects_of,
    validate_answers,
)
from backend.forms.template import Answer, PhotoItem, Template, Value
from tests.forms.samples import ANSWERS, ASSETS, FILLED, PHOTO_NAMES, PRICES, TEMPLATE

OPEN = SiteFlags()
NO_PHOTOS = SiteFlags(no_photos=True)
WAIVER = PhotoWaiver(reason="机要机房禁止拍照", granted_by="陈静")


def with_answer(*answers: Answer) -> FilledForm:
    """The complete form with these answers in the place of those before."""
    places = {(a.item, a.subject) for a in answers}
    kept = [a for a in ANSWERS if (a.item, a.subject) not in places]
    return msgspec.structs.replace(FILLED, answers=(*kept, *answers))


def as_dict() -> dict[str, Any]:
    return msgspec.json.decode(msgspec.json.encode(TEMPLATE))


def without(item: str) -> FilledForm:
    return msgspec.structs.replace(FILLED, answers=tuple(a for a in ANSWERS if a.item != item))


def codes(filled: FilledForm, flags: SiteFlags = OPEN, template: Template = TEMPLATE) -> list[str]:
    return [finding.code for finding in validate_answers(template, filled, flags)]


@pytest.mark.rule("A102", "A104", "A132")
def test_a_form_with_every_answer_is_complete() -> None:
    asked = asked_items(TEMPLATE, FILLED)
    assert len(asked) == 22
    assert all(is_answered(question.item, question.answer) for question in asked)
    assert validate_answers(TEMPLATE, FILLED, OPEN) == []


@dataclass(frozen=True)
class Wrong:
    item: str
    value: Value | None
    code: str
    note: str = ""
    photos: tuple[str, ...] = ()


WRONG = [
    Wrong("symptom", 7, "not_text"),
    Wrong("symptom", "字" * 201, "text_too_long"),
    Wrong("symptom", "  ", "missing"),
    Wrong("cause", "rust", "not_an_option"),
    Wrong("cause", ("wear",), "not_an_option"),
    Wrong("cause", "misuse", "option_note"),
    Wrong("steps_taken", ("cleaned", "painted"), "not_an_option"),
    Wrong("steps_taken", ("cleaned", "cleaned"), "not_an_option"),
    Wrong("steps_taken", "cleaned", "not_an_option"),
    Wrong("steps_taken", ("cleaned", "adjusted", "replaced"), "out_of_range"),
    Wrong("steps_taken", (), "missing"),
    Wrong("voltage", "12,1", "not_a_number"),
    Wrong("voltage", "١٢", "not_a_number"),
    Wrong("voltage", 12, "not_a_number"),
    Wrong("voltage", "12.15", "too_many_decimals"),
    Wrong("voltage", "48.1", "out_of_range"),
    Wrong("voltage", "-0.1", "out_of_range"),
    Wrong("agreed", True, "not_money"),
    Wrong("agreed", "128.00", "not_money"),
    Wrong("agreed", -1, "out_of_range"),
    Wrong("agreed", 100_000_001, "out_of_range"),
    Wrong("consent_at", "2026-11-21T09:58:00", "not_an_instant"),
    Wrong("consent_at", "2026-11-31T09:58:00Z", "not_an_instant"),
    Wrong("consent_at", "20261121T095800Z", "not_an_instant"),
    Wrong("next_on", "2026-02-29", "not_a_date"),
    Wrong("next_on", "20261221", "not_a_date"),
    Wrong("next_on", "2026-W51-1", "not_a_date"),
    Wrong("next_on", 20261221, "not_a_date"),
    Wrong("retested", "yes", "not_a_tick"),
    Wrong("verified", False, "blocking"),
    Wrong("verified", None, "blocking"),
    Wrong("hazards", "broken", "not_an_option"),
    Wrong("hazards", "abnormal", "abnormal_note", photos=PHOTO_NAMES[:1]),
    Wrong("hazards", "abnormal", "abnormal_photo", note="有积水"),
    Wrong("hazards", "ok", "bad_photo_hash", photos=("photo-1",)),
    Wrong("hazards", "ok", "too_many_photos", photos=PHOTO_NAMES * 7),
    Wrong("hazards", "ok", "note_too_long", note="字" * 2001),
    Wrong("before", None, "missing"),
    Wrong("before", None, "out_of_range", photos=("ab" * 32, "cd" * 32, "ef" * 32, "01" * 32)),
    Wrong("before", "taken", "photo_has_value", photos=PHOTO_NAMES[:1]),
    Wrong("solved", "maybe", "not_an_option"),
    Wrong("solved", "partly", "unsolved_note"),
    Wrong("satisfaction", 6, "out_of_range"),
    Wrong("satisfaction", 0, "out_of_range"),
    Wrong("satisfaction", True, "out_of_range"),
    Wrong("satisfaction", "5", "out_of_range"),
]


@pytest.mark.rule("A075", "A087", "A104", "A105")
@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_an_answer_that_cannot_stand_says_what_to_do(wrong: Wrong) -> None:
    answer = Answer(item=wrong.item, value=wrong.value, note=wrong.note, photos=wrong.photos)
    filled = with_answer(answer, Answer(item="who_misused", value="x"))
    findings = [f for f in validate_answers(TEMPLATE, filled, OPEN) if f.severity != "warning"]
    assert [finding.code for finding in findings] == [wrong.code]
    label = next(q.item.label for q in asked_items(TEMPLATE, filled) if q.item.key == wrong.item)
    assert findings[0].path == f"answers.{wrong.item}"
    assert label.zh in findings[0].todo.zh or wrong.code == "unsolved_note"
    assert label.en in findings[0].todo.en or wrong.code == "unsolved_note"


def test_a_text_may_have_to_say_more() -> None:
    body = as_dict()
    body["sections"][0]["items"][0]["min_length"] = 20
    assert codes(FILLED, template=msgspec.convert(body, type=Template)) == ["text_too_short"]


RIGHT = [
    Answer(item="cause", value="misuse", note="被当作晾衣架"),
    Answer(item="steps_taken", value=("adjusted",)),
    Answer(item="voltage", value="48"),
    Answer(item="voltage", value="0.0"),
    Answer(item="agreed", value=0),
    Answer(item="consent_at", value="2026-11-21T01:58:00Z"),
    Answer(item="hazards", value="na"),
    Answer(item="solved", value="no", note="等配件"),
    Answer(item="satisfaction", value=1),
]


@pytest.mark.parametrize("answer", RIGHT, ids=str)
def test_unusual_but_right_answers_stand(answer: Answer) -> None:
    asked_too = Answer(item="who_misused", value="挂了衣服")
    extra = (asked_too,) if answer.item == "cause" else ()
    assert codes(with_answer(answer, *extra)) == []


@pytest.mark.rule("A081")
def test_a_star_stops_the_step_and_anything_else_only_leaves_the_form_open() -> None:
    unticked = validate_answers(TEMPLATE, without("verified"), OPEN)
    assert [(f.code, f.severity) for f in unticked] == [("blocking", "block")]
    unanswered = validate_answers(TEMPLATE, without("voltage"), OPEN)
    assert [(f.code, f.severity) for f in unanswered] == [("missing", "error")]


def test_only_the_good_answer_satisfies_a_star() -> None:
    body = as_dict()
    for section in body["sections"]:
        for item in section["items"]:
            item.update(blocking=True, required=True)
    starred = msgspec.convert(body, type=Template)
    filled = with_answer(Answer(item="who_misused", value="x"), Answer(item="solved", value="partly", note="x"))
    blocked = [f.item for f in validate_answers(starred, filled, OPEN) if f.severity == "block"]
    assert blocked == ["retested", "hazards", "lens", "aim", "solved"]


def test_an_optional_question_may_stay_open() -> None:
    assert codes(without("opinion")) == []
    assert codes(without("satisfaction")) == []


def test_what_is_not_asked_is_neither_missing_nor_shown() -> None:
    stray = validate_answers(TEMPLATE, with_answer(Answer(item="who_misused", value="x")), OPEN)
    assert [(f.code, f.severity) for f in stray] == [("not_asked", "warning")]
    misused = with_answer(Answer(item="cause", value="misuse", note="x"))
    assert codes(misused) == ["missing"]
    assert codes(without("cause")) == ["missing"]


def test_a_condition_on_an_unasked_item_does_not_hold() -> None:
    body = as_dict()
    body["sections"][0]["items"].insert(
        3, {**body["sections"][0]["items"][1], "key": "second", "only_if": {"item": "cause", "values": ["misuse"]}}
    )
    body["sections"][0]["items"][2]["only_if"] = {"item": "second", "values": ["wear"]}
    body["sections"][0]["items"][2], body["sections"][0]["items"][3] = body["sections"][0]["items"][3:1:-1]
    chained = msgspec.convert(body, type=Template)
    filled = with_answer(Answer(item="second", value="wear"))
    assert [f.path for f in validate_answers(chained, filled, OPEN)] == ["answers.second"]


def test_conditions_read_ticks_and_multiple_choices() -> None:
    for named, values, holds in (
        ("verified", ["true"], True),
        ("verified", ["false"], False),
        ("steps_taken", ["replaced"], True),
        ("steps_taken", ["adjusted"], False),
    ):
        body = as_dict()
        body["sections"][-1]["items"][-1]["only_if"] = {"item": named, "values": values}
        asked = asked_items(msgspec.convert(body, type=Template), FILLED)
        assert ("opinion" in {q.item.key for q in asked}) is holds


def test_answers_nobody_asked_for_are_named() -> None:
    odd = with_answer(Answer(item="colour", value="red"), Answer(item="lens", subject="nvr-1", value="ok"))
    assert codes(odd) == ["unknown_item", "not_asked"]
    twice = msgspec.structs.replace(FILLED, answers=(*ANSWERS, Answer(item="lens", subject="cam-1", value="abnormal")))
    assert codes(twice) == ["duplicate_answer"]


def test_assets_of_the_wanted_type_are_asked_once_each() -> None:
    cameras = TEMPLATE.sections[1]
    assert subjects_of(cameras, FILLED) == ["cam-1", "cam-2"]
    doubled = msgspec.structs.replace(FILLED, assets=(*ASSETS, ASSETS[0]))
    assert subjects_of(cameras, doubled) == ["cam-1", "cam-2"]
    anything = msgspec.structs.replace(cameras, asset_types=())
    assert subjects_of(anything, FILLED) == ["cam-1", "cam-2", "nvr-1"]


def test_rows_are_numbered_and_counted() -> None:
    gap = with_answer(Answer(item="problem", subject="2", value="漏水"))
    assert codes(gap) == ["rows_not_numbered"]
    many = with_answer(*(Answer(item="problem", subject=str(n), value="x") for n in range(1, 52)))
    assert codes(many) == ["too_many_rows"]
    body = as_dict()
    body["sections"][3]["min_rows"] = 1
    assert codes(FILLED, template=msgspec.convert(body, type=Template)) == ["too_few_rows"]
    assert codes(with_answer(Answer(item="problem", subject="first", value="x"))) == ["not_asked"]


@pytest.mark.rule("A130")
def test_a_site_that_forbids_photos_wants_a_recorded_waiver_instead() -> None:
    bare = tuple(msgspec.structs.replace(a, photos=()) for a in ANSWERS if a.item != "before")
    filled = msgspec.structs.replace(FILLED, answers=bare)
    assert codes(filled, NO_PHOTOS) == ["waiver_missing"]
    assert codes(msgspec.structs.replace(filled, photo_waiver=WAIVER), NO_PHOTOS) == []
    blank = PhotoWaiver(reason=" ", granted_by="陈静")
    assert codes(msgspec.structs.replace(filled, photo_waiver=blank), NO_PHOTOS) == ["waiver_missing"]


def test_photos_from_a_site_that_forbids_them_are_pointed_out() -> None:
    waived = msgspec.structs.replace(FILLED, photo_waiver=WAIVER)
    found = validate_answers(TEMPLATE, waived, NO_PHOTOS)
    assert [(f.code, f.item, f.subject) for f in found] == [
        ("photo_forbidden", "hazards", ""),
        ("photo_forbidden", "before", ""),
        ("photo_forbidden", "lens", "cam-2"),
    ]


def test_a_waiver_where_photos_are_allowed_has_no_effect() -> None:
    waived = msgspec.structs.replace(without("before"), photo_waiver=WAIVER)
    assert codes(waived) == ["missing", "waiver_not_needed"]


@pytest.mark.rule("A098")
def test_charges_are_on_the_form_and_add_up() -> None:
    def priced(**changes: Any) -> list[str]:
        return codes(msgspec.structs.replace(FILLED, prices=msgspec.structs.replace(PRICES, **changes)))

    def line(**changes: Any) -> list[str]:
        new = msgspec.structs.replace(PRICES.lines[1], **changes)
        return priced(lines=(PRICES.lines[0], new), total_fen=new.amount_fen)

    assert codes(msgspec.structs.replace(FILLED, prices=None)) == ["prices_missing"]
    assert priced(total_fen=11999) == ["wrong_total"]
    assert priced(currency="yuan") == ["bad_currency"]
    assert priced(lines=PRICES.lines * 101, total_fen=12000 * 101) == ["too_many_lines"]
    assert line(amount_fen=12001) == ["wrong_amount"]
    assert line(quantity="0") == ["bad_quantity"]
    assert line(quantity="one") == ["bad_quantity"]
    assert line(quantity="1", unit_fen=10**13 + 1, amount_fen=10**13 + 1) == ["amount_too_large"]
    assert line(covered_by="contract", amount_fen=0) == []
    assert line(kind="discount", unit_fen=-500, quantity="1", amount_fen=-500) == []


def test_a_form_without_charges_refuses_them_and_an_optional_one_takes_both() -> None:
    free = msgspec.structs.replace(TEMPLATE, prices="none")
    assert codes(FILLED, template=free) == ["prices_not_asked"]
    assert codes(msgspec.structs.replace(FILLED, prices=None), template=free) == []
    either = msgspec.structs.replace(TEMPLATE, prices="optional")
    assert codes(msgspec.structs.replace(FILLED, prices=None), template=either) == []
    assert codes(FILLED, template=either) == []


@pytest.mark.parametrize(
    ("quantity", "unit", "amount"), [("1.5", 333, 500), ("0.5", 1, 1), ("0.333", 100, 33), ("2", -250, -500)]
)
def test_halves_of_a_fen_are_rounded_away_from_zero(quantity: str, unit: int, amount: int) -> None:
    assert line_amount(PriceLine(kind="part", label="x", unit_fen=unit, amount_fen=0, quantity=quantity)) == amount


@pytest.mark.rule("A109", "A111")
def test_signers_sign_in_order_and_those_of_later_hold_nobody_up() -> None:
    too_early = may_sign(TEMPLATE, "technician", [])
    assert too_early is not None
    assert (too_early.code, too_early.todo.zh) == ("not_your_turn", "请先由“客户”签字。")
    assert may_sign(TEMPLATE, "technician", ["customer"]) is None
    assert [s.role for s in missing_signers(TEMPLATE, ["customer"], "on_site")] == ["technician"]
    assert missing_signers(TEMPLATE, ["customer", "technician"], "on_site") == []
    assert [s.role for s in missing_signers(TEMPLATE, ["customer", "technician"], "later")] == ["head"]


def test_nobody_signs_twice_and_strangers_do_not_sign() -> None:
    def code(role: str, *signed: str) -> str | None:
        finding: FormFinding | None = may_sign(TEMPLATE, role, signed)
        return finding.code if finding else None

    assert code("customer", "customer") == "already_signed"
    assert code("neighbour") == "unknown_signer"
    assert code("customer") is None


# The laws, for any form a technician could fill in.

VALUES: st.SearchStrategy[Value | None] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10),
    st.sampled_from(["ok", "abnormal", "na", "yes", "partly", "no", "wear", "misuse", "12.5", "2026-11-21", "", "字"]),
    st.lists(st.sampled_from(["cleaned", "adjusted", "replaced"]), max_size=4).map(tuple),
)
ITEMS = sorted({i.key for s in TEMPLATE.sections for i in s.items} | {"colour"})
ANY_ANSWER = st.builds(
    Answer,
    item=st.sampled_from(ITEMS),
    subject=st.sampled_from(["", "1", "2", "7", "cam-1", "cam-2", "nobody"]),
    value=VALUES,
    note=st.sampled_from(["", "说明"]),
    photos=st.lists(st.sampled_from(PHOTO_NAMES), max_size=2).map(tuple),
    open_repair=st.booleans(),
)
ANY_FORM = st.builds(
    FilledForm,
    answers=st.lists(ANY_ANSWER, max_size=12, unique_by=lambda a: (a.item, a.subject)).map(tuple),
    assets=st.lists(st.sampled_from(ASSETS), max_size=3).map(tuple),
    prices=st.sampled_from([None, PRICES, Prices(lines=(), total_fen=1)]),
    photo_waiver=st.sampled_from([None, WAIVER]),
)
FLAGS = st.sampled_from([OPEN, NO_PHOTOS])


@given(ANY_FORM, FLAGS, st.randoms(use_true_random=False))
def test_the_order_of_answers_changes_nothing(filled: FilledForm, flags: SiteFlags, luck: Any) -> None:
    shuffled = list(filled.answers)
    luck.shuffle(shuffled)
    other = msgspec.structs.replace(filled, answers=tuple(shuffled))

    def found(form: FilledForm) -> list[tuple[str, str]]:
        return sorted((f.code, f.path) for f in validate_answers(TEMPLATE, form, flags))

    assert found(other) == found(filled)


@given(ANY_FORM, FLAGS)
def test_every_unanswered_required_question_is_a_finding(filled: FilledForm, flags: SiteFlags) -> None:
    found = {(f.item, f.subject) for f in validate_answers(TEMPLATE, filled, flags)}
    for question in asked_items(TEMPLATE, filled):
        excused = isinstance(question.item, PhotoItem) and flags.no_photos
        if question.item.required and not is_answered(question.item, question.answer) and not excused:
            assert (question.item.key, question.subject) in found


@given(ANY_FORM, ANY_ANSWER)
def test_a_new_note_takes_findings_away_and_adds_none(filled: FilledForm, pick: Answer) -> None:
    noted = tuple(msgspec.structs.replace(a, note="说明") if a.item == pick.item else a for a in filled.answers)
    before = {(f.code, f.path) for f in validate_answers(TEMPLATE, filled, OPEN)}
    after = {(f.code, f.path) for f in validate_answers(TEMPLATE, msgspec.structs.replace(filled, answers=noted), OPEN)}
    assert after <= before


@given(ANY_FORM)
def test_with_a_waiver_no_photo_is_ever_wanted(filled: FilledForm) -> None:
    bare = tuple(msgspec.structs.replace(a, photos=()) for a in filled.answers)
    waived = msgspec.structs.replace(filled, answers=bare, photo_waiver=WAIVER)
    photo_codes = {"abnormal_photo", "waiver_missing", "photo_forbidden"}
    found = validate_answers(TEMPLATE, waived, NO_PHOTOS)
    assert not {f.code for f in found} & photo_codes
    assert not [f for f in found if f.item == "before"]


@given(st.permutations(["customer", "technician", "head"]))
def test_only_the_templates_order_of_signing_goes_through(order: list[str]) -> None:
    signed: list[str] = []
    for role in order:
        if may_sign(TEMPLATE, role, signed) is None:
            signed.append(role)
    assert signed == ["customer", "technician", "head"][: len(signed)]
    assert (len(signed) == len(order)) == (order == ["customer", "technician", "head"])
