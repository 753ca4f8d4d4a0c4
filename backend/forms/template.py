"""The shape of a form template: sections, items, prices, signers, every label in Chinese and English.

A template is data: the presets carry the checklists of the service rules (A075 to A164), an organisation adds its own.
A template that has been used is frozen: forms pin its key, version and sha256, so a later edit cannot change what was
signed.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Final, Literal, NamedTuple

import msgspec

Language = Literal["zh", "en", "zh+en"]
"""The language a form is shown in; `zh+en` shows both, Chinese first."""

Value = bool | int | str | tuple[str, ...]
"""An answer's value. No floats: a number is a decimal string, money is fen."""

LOWEST: Final = 1
HIGHEST: Final = 5
"""The satisfaction scale, A105: 1 very dissatisfied, 5 very satisfied."""

DECIMAL: Final = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,9})?")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:Z|[+-][0-9]{2}:[0-9]{2})")


class Bilingual(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One text people see, in Chinese and English."""

    zh: str
    en: str

    def shown(self, language: Language) -> str:
        """The text exactly as a reader of `language` sees it."""
        if language == "zh":
            return self.zh
        if language == "en":
            return self.en
        return self.zh if self.zh == self.en else f"{self.zh} / {self.en}"


class Refusal(NamedTuple):
    """Why an answer cannot stand: a code of `texts.py` and the numbers its sentence names."""

    code: str
    facts: dict[str, str | int] = {}  # noqa: RUF012 - a default of a tuple, never changed


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer of a filled form.

    `subject` is "" in a plain section, the asset's id in an asset section, the row's number ("1") in a row section.
    `photos` are sha256 in hex. `open_repair`: the technician asks for a repair order.
    """

    item: str
    subject: str = ""
    value: Value | None = None
    note: str = ""
    photos: tuple[str, ...] = ()
    open_repair: bool = False


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Template parts refuse unknown fields (an author's typo must not pass) and omit defaults.

    Omitted defaults keep the sha256 of a frozen template the same when a later release adds an optional field.
    """


class Condition(_Part, frozen=True, kw_only=True):
    """Ask an item only if `item` (an earlier one) was answered with one of `values`."""

    item: str
    values: tuple[str, ...]


class Option(_Part, frozen=True, kw_only=True):
    """One choice of a list."""

    key: str
    label: Bilingual
    note_required: bool = False


class _Item(_Part, frozen=True, kw_only=True):
    """What every question has. `key` is unique in the whole template.

    `blocking` is the ★ of the paper form: the step the template gates is refused until the answer is the good one
    (check: ok, tick: ticked, solved: yes, anything else: answered).
    """

    key: str
    label: Bilingual
    hint: Bilingual | None = None
    required: bool = True
    blocking: bool = False
    only_if: Condition | None = None
    sources: tuple[str, ...] = ()

    def is_good(self, value: Value | None) -> bool:
        """Whether a blocking item with this answer lets the work go on."""
        del value
        return True

    def offers(self) -> tuple[str, ...] | None:
        """The values a condition on this item may name, or None if no condition may refer to it."""
        return None


class CheckItem(_Item, frozen=True, kw_only=True, tag="check", tag_field="kind"):
    """正常 ok / 异常 abnormal / 不适用 na. Abnormal asks for a note and a photo and offers to open a repair (A130)."""

    allow_na: bool = True
    abnormal_note: bool = True
    abnormal_photo: bool = True
    offer_repair: bool = True

    def is_good(self, value: Value | None) -> bool:
        """Only 正常 lets the work go on."""
        return value == "ok"

    def offers(self) -> tuple[str, ...]:
        """The outcomes this item knows."""
        return ("ok", "abnormal", "na") if self.allow_na else ("ok", "abnormal")

    def refuse(self, answer: Answer) -> Refusal | None:
        """One of the outcomes; abnormal needs words."""
        if answer.value not in self.offers():
            return Refusal("not_an_option", {"options": ", ".join(self.offers())})
        if answer.value == "abnormal" and self.abnormal_note and not answer.note.strip():
            return Refusal("abnormal_note")
        return None


class TickItem(_Item, frozen=True, kw_only=True, tag="tick", tag_field="kind"):
    """Done or not done: a tool packed, a fact confirmed by telephone. Answer true or false."""

    def is_good(self, value: Value | None) -> bool:
        """Only ticked."""
        return value is True

    def offers(self) -> tuple[str, ...]:
        """As conditions spell it."""
        return ("true", "false")

    def refuse(self, answer: Answer) -> Refusal | None:
        """True or false, nothing else."""
        return None if isinstance(answer.value, bool) else Refusal("not_a_tick")


class TextItem(_Item, frozen=True, kw_only=True, tag="text", tag_field="kind"):
    """Free words; lengths in characters."""

    min_length: int = 1
    max_length: int = 2000
    multiline: bool = False

    def refuse(self, answer: Answer) -> Refusal | None:
        """Text within its length."""
        if not isinstance(answer.value, str):
            return Refusal("not_text")
        if len(answer.value.strip()) < self.min_length:
            return Refusal("text_too_short", {"limit": self.min_length})
        if len(answer.value) > self.max_length:
            return Refusal("text_too_long", {"limit": self.max_length})
        return None


class NumberItem(_Item, frozen=True, kw_only=True, tag="number", tag_field="kind"):
    """A measured number. Limits and answer are decimal strings ("12.5"): binary floats do not survive being signed."""

    unit: str = ""
    decimals: int = 0
    minimum: str | None = None
    maximum: str | None = None

    def refuse(self, answer: Answer) -> Refusal | None:
        """A decimal string within range and decimals."""
        if not isinstance(answer.value, str) or not DECIMAL.fullmatch(answer.value):
            return Refusal("not_a_number")
        if len(answer.value.partition(".")[2]) > self.decimals:
            return Refusal("too_many_decimals", {"limit": self.decimals})
        low, high, number = self.minimum, self.maximum, Decimal(answer.value)
        if (low is not None and number < Decimal(low)) or (high is not None and number > Decimal(high)):
            return Refusal("out_of_range", {"low": low or "−∞", "high": high or "∞"})
        return None


class MoneyItem(_Item, frozen=True, kw_only=True, tag="money", tag_field="kind"):
    """An amount in fen (1/100 of the currency unit), an integer."""

    minimum: int = 0
    maximum: int = 100_000_000

    def refuse(self, answer: Answer) -> Refusal | None:
        """Whole fen within range."""
        if not isinstance(answer.value, int) or isinstance(answer.value, bool):
            return Refusal("not_money")
        if not self.minimum <= answer.value <= self.maximum:
            return Refusal("out_of_range", {"low": self.minimum, "high": self.maximum})
        return None


class ChoiceItem(_Item, frozen=True, kw_only=True, tag="choice", tag_field="kind"):
    """Exactly one of `options`; the answer is the option's key."""

    options: tuple[Option, ...]

    def offers(self) -> tuple[str, ...]:
        """The options' keys."""
        return tuple(option.key for option in self.options)

    def refuse(self, answer: Answer) -> Refusal | None:
        """One known option, with a note where the option wants one."""
        if answer.value not in self.offers():
            return Refusal("not_an_option", {"options": ", ".join(self.offers())})
        return _note_of(self.options, (str(answer.value),), answer.note)


class ChoicesItem(_Item, frozen=True, kw_only=True, tag="choices", tag_field="kind"):
    """Several of `options`; the answer is a list of keys."""

    options: tuple[Option, ...]
    min_count: int = 1
    max_count: int | None = None

    def offers(self) -> tuple[str, ...]:
        """The options' keys."""
        return tuple(option.key for option in self.options)

    def refuse(self, answer: Answer) -> Refusal | None:
        """Known options, none twice, not too few or many."""
        chosen = answer.value
        if not isinstance(chosen, tuple) or not set(chosen) <= set(self.offers()) or len(set(chosen)) != len(chosen):
            return Refusal("not_an_option", {"options": ", ".join(self.offers())})
        most = len(self.options) if self.max_count is None else self.max_count
        if not self.min_count <= len(chosen) <= most:
            return Refusal("out_of_range", {"low": self.min_count, "high": most})
        return _note_of(self.options, chosen, answer.note)


class DateItem(_Item, frozen=True, kw_only=True, tag="date", tag_field="kind"):
    """A calendar day, "2026-11-21"."""

    def refuse(self, answer: Answer) -> Refusal | None:
        """A day that exists."""
        return None if isinstance(answer.value, str) and _is_date(answer.value) else Refusal("not_a_date")


class DatetimeItem(_Item, frozen=True, kw_only=True, tag="datetime", tag_field="kind"):
    """An instant with its offset, "2026-11-21T10:41:00+08:00"."""

    def refuse(self, answer: Answer) -> Refusal | None:
        """An instant that exists, with its offset."""
        return None if isinstance(answer.value, str) and _is_instant(answer.value) else Refusal("not_an_instant")


class PhotoItem(_Item, frozen=True, kw_only=True, tag="photo", tag_field="kind"):
    """Photos wanted in any case (before/after, note slip); `photos` of the answer carries their sha256."""

    min_count: int = 1
    max_count: int = 10

    def refuse(self, answer: Answer) -> Refusal | None:
        """Only photos, as many as wanted."""
        if answer.value is not None:
            return Refusal("photo_has_value")
        if not self.min_count <= len(answer.photos) <= self.max_count:
            return Refusal("out_of_range", {"low": self.min_count, "high": self.max_count})
        return None


class SatisfactionItem(_Item, frozen=True, kw_only=True, tag="satisfaction", tag_field="kind"):
    """满意度 1 (very dissatisfied) to 5 (very satisfied), A105."""

    def refuse(self, answer: Answer) -> Refusal | None:
        """A whole number on the scale."""
        stars = answer.value
        good = isinstance(stars, int) and not isinstance(stars, bool) and LOWEST <= stars <= HIGHEST
        return None if good else Refusal("out_of_range", {"low": LOWEST, "high": HIGHEST})


class SolvedItem(_Item, frozen=True, kw_only=True, tag="solved", tag_field="kind"):
    """完全解决 yes / partly / no (A104); partly and no ask for a note."""

    def is_good(self, value: Value | None) -> bool:
        """Only entirely solved (A104)."""
        return value == "yes"

    def offers(self) -> tuple[str, ...]:
        """The three answers of A104."""
        return ("yes", "partly", "no")

    def refuse(self, answer: Answer) -> Refusal | None:
        """Yes, partly or no; the last two say what is left."""
        if answer.value not in self.offers():
            return Refusal("not_an_option", {"options": ", ".join(self.offers())})
        return Refusal("unsolved_note") if answer.value != "yes" and not answer.note.strip() else None


Item = (
    CheckItem
    | TickItem
    | TextItem
    | NumberItem
    | MoneyItem
    | ChoiceItem
    | ChoicesItem
    | DateItem
    | DatetimeItem
    | PhotoItem
    | SatisfactionItem
    | SolvedItem
)


class Section(_Part, frozen=True, kw_only=True):
    """A titled group of items.

    `repeat`: `once`; `asset` = once for every asset of the form (only types in `asset_types`, or all when empty);
    `row` = as many rows as the technician adds, between `min_rows` and `max_rows` (faults found, materials, left-over
    problems). `opens_order`: each row proposes a work order of its own (A283).
    """

    key: str
    title: Bilingual
    items: tuple[Item, ...]
    repeat: Literal["once", "asset", "row"] = "once"
    asset_types: tuple[str, ...] = ()
    min_rows: int = 0
    max_rows: int = 50
    opens_order: bool = False


Method = Literal["drawn", "typed", "assisted", "paper", "refused"]
"""How somebody signed: drawn on the glass, name typed, by another's hand at their request, on paper with seal 盖章
and photographed, or refused with a reason."""

METHODS: Final[tuple[Method, ...]] = ("drawn", "typed", "assisted", "paper", "refused")


class Signer(_Part, frozen=True, kw_only=True):
    """Who signs; signers sign in the order of the list (A109: leader first, then the head).

    `role` is a key such as customer, customer_leader, technician, head, returns, production, quality. `when = "later"`
    does not hold up the visit: the signer gets the form afterwards, within `within_working_days` (A111).
    """

    role: str
    label: Bilingual
    side: Literal["customer", "us"]
    required: bool = True
    when: Literal["on_site", "later"] = "on_site"
    within_working_days: int | None = None
    methods: tuple[Method, ...] = METHODS


class Recipient(_Part, frozen=True, kw_only=True):
    """Who receives a copy, with the receipt logged (A109)."""

    role: str
    label: Bilingual


class Template(_Part, frozen=True, kw_only=True):
    """A form: what is asked, what it costs, who signs.

    `gate` is the step that is refused while the form is incomplete; `prices` whether price lines are shown and signed
    (A098: all charges appear on the signed form). `statement` is the sentence above the signature.
    """

    key: str
    version: int
    title: Bilingual
    subject: Literal["visit", "work_order", "request", "site", "customer"]
    sections: tuple[Section, ...]
    gate: Literal["depart", "finish", "none"] = "finish"
    prices: Literal["none", "optional", "required"] = "none"
    intro: Bilingual | None = None
    statement: Bilingual | None = None
    signers: tuple[Signer, ...] = ()
    deliver_to: tuple[Recipient, ...] = ()
    sources: tuple[str, ...] = ()


def _note_of(options: tuple[Option, ...], chosen: tuple[str, ...], note: str) -> Refusal | None:
    wanted = any(option.note_required for option in options if option.key in chosen)
    return Refusal("option_note") if wanted and not note.strip() else None


def _is_date(text: str) -> bool:
    """The pattern first: `fromisoformat` also takes 20261121 and week dates, which a phone would not read back."""
    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_instant(text: str) -> bool:
    if not _INSTANT.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
