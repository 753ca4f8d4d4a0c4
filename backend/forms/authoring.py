"""Whether a template can be used: what its author must correct before a version is frozen. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Final

from backend.forms import texts
from backend.forms.rules import MAX_FEN, MAX_PHOTOS, MAX_ROWS, FormFinding
from backend.forms.template import (
    DECIMAL,
    Bilingual,
    ChoiceItem,
    ChoicesItem,
    Item,
    MoneyItem,
    NumberItem,
    PhotoItem,
    SatisfactionItem,
    Section,
    Signer,
    SolvedItem,
    Template,
    TextItem,
)

MAX_TITLE: Final = 60
"""Characters of a title or option; longer ones break the printed table."""
MAX_TEXT: Final = 200
"""Characters of a label, hint, introduction or statement."""
MAX_SECTIONS: Final = 40
MAX_ITEMS: Final = 100
"""Items of one section."""
MAX_OPTIONS: Final = 50
MAX_SIGNERS: Final = 8
MAX_ANSWER_LENGTH: Final = 4000
"""The longest text an item may allow."""

_KEY: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")

_Earlier = dict[str, tuple[str, ...] | None]
"""Items a condition may name, with the values they offer."""


def validate_template(template: Template) -> list[FormFinding]:
    """Everything its author has to correct, in the order of the template. Empty when the template can be frozen."""
    findings = [*_key("key", template.key), *_text("title", template.title, MAX_TITLE)]
    if template.version < 1:
        findings.append(_finding("bad_version", "version"))
    for name, text in (("intro", template.intro), ("statement", template.statement)):
        findings += _text(name, text, MAX_TEXT)
    findings += _sections(template.sections)
    findings += _singles(template)
    findings += _signers(template.signers)
    for number, recipient in enumerate(template.deliver_to, start=1):
        findings += _key(f"deliver_to[{number}].role", recipient.role)
        findings += _text(f"deliver_to[{number}].label", recipient.label, MAX_TITLE)
    return findings


def _finding(code: str, path: str, facts: Mapping[str, str | int] | None = None) -> FormFinding:
    return FormFinding(code=code, path=path, todo=texts.todo(code, facts=facts))


def _key(path: str, key: str) -> Iterator[FormFinding]:
    if not _KEY.fullmatch(key):
        yield _finding("bad_key", path, {"key": key})


def _text(path: str, text: Bilingual | None, limit: int) -> Iterator[FormFinding]:
    if text is None:
        return
    if not text.zh.strip() or not text.en.strip():
        yield _finding("empty_text", path)
    if max(len(text.zh), len(text.en)) > limit:
        yield _finding("long_text", path, {"limit": limit})


def _count(path: str, things: Collection[object], most: int) -> Iterator[FormFinding]:
    if not things:
        yield _finding("empty_list", path)
    if len(things) > most:
        yield _finding("long_list", path, {"limit": most})


def _taken(path: str, keys: Iterable[str]) -> Iterator[FormFinding]:
    for key, count in Counter(keys).items():
        if count > 1:
            yield _finding("key_taken", path, {"key": key})


def _range(path: str, low: int, high: int, floor: int, ceiling: int) -> Iterator[FormFinding]:
    if not floor <= low <= high <= ceiling:
        yield _finding("bad_range", path)


def _sections(sections: tuple[Section, ...]) -> Iterator[FormFinding]:
    yield from _count("sections", sections, MAX_SECTIONS)
    yield from _taken("sections", (s.key for s in sections))
    yield from _taken("items", (i.key for s in sections for i in s.items))
    everywhere: _Earlier = {}
    for section in sections:
        path = f"sections.{section.key}"
        yield from _key(f"{path}.key", section.key)
        yield from _text(f"{path}.title", section.title, MAX_TITLE)
        yield from _count(f"{path}.items", section.items, MAX_ITEMS)
        yield from _repetition(path, section)
        here = dict(everywhere)
        for item in section.items:
            yield from _item(f"items.{item.key}", item, here)
            here[item.key] = item.offers()
        if section.repeat == "once":
            everywhere = here


def _repetition(path: str, section: Section) -> Iterator[FormFinding]:
    if section.asset_types and section.repeat != "asset":
        yield _finding("out_of_place", path, {"field": "asset_types"})
    if section.repeat == "row":
        yield from _range(f"{path}.max_rows", section.min_rows, section.max_rows, 0, MAX_ROWS)
        return
    if section.min_rows:
        yield _finding("out_of_place", path, {"field": "min_rows"})
    if section.opens_order:
        yield _finding("out_of_place", path, {"field": "opens_order"})


def _item(path: str, item: Item, earlier: _Earlier) -> Iterator[FormFinding]:
    yield from _key(f"{path}.key", item.key)
    yield from _text(f"{path}.label", item.label, MAX_TEXT)
    yield from _text(f"{path}.hint", item.hint, MAX_TEXT)
    if item.blocking and not item.required:
        yield _finding("optional_star", path)
    if item.only_if is not None:
        offered = earlier.get(item.only_if.item)
        if offered is None or not item.only_if.values or not set(item.only_if.values) <= set(offered):
            yield _finding("bad_condition", path)
    yield from _limits(path, item)


def _limits(path: str, item: Item) -> Iterator[FormFinding]:
    """What the item's own kind can get wrong."""
    if isinstance(item, ChoiceItem):
        yield from _options(path, item)
    elif isinstance(item, ChoicesItem):
        yield from _options(path, item)
        most = len(item.options) if item.max_count is None else item.max_count
        yield from _range(path, item.min_count, most, 1, len(item.options))
    elif isinstance(item, TextItem):
        yield from _range(path, item.min_length, item.max_length, 1, MAX_ANSWER_LENGTH)
    elif isinstance(item, MoneyItem):
        yield from _range(path, item.minimum, item.maximum, -MAX_FEN, MAX_FEN)
    elif isinstance(item, PhotoItem):
        yield from _range(path, item.min_count, item.max_count, 1, MAX_PHOTOS)
    elif isinstance(item, NumberItem):
        yield from _number(path, item)


def _options(path: str, item: ChoiceItem | ChoicesItem) -> Iterator[FormFinding]:
    if len(item.options) < 2:  # noqa: PLR2004 - a choice of one is no choice
        yield _finding("too_few_options", path)
    if len(item.options) > MAX_OPTIONS:
        yield _finding("long_list", path, {"limit": MAX_OPTIONS})
    yield from _taken(path, (o.key for o in item.options))
    for option in item.options:
        yield from _key(f"{path}.options.{option.key}", option.key)
        yield from _text(f"{path}.options.{option.key}", option.label, MAX_TITLE)


def _number(path: str, item: NumberItem) -> Iterator[FormFinding]:
    limits = [limit for limit in (item.minimum, item.maximum) if limit is not None]
    if not all(DECIMAL.fullmatch(limit) for limit in limits):
        yield _finding("bad_decimal", path)
        return
    if [Decimal(limit) for limit in limits] != sorted(Decimal(limit) for limit in limits):
        yield _finding("bad_range", path)
    yield from _range(f"{path}.decimals", 0, item.decimals, 0, 9)


def _singles(template: Template) -> Iterator[FormFinding]:
    """Satisfaction and solved are questions about the whole visit: once, and not in a repeated section."""
    for kind, name in ((SatisfactionItem, "satisfaction"), (SolvedItem, "solved")):
        places = [s for s in template.sections for i in s.items if isinstance(i, kind)]
        if len(places) > 1:
            yield _finding("twice", "items", {"kind": name})
        if any(s.repeat != "once" for s in places):
            yield _finding("only_once_section", "items", {"kind": name})


def _signers(signers: tuple[Signer, ...]) -> Iterator[FormFinding]:
    if len(signers) > MAX_SIGNERS:
        yield _finding("long_list", "signers", {"limit": MAX_SIGNERS})
    yield from _taken("signers", (s.role for s in signers))
    turns = [s.when for s in signers]
    if turns != sorted(turns, key=("on_site", "later").index):
        yield _finding("signer_order", "signers")
    for signer in signers:
        path = f"signers.{signer.role}"
        yield from _key(path, signer.role)
        yield from _text(f"{path}.label", signer.label, MAX_TITLE)
        yield from _methods(path, signer)


def _methods(path: str, signer: Signer) -> Iterator[FormFinding]:
    if not signer.methods:
        yield _finding("empty_list", f"{path}.methods")
    if signer.side == "customer" and signer.required and "refused" not in signer.methods:
        yield _finding("cannot_refuse", path)
    if signer.within_working_days is None:
        return
    if signer.when == "on_site":
        yield _finding("out_of_place", path, {"field": "within_working_days"})
    elif signer.within_working_days < 1:
        yield _finding("bad_range", f"{path}.within_working_days")
