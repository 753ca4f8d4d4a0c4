"""What a customer is shown before signing, as one document: labels, answers, prices and times in the language shown.

The document's canonical JSON is what signatures bind, what the report prints and what the sealed PDF carries inside.
Every value stands in it twice: as data, and as `shown`, the text that was on the glass. Fields at their default ("",
false, none, empty list) are left out, so phone and server write the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import groupby
from typing import Final, Literal

import msgspec

from backend.core.errors import Fault, Finding, Problem
from backend.forms import wording
from backend.forms.canonical import (
    Mismatch,
    canonical_bytes,
    canonical_value,
    mismatches,
    sha256_hex,
)
from backend.forms.rules import (
    Asked,
    FilledForm,
    InspectedAsset,
    PhotoWaiver,
    PriceLine,
    Prices,
    asked_items,
    condition_values,
    is_answered,
)
from backend.forms.template import (
    HIGHEST,
    Answer,
    Bilingual,
    CheckItem,
    ChoiceItem,
    ChoicesItem,
    DatetimeItem,
    Item,
    Language,
    MoneyItem,
    NumberItem,
    PhotoItem,
    SatisfactionItem,
    SolvedItem,
    Template,
    TickItem,
    Value,
)

SCHEMA: Final = "paigong/shown/1"
"""The version of this document's shape; readers refuse others."""

SHOWN_UNREADABLE: Final = Fault(
    code="shown_unreadable",
    status=422,
    zh="签字内容不是可验证的规范 JSON。",
    en="What was signed is not a canonical document that can be verified.",
    todo_zh="请更新应用后重新发送原始字节，不要重新排版或转换字符。",
    todo_en="Update the app and send the original bytes again, neither reformatted nor re-encoded.",
)

TimeKey = Literal["reported", "promised", "departed", "arrived", "started", "finished", "left"]


class _Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One group of facts on the form."""


class Organisation(_Fact, frozen=True, kw_only=True):
    """Who did the work, as printed in the header."""

    name: str
    unit: str = ""
    phone: str = ""
    address: str = ""


class Customer(_Fact, frozen=True, kw_only=True):
    """For whom; `id` as on the server, so that a name corrected later changes nothing."""

    name: str
    id: str = ""
    contact: str = ""
    phone: str = ""


class Site(_Fact, frozen=True, kw_only=True):
    """Where; `id` as on the server."""

    name: str
    id: str = ""
    address: str = ""


class Worker(_Fact, frozen=True, kw_only=True):
    """Who was there: name, employee number, role as shown."""

    name: str
    number: str = ""
    role: str = ""


class Attachment(_Fact, frozen=True, kw_only=True):
    """A photo or file that belongs to the form; its bytes may arrive later."""

    sha256: str
    name: str = ""
    media_type: str = ""
    size_bytes: int = 0
    caption: str = ""


class FormFacts(_Fact, frozen=True, kw_only=True):
    """What the phone knows around the answers. `zone` is the site's IANA time zone; instants are aware.

    `number` is device-prefixed, born offline and printed for ever; `supersedes` is the number of a form this corrects.
    """

    number: str
    language: Language
    zone: str
    organisation: Organisation
    customer: Customer
    site: Site
    technicians: tuple[Worker, ...]
    times: tuple[tuple[TimeKey, datetime], ...]
    shown_at: datetime
    order_number: str = ""
    reported: str = ""
    done: str = ""
    supersedes: str = ""
    attachments: tuple[Attachment, ...] = ()


class ShownTemplate(_Fact, frozen=True, kw_only=True):
    """Which frozen template: sha256 of its canonical JSON."""

    key: str
    version: int
    sha256: str


class ShownTime(_Fact, frozen=True, kw_only=True):
    """An instant, UTC, with its label and the site's local time as shown."""

    key: TimeKey
    label: str
    at: str
    shown: str


class ShownItem(_Fact, frozen=True, kw_only=True):
    """One question and its answer."""

    key: str
    kind: str
    label: str
    shown: str
    value: Value | None = None
    note: str = ""
    photos: tuple[str, ...] = ()
    open_repair: bool = False
    blocking: bool = False


class ShownGroup(_Fact, frozen=True, kw_only=True):
    """The items of one asset, one row, or of a plain section (subject "")."""

    items: tuple[ShownItem, ...]
    subject: str = ""
    asset: InspectedAsset | None = None


class ShownSection(_Fact, frozen=True, kw_only=True):
    """A titled part of the form."""

    key: str
    title: str
    repeat: str
    groups: tuple[ShownGroup, ...]


class ShownLine(_Fact, frozen=True, kw_only=True):
    """One charge with its texts: kind, unit price and amount as shown ("0.00 (保修)")."""

    line: PriceLine
    kind: str
    unit: str
    amount: str


class ShownPrices(_Fact, frozen=True, kw_only=True):
    """The charges and their sum."""

    currency: str
    lines: tuple[ShownLine, ...]
    total_fen: int
    total: str


class ShownSigner(_Fact, frozen=True, kw_only=True):
    """Who is asked to sign, in order."""

    role: str
    label: str
    side: str
    when: str
    required: bool = False


class ShownForm(_Fact, frozen=True, kw_only=True):
    """The whole document. Its canonical bytes are what everybody signs."""

    schema: str
    number: str
    template: ShownTemplate
    title: str
    language: Language
    zone: str
    organisation: Organisation
    customer: Customer
    site: Site
    technicians: tuple[Worker, ...]
    times: tuple[ShownTime, ...]
    sections: tuple[ShownSection, ...]
    signers: tuple[ShownSigner, ...]
    statement: str
    shown_at: str
    shown_at_local: str
    intro: str = ""
    order_number: str = ""
    reported: str = ""
    done: str = ""
    supersedes: str = ""
    assets: tuple[InspectedAsset, ...] = ()
    prices: ShownPrices | None = None
    photo_waiver: PhotoWaiver | None = None
    attachments: tuple[Attachment, ...] = ()


def template_bytes(template: Template) -> bytes:
    """The canonical JSON of a template, which its version freezes."""
    return canonical_bytes(template)


def template_sha256(template: Template) -> str:
    """The name of a frozen template: the sha256 of `template_bytes`."""
    return sha256_hex(template_bytes(template))


def shown_form(template: Template, filled: FilledForm, facts: FormFacts) -> ShownForm:
    """The document as shown: the template's labels in the language shown, the answers, the facts around them."""
    say = facts.language
    return ShownForm(
        schema=SCHEMA,
        number=facts.number,
        template=ShownTemplate(key=template.key, version=template.version, sha256=template_sha256(template)),
        title=template.title.shown(say),
        language=say,
        zone=facts.zone,
        organisation=facts.organisation,
        customer=facts.customer,
        site=facts.site,
        technicians=facts.technicians,
        times=tuple(_time(key, at, facts) for key, at in facts.times),
        sections=_sections(template, filled, facts),
        signers=_signers(template, say),
        statement=(template.statement or wording.STATEMENT).shown(say),
        shown_at=wording.utc_text(facts.shown_at),
        shown_at_local=wording.local_text(facts.shown_at, facts.zone),
        intro=template.intro.shown(say) if template.intro else "",
        order_number=facts.order_number,
        reported=facts.reported,
        done=facts.done,
        supersedes=facts.supersedes,
        assets=filled.assets,
        prices=_prices(filled.prices, say),
        photo_waiver=filled.photo_waiver,
        attachments=facts.attachments,
    )


def shown_document(template: Template, filled: FilledForm, facts: FormFacts) -> bytes:
    """The canonical bytes of `shown_form`: hand them to `sha256_hex` for what a signature binds.

    Raises NotCanonicalError when a text holds a lone surrogate or an integer is beyond 2^53 − 1, ValueError for an
    unknown zone or an instant without offset.
    """
    return canonical_bytes(shown_form(template, filled, facts))


def read_shown(raw: bytes) -> ShownForm:
    """The document in `raw`.

    Raises Problem `shown_unreadable` unless `raw` is canonical JSON of this schema. Fields of newer apps stay unread
    in the bytes.
    """
    try:
        form = msgspec.convert(canonical_value(raw), type=ShownForm)
        if form.schema != SCHEMA:
            raise ValueError(f"schema {form.schema}, not {SCHEMA}")  # noqa: TRY301 - told as one problem with the rest
        for at in (form.shown_at, *(time.at for time in form.times)):
            wording.local_text(datetime.fromisoformat(at), form.zone)
    except (ValueError, OverflowError, msgspec.ValidationError) as error:
        raise Problem(SHOWN_UNREADABLE, Finding(field="shown", zh=str(error), en=str(error))) from error
    return form


def filled_form(form: ShownForm) -> FilledForm:
    """The answers as the technician gave them, taken back out of what was shown."""
    answers = tuple(
        Answer(
            item=item.key,
            subject=group.subject,
            value=item.value,
            note=item.note,
            photos=item.photos,
            open_repair=item.open_repair,
        )
        for section in form.sections
        for group in section.groups
        for item in group.items
        if item.value is not None or item.note or item.photos or item.open_repair
    )
    prices = form.prices and Prices(
        lines=tuple(line.line for line in form.prices.lines),
        total_fen=form.prices.total_fen,
        currency=form.prices.currency,
    )
    return FilledForm(answers=answers, assets=form.assets, prices=prices, photo_waiver=form.photo_waiver)


def template_mismatches(form: ShownForm, template: Template) -> list[Mismatch]:
    """Where the document differs from what this frozen template shows for the same answers and facts.

    Empty means: every label, price text and signer on the glass came from the template, and nothing asked was left out.
    """
    facts = FormFacts(
        number=form.number,
        language=form.language,
        zone=form.zone,
        organisation=form.organisation,
        customer=form.customer,
        site=form.site,
        technicians=form.technicians,
        times=tuple((time.key, datetime.fromisoformat(time.at)) for time in form.times),
        shown_at=datetime.fromisoformat(form.shown_at),
        order_number=form.order_number,
        reported=form.reported,
        done=form.done,
        supersedes=form.supersedes,
        attachments=form.attachments,
    )
    return mismatches(form, shown_form(template, filled_form(form), facts))


def _time(key: TimeKey, at: datetime, facts: FormFacts) -> ShownTime:
    label = wording.TIMES[key].shown(facts.language)
    return ShownTime(key=key, label=label, at=wording.utc_text(at), shown=wording.local_text(at, facts.zone))


def _signers(template: Template, say: Language) -> tuple[ShownSigner, ...]:
    return tuple(
        ShownSigner(role=s.role, label=s.label.shown(say), side=s.side, when=s.when, required=s.required)
        for s in template.signers
    )


def _sections(template: Template, filled: FilledForm, facts: FormFacts) -> tuple[ShownSection, ...]:
    """The sections in the template's order, their questions grouped by asset or row.

    Sections with nothing to ask are left out, except row sections: "faults found: none" is a statement too.
    """
    questions = asked_items(template, filled)
    shown: list[ShownSection] = []
    for section in template.sections:
        of_section = [q for q in questions if q.section is section]
        if not of_section and section.repeat != "row":
            continue
        groups = tuple(
            _group(subject, list(of_subject), filled, facts)
            for subject, of_subject in groupby(of_section, key=lambda q: q.subject)
        )
        title = section.title.shown(facts.language)
        shown.append(ShownSection(key=section.key, title=title, repeat=section.repeat, groups=groups))
    return tuple(shown)


def _group(subject: str, questions: list[Asked], filled: FilledForm, facts: FormFacts) -> ShownGroup:
    asset = next((a for a in filled.assets if a.id == subject), None)
    return ShownGroup(subject=subject, asset=asset, items=tuple(_item(question, facts) for question in questions))


def _item(question: Asked, facts: FormFacts) -> ShownItem:
    item = question.item
    answer = question.answer or Answer(item=item.key, subject=question.subject)
    answered = is_answered(item, answer)
    return ShownItem(
        key=item.key,
        kind=str(item.__struct_config__.tag),
        label=item.label.shown(facts.language),
        shown=(_value_text(item, answer, facts) if answered else wording.NOT_ANSWERED.shown(facts.language)),
        value=answer.value,
        note=answer.note,
        photos=answer.photos,
        open_repair=answer.open_repair,
        blocking=item.blocking,
    )


def _value_text(item: Item, answer: Answer, facts: FormFacts) -> str:
    """The answer as a person reads it. A value that does not fit its item is shown as it stands, never hidden."""
    say, value = facts.language, answer.value
    if isinstance(item, PhotoItem):
        return wording.PHOTOS.shown(say).replace("{count}", str(len(answer.photos)))
    if isinstance(item, MoneyItem) and isinstance(value, int):
        return wording.money_text(value)
    if isinstance(item, DatetimeItem) and item.refuse(answer) is None:
        return wording.local_text(datetime.fromisoformat(str(value)), facts.zone)
    words = _words(item)
    told = [words[key].shown(say) if key in words else key for key in condition_values(value)]
    text = (", " if say == "en" else "、").join(told)
    if isinstance(item, SatisfactionItem):
        return f"{value} / {HIGHEST} · {text}"
    return f"{text} {item.unit}" if isinstance(item, NumberItem) and item.unit else text


def _words(item: Item) -> Mapping[str, Bilingual]:
    """What the values of this item are called."""
    if isinstance(item, ChoiceItem | ChoicesItem):
        return {option.key: option.label for option in item.options}
    return _WORDS.get(type(item), {})


_WORDS: Final[Mapping[type, Mapping[str, Bilingual]]] = {
    CheckItem: wording.OUTCOMES,
    TickItem: wording.TICKS,
    SolvedItem: wording.SOLVED,
    SatisfactionItem: wording.SATISFACTION,
}


def _prices(prices: Prices | None, say: Language) -> ShownPrices | None:
    if prices is None:
        return None
    return ShownPrices(
        currency=prices.currency,
        lines=tuple(_line(line, say) for line in prices.lines),
        total_fen=prices.total_fen,
        total=wording.money_text(prices.total_fen),
    )


def _line(line: PriceLine, say: Language) -> ShownLine:
    amount = wording.money_text(line.amount_fen)
    if line.covered_by:
        amount = f"{amount} ({wording.COVERED_BY[line.covered_by].shown(say)})"
    kind = wording.PRICE_KINDS[line.kind].shown(say)
    return ShownLine(line=line, kind=kind, unit=wording.money_text(line.unit_fen), amount=amount)
