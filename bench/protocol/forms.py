"""The form of the protocol's pages: its fixed words, and one small document as it is shown and signed."""

from typing import Final

import msgspec

from backend.forms import wording
from backend.forms.canonical import sha256_hex
from backend.forms.rules import FilledForm
from backend.forms.shown import SCHEMA, Customer, FormFacts, Organisation, Site, Worker, shown_document
from backend.forms.template import Answer, Bilingual, Template
from bench.protocol.world import CUSTOMER, LOGIN, SITE, START, ZONE

BODY: Final = {
    "key": "barrier_check",
    "version": 1,
    "subject": "visit",
    "title": {"zh": "道闸检查单", "en": "Barrier check"},
    "sections": [
        {
            "key": "barrier",
            "title": {"zh": "道闸", "en": "Barrier"},
            "items": [
                {"key": "works", "kind": "check", "label": {"zh": "起落正常", "en": "Opens and closes"}},
                {"key": "seconds", "kind": "number", "unit": "s", "label": {"zh": "起杆时间", "en": "Time to open"}},
            ],
        }
    ],
    "signers": [{"role": "customer", "side": "customer", "label": {"zh": "客户", "en": "Customer"}}],
}
ANSWERS: Final = (Answer(item="works", value="ok"), Answer(item="seconds", value="2.5"))
WORDS: Final = {
    "`check`": wording.OUTCOMES, "`tick`": wording.TICKS, "`solved`": wording.SOLVED,
    "`satisfaction`": wording.SATISFACTION, "time": wording.TIMES, "price": wording.PRICE_KINDS,
    "covered by": wording.COVERED_BY,
}  # fmt: skip
SINGLE: Final = {
    "no answer": wording.NOT_ANSWERED, "photos": wording.PHOTOS,
    "statement, unless the template has one": wording.STATEMENT,
}  # fmt: skip


def form_example() -> str:
    """A template, the document the phone makes of it in Chinese, and the document's name."""
    template = msgspec.convert(BODY, Template)
    facts = FormFacts(
        number="K7QW-00001", language="zh", zone=ZONE, organisation=Organisation(name="云桥维保"),
        customer=Customer(name="云桥物业", id=str(CUSTOMER)), site=Site(name="云桥大厦", id=str(SITE)),
        technicians=(Worker(name="李伟", number=LOGIN),), times=(("finished", START),), shown_at=START,
        order_number="WO-0001", done="已更换",
    )  # fmt: skip
    shown = shown_document(template, FilledForm(answers=ANSWERS), facts)
    body = msgspec.json.format(msgspec.json.encode(BODY), indent=1).decode()
    return (
        f"`body` of the template:\n\n```json\n{body}\n```\n\nThe document (`shown`), {len(shown)} bytes on one line; "
        f"its `schema` is `{SCHEMA}`:\n\n```json\n{shown.decode()}\n```\n\nIts sha256, the `document_sha256` of each "
        f"signature:\n\n```text\n{sha256_hex(shown)}\n```\n"
    )


def words_table() -> str:
    """The words of a form that are in no template."""
    rows = [(what, key, words) for what, known in WORDS.items() for key, words in known.items()]
    rows += [(what, "", words) for what, words in SINGLE.items()]
    return "| of | value | 中文 | English | both |\n|---|---|---|---|---|\n" + "".join(
        f"| {what} | {f'`{key}`' if key else ''} | {words.zh} | {words.en} | {_both(words)} |\n"
        for what, key, words in rows
    )


def _both(words: Bilingual) -> str:
    return words.shown("zh+en")
