"""What an author of a form must correct before a version can be frozen, and that the presets need no correction."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from backend.forms import texts
from backend.forms.authoring import validate_template
from backend.forms.template import Template
from tests.forms.samples import TEMPLATE
from tests.presets_data import FORM_FILES

Body = dict[str, Any]


def changed(change: Callable[[Body], object]) -> Template:
    body: Body = msgspec.json.decode(msgspec.json.encode(TEMPLATE))
    change(body)
    return msgspec.convert(body, type=Template)


def item(body: Body, key: str) -> Body:
    return next(i for s in body["sections"] for i in s["items"] if i["key"] == key)


def section(body: Body, key: str) -> Body:
    return next(s for s in body["sections"] if s["key"] == key)


MISTAKES: dict[str, tuple[str, Callable[[Body], object]]] = {
    "template key": ("bad_key", lambda b: b.update(key="Repair form")),
    "section key": ("bad_key", lambda b: section(b, "work").update(key="1work")),
    "item key": ("bad_key", lambda b: item(b, "opinion").update(key="意见")),
    "signer role": ("bad_key", lambda b: b["signers"][0].update(role="")),
    "recipient role": ("bad_key", lambda b: b.update(deliver_to=[{"role": "X", "label": {"zh": "一", "en": "a"}}])),
    "option key": ("bad_key", lambda b: item(b, "cause")["options"][0].update(key="old age")),
    "two items of one key": ("key_taken", lambda b: item(b, "opinion").update(key="problem")),
    "two sections of one key": ("key_taken", lambda b: section(b, "parts").update(key="work")),
    "two signers of one role": ("key_taken", lambda b: b["signers"][1].update(role="customer")),
    "two options of one key": ("key_taken", lambda b: item(b, "cause")["options"][1].update(key="wear")),
    "version zero": ("bad_version", lambda b: b.update(version=0)),
    "no English": ("empty_text", lambda b: b["title"].update(en=" ")),
    "no Chinese statement": ("empty_text", lambda b: b["statement"].update(zh="")),
    "empty hint": ("empty_text", lambda b: item(b, "aim").update(hint={"zh": "", "en": ""})),
    "long title": ("long_text", lambda b: b["title"].update(zh="长" * 61)),
    "long label": ("long_text", lambda b: item(b, "aim")["label"].update(en="a" * 201)),
    "no sections": ("empty_list", lambda b: b.update(sections=[])),
    "no items": ("empty_list", lambda b: section(b, "left_over").update(items=[])),
    "too many sections": ("long_list", lambda b: b["sections"].extend([section(b, "left_over")] * 41)),
    "too many signers": ("long_list", lambda b: b["signers"].extend([b["signers"][2]] * 8)),
    "too many options": (
        "long_list",
        lambda b: item(b, "cause")["options"].extend([item(b, "cause")["options"][0]] * 50),
    ),
    "one option": ("too_few_options", lambda b: item(b, "cause").update(options=item(b, "cause")["options"][:1])),
    "choices beyond the options": ("bad_range", lambda b: item(b, "steps_taken").update(max_count=9)),
    "choices none": ("bad_range", lambda b: item(b, "steps_taken").update(min_count=0)),
    "text shorter than it is long": ("bad_range", lambda b: item(b, "symptom").update(min_length=300)),
    "text beyond the house's limit": ("bad_range", lambda b: item(b, "opinion").update(max_length=4001)),
    "money upside down": ("bad_range", lambda b: item(b, "agreed").update(minimum=5, maximum=4)),
    "no photos at most": ("bad_range", lambda b: item(b, "before").update(max_count=0)),
    "number upside down": ("bad_range", lambda b: item(b, "voltage").update(minimum="49")),
    "ten decimals": ("bad_range", lambda b: item(b, "voltage").update(decimals=10)),
    "limit not a number": ("bad_decimal", lambda b: item(b, "voltage").update(maximum="4e3")),
    "rows upside down": ("bad_range", lambda b: section(b, "parts").update(min_rows=6)),
    "condition on nothing": ("bad_condition", lambda b: item(b, "who_misused")["only_if"].update(item="nowhere")),
    "condition on a later item": ("bad_condition", lambda b: item(b, "who_misused")["only_if"].update(item="verified")),
    "condition on free text": ("bad_condition", lambda b: item(b, "who_misused")["only_if"].update(item="symptom")),
    "condition on no option": ("bad_condition", lambda b: item(b, "who_misused")["only_if"].update(values=["rust"])),
    "condition without values": ("bad_condition", lambda b: item(b, "who_misused")["only_if"].update(values=[])),
    "condition into a repeated section": (
        "bad_condition",
        lambda b: item(b, "opinion").update(only_if={"item": "lens", "values": ["ok"]}),
    ),
    "two satisfactions": (
        "twice",
        lambda b: section(b, "result")["items"].append({**item(b, "satisfaction"), "key": "again"}),
    ),
    "solved in rows": ("only_once_section", lambda b: section(b, "parts")["items"].append(item(b, "solved"))),
    "asset types without assets": ("out_of_place", lambda b: section(b, "work").update(asset_types=["camera"])),
    "rows without rows": ("out_of_place", lambda b: section(b, "work").update(min_rows=1)),
    "orders without rows": ("out_of_place", lambda b: section(b, "cameras").update(opens_order=True)),
    "days for who signs on site": ("out_of_place", lambda b: b["signers"][0].update(within_working_days=3)),
    "no days": ("bad_range", lambda b: b["signers"][2].update(within_working_days=0)),
    "later before on site": ("signer_order", lambda b: b["signers"].reverse()),
    "customer cannot refuse": ("cannot_refuse", lambda b: b["signers"][0].update(methods=["drawn"])),
    "no way to sign": ("empty_list", lambda b: b["signers"][1].update(methods=[])),
    "optional star": ("optional_star", lambda b: item(b, "verified").update(required=False)),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_of_an_author_is_named(mistake: str) -> None:
    code, change = MISTAKES[mistake]
    findings = validate_template(changed(change))
    assert code in {finding.code for finding in findings}
    assert all(finding.todo.zh and finding.todo.en for finding in findings)


def test_a_sound_template_has_nothing_to_correct() -> None:
    assert validate_template(TEMPLATE) == []


def test_a_customer_who_need_not_sign_need_not_be_able_to_refuse() -> None:
    relaxed = changed(lambda b: b["signers"][0].update(methods=["drawn"], required=False))
    assert validate_template(relaxed) == []


@pytest.mark.rule("A081", "A102", "A103", "A108", "A109", "A110", "A132", "A134")
@pytest.mark.parametrize("path", FORM_FILES, ids=lambda path: path.stem)
def test_every_preset_form_can_be_frozen(path: Any) -> None:
    assert validate_template(msgspec.toml.decode(path.read_bytes(), type=Template)) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda b: item(b, "aim").update(requird=False),
        lambda b: section(b, "parts").update(repeat="twice"),
        lambda b: item(b, "voltage").update(minimum=0.5),
        lambda b: item(b, "aim").update(kind="drawing"),
        lambda b: b["title"].update(fr="Titre"),
    ],
)
def test_a_misspelt_template_is_not_read(change: Callable[[Body], object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        changed(change)


def test_the_sentences_say_what_to_do_in_both_languages() -> None:
    for code in texts.TODO_CODES:
        names = ("limit", "low", "high", "options", "item", "line", "amount", "role", "key", "kind", "field")
        facts: dict[str, str | int] = dict.fromkeys(names, "7")
        told = texts.todo(code, TEMPLATE.title, facts)
        assert told.zh
        assert told.en
        assert "{" not in told.zh + told.en
