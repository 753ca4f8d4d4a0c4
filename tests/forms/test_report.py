"""The printed report, opened with a library that did not make it: its words, the signed document inside, any text."""

import io
import threading
from collections.abc import Sequence
from typing import Any

import msgspec
import pypdf
import pytest

from backend.core.errors import Problem
from backend.forms.canonical import sha256_hex
from backend.forms.report import render_report
from backend.forms.rules import FilledForm, InspectedAsset, PhotoWaiver
from backend.forms.shown import Customer, FormFacts, shown_document
from backend.forms.signing import Signature, signatures_bytes
from backend.forms.template import Answer, Language
from tests.forms.samples import (
    ANSWERS,
    FILLED,
    JPEG,
    NOW,
    PHOTO_NAMES,
    PHOTOS,
    TEMPLATE,
    facts,
    png,
    shown,
    signatures,
)

REFERENCE = "https://service.example.cn/v/D7-000123"


def render(document: bytes, signed: Sequence[Signature] = (), images: dict[str, bytes] | None = None) -> bytes:
    return render_report(document, signed, verify_reference=REFERENCE, now=NOW, images=images)


def text_of(pdf: bytes) -> str:
    """All words of a PDF without the spaces and breaks its layout adds."""
    pages = pypdf.PdfReader(io.BytesIO(pdf)).pages
    return "".join("".join(page.extract_text().split()).replace("\u200b", "") for page in pages)


def pictures_of(pdf: bytes) -> int:
    return sum(len(page.images) for page in pypdf.PdfReader(io.BytesIO(pdf)).pages)


def missing(words: Sequence[str], pdf: bytes) -> list[str]:
    return not_in(text_of(pdf), words)


def not_in(text: str, words: Sequence[str]) -> list[str]:
    return [word for word in words if "".join(word.split()) not in text]


CHINESE = [
    "安和智能系统服务有限公司", "维修确认单", "表单编号 D7-000123", "云桥物业", "赵敏", "李伟、吴刚", "WO-2031",
    "报修内容", "三号门摄像机晚上看不到图像", "到达", "2026-11-21 08:41", "故障现象", "夜间无图像,白天有横纹",
    "★ 已验证", "配电箱有积水", "已申请维修", "大门摄像机", "不适用", "镜头起雾", "红外灯板 IR-48", "遗留问题", "无",
    "已完全解决", "★★★★★", "5 / 5 · 非常满意", "0.00 (保修)", "金额 (CNY)", "合计", "120.00", "手写签名", "物业经理",
    "键入姓名", "部长", "尚未签字", "我确认" if TEMPLATE.statement is None else "本人确认以上内容", "第 1 页", "核验",
]  # fmt: skip
ENGLISH = [
    "Anhe Intelligent Systems Service Ltd", "Repair confirmation", "Form no. D7-000123", "Technicians", "Work order",
    "Reported", "Arrived", "Symptom", "★ Verified", "Abnormal", "Repair requested", "Camera care", "Not applicable",
    "Parts replaced", "Left-over problems", "None", "Entirely solved", "5 / 5 · Very satisfied", "0.00 (warranty)",
    "Amount (CNY)", "Total", "Drawn by hand", "Typed name", "Not yet signed", "I confirm the above.", "Page 1 of",
    "SHA-256 of the signed content",
]  # fmt: skip


@pytest.mark.rule("A098", "A102", "A108", "A109")
@pytest.mark.parametrize(
    ("language", "words", "foreign"),
    [
        ("zh", CHINESE, ["Symptom", "Signed"]),
        ("en", ENGLISH, ["故障现象", "签字时间"]),
        ("zh+en", ["异常/Abnormal"], []),
    ],
)
def test_the_report_reads_right_in_its_language(language: Language, words: list[str], foreign: list[str]) -> None:
    document = shown(language)
    pdf = render(document, signatures(document), dict(zip(PHOTO_NAMES, PHOTOS, strict=True)))
    assert missing(words, pdf) == []
    assert missing(foreign, pdf) == foreign
    assert sha256_hex(document) in text_of(pdf)


def test_it_is_an_accessible_archive_file_with_its_own_fonts() -> None:
    reader = pypdf.PdfReader(io.BytesIO(render(shown(), signatures(shown()))))
    root: Any = reader.root_object
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "zh-CN"
    metadata = root["/Metadata"].get_data().decode()
    assert "<pdfaid:part>3</pdfaid:part>" in metadata
    assert "<pdfaid:conformance>A</pdfaid:conformance>" in metadata
    assert "<pdfuaid:part>1</pdfuaid:part>" in metadata
    fonts: list[Any] = [font.get_object() for page in reader.pages for font in _fonts(page)]
    assert {str(font["/BaseFont"]).partition("+")[2].partition("-")[0] for font in fonts} == {
        "NotoSansSC",
        "NotoSerifSC",
    }
    assert all("/FontFile3" in font["/DescendantFonts"][0]["/FontDescriptor"] for font in fonts)
    assert (reader.pages[0].mediabox.width, reader.pages[0].mediabox.height) == pytest.approx(
        (595.28, 841.89), abs=0.01
    )


def _fonts(page: Any) -> list[Any]:
    return list(page["/Resources"].get("/Font", {}).values())


def test_the_signed_document_lies_inside_byte_for_byte() -> None:
    document = shown()
    reader = pypdf.PdfReader(io.BytesIO(render(document, signatures(document))))
    assert reader.attachments["shown.json"] == [document]
    assert reader.attachments["signatures.json"] == [signatures_bytes(signatures(document))]


def test_rendering_again_gives_the_same_bytes() -> None:
    document = shown()
    assert render(document, signatures(document)) == render(document, signatures(document))


def test_dates_come_from_the_time_given() -> None:
    info = pypdf.PdfReader(io.BytesIO(render(shown()))).metadata
    assert info is not None
    assert (info.creation_date, info.modification_date) == (NOW, NOW)


def test_a_signature_of_another_document_is_never_printed() -> None:
    with pytest.raises(Problem) as caught:
        render(shown("zh"), signatures(shown("en")))
    assert caught.value.fault.code == "report_not_rendered"
    assert "customer" in caught.value.findings[0].en


@pytest.mark.parametrize("language", ["zh", "en", "zh+en"])
def test_without_an_address_the_report_says_the_code_instead_of_a_qr_code(language: Language) -> None:
    document = shown(language)
    plain = render_report(document, signatures(document), verify_reference="", now=NOW)
    told = {"zh": ["核验码：" + sha256_hex(document)], "en": ["issuer this code: " + sha256_hex(document)]}
    both = {**told, "zh+en": told["zh"] + told["en"]}
    assert missing(both[language], plain) == []
    scan = {"zh": "扫码核验", "en": "Scan to verify", "zh+en": "扫码核验"}[language]
    assert missing([scan], plain) == [scan]
    assert missing([scan], render(document, signatures(document))) == []


def test_a_code_nobody_could_scan_is_refused() -> None:
    with pytest.raises(Problem) as caught:
        render_report(shown(), [], verify_reference="x" * 501, now=NOW)
    assert caught.value.findings[0].field == "verify_reference"


def test_what_was_not_shown_canonically_is_not_printed() -> None:
    with pytest.raises(Problem) as caught:
        render(shown() + b"\n")
    assert caught.value.fault.code == "shown_unreadable"


@pytest.mark.rule("A104")
def test_photos_that_have_not_arrived_are_counted() -> None:
    document = shown()
    none = render(document)
    assert missing(["已收到 0 张，共 4 张"], none) == []
    assert pictures_of(none) == 0
    two = render(document, images=dict(zip(PHOTO_NAMES[:2], PHOTOS, strict=False)))
    assert missing(["已收到 2 张，共 4 张", "1. 安全隐患", "2. 维修前照片"], two) == []
    assert pictures_of(two) == 2


def test_bytes_under_a_wrong_name_are_not_printed() -> None:
    swapped = render(shown(), images={PHOTO_NAMES[0]: PHOTOS[1], PHOTO_NAMES[1]: PHOTOS[1]})
    assert pictures_of(swapped) == 1
    assert missing(["已收到 1 张"], swapped) == []


def test_a_jpeg_is_printed_and_a_broken_picture_only_counted() -> None:
    cut = png(48, 36, 250)[:-30]
    broken_jpeg = JPEG[:200]
    named = tuple(map(sha256_hex, (JPEG, cut, broken_jpeg, b"not a picture")))
    answers = tuple(msgspec.structs.replace(a, photos=named) if a.item == "hazards" else a for a in ANSWERS)
    document = shown_document(TEMPLATE, msgspec.structs.replace(FILLED, answers=answers), facts())
    raws = (JPEG, cut, broken_jpeg, b"not a picture")
    pdf = render(document, images=dict(zip(named, raws, strict=True)))
    assert missing(["已收到 4 张，共 7 张", "无法印出的照片：3 张"], pdf) == []
    assert pictures_of(pdf) == 1


def test_a_refusal_stands_there_with_its_reason() -> None:
    document = shown()
    refused = Signature(
        document_sha256=sha256_hex(document), role="customer", method="refused", signed_at=NOW, reason="对收费有异议"
    )
    assert missing(["拒绝签字", "原因", "对收费有异议"], render(document, [refused])) == []


def test_help_and_paper_are_said() -> None:
    document = shown()
    paper = png(64, 48, 33)
    drawn, typed = signatures(document)
    assisted = msgspec.structs.replace(drawn, method="assisted", assisted_by="李伟")
    sealed = msgspec.structs.replace(typed, method="paper", image_sha256=sha256_hex(paper))
    arrived = render(document, [assisted, sealed], {sha256_hex(paper): paper})
    assert missing(["协助签名", "协助人 李伟", "纸质件签字盖章"], arrived) == []
    assert pictures_of(arrived) == 1
    coming = render(document, [assisted, sealed])
    assert missing(["纸质件照片", sha256_hex(paper)[:12]], coming) == []


def test_a_confidential_site_says_why_there_are_no_photos() -> None:
    answers = tuple(msgspec.structs.replace(a, photos=()) for a in ANSWERS if a.item != "before")
    waiver = PhotoWaiver(reason="机要机房", granted_by="陈静")
    filled = msgspec.structs.replace(FILLED, answers=answers, photo_waiver=waiver)
    quiet = msgspec.structs.replace(facts(), attachments=())
    assert missing(["现场禁止拍照", "机要机房", "陈静"], render(shown_document(TEMPLATE, filled, quiet))) == []


EVIL = (
    '#panic("x") #read("report.typ") #{1 + 1} = Title [*bold*] $x^2$ `raw` <label> @ref \\ // comment /* */ "]} '
    "\u202eevil\u202c \u0000 😀 𠮷 العربية \u2028 \r\n"
)


@pytest.mark.parametrize("language", ["zh", "en", "zh+en"])
def test_hostile_text_is_printed_as_text(language: Language) -> None:
    document, signed = _hostile(language)
    pdf = render(document, signed)
    text = text_of(pdf)
    for literal in ('#panic("x")', '#read("report.typ")', "#{1+1}", "[*bold*]", "$x^2$", "`raw`", "<label>", "@ref"):
        assert text.count(literal) >= 10, literal
    assert "〔U+202E〕evil〔U+202C〕" in text
    assert "〔U+1F600〕" in text
    assert pypdf.PdfReader(io.BytesIO(pdf)).attachments["shown.json"] == [document]


def _hostile(language: Language) -> tuple[bytes, list[Signature]]:
    around = msgspec.structs.replace(
        facts(language),
        number="D7-#1",
        reported=EVIL,
        done=EVIL,
        customer=Customer(name=EVIL, contact=EVIL),
        order_number=EVIL,
    )
    answers = tuple(
        msgspec.structs.replace(a, note=EVIL, value=EVIL if a.item in ("symptom", "part", "opinion") else a.value)
        for a in ANSWERS
    )
    assets = tuple(msgspec.structs.replace(a, label=EVIL, model=EVIL) for a in FILLED.assets)
    document = shown_document(TEMPLATE, msgspec.structs.replace(FILLED, answers=answers, assets=assets), around)
    drawn, typed = signatures(document)
    return document, [
        msgspec.structs.replace(drawn, method="refused", reason=EVIL, title=EVIL, strokes=()),
        msgspec.structs.replace(typed, name=EVIL),
    ]


def test_a_very_long_form_keeps_every_word_over_many_pages() -> None:
    assets = tuple(InspectedAsset(id=f"c{n}", label=f"摄像机 {n:03d}", type="camera") for n in range(120))
    checks = tuple(
        Answer(item=item, subject=a.id, value="abnormal", note=f"编号 {a.id} 的说明。" * 12)
        for a in assets
        for item in ("lens", "aim")
    )
    kept = tuple(a for a in ANSWERS if a.item not in ("lens", "aim"))
    long = msgspec.structs.replace(facts(), done="处理过程很长。" * 1500)
    document = shown_document(TEMPLATE, FilledForm(answers=(*kept, *checks), assets=assets), long)
    pdf = render(
        document, [msgspec.structs.replace(signatures(document)[0], method="refused", reason="缘由很长。" * 400)]
    )
    text = text_of(pdf)
    assert len(pypdf.PdfReader(io.BytesIO(pdf)).pages) > 20
    assert not_in(text, [asset.label for asset in assets]) == []
    assert text.count("程") == 1500
    assert text.count("缘") == 400
    assert text.count("编号c119的说明") == 24


def test_a_form_with_next_to_nothing_is_printed() -> None:
    bare = FormFacts(
        number="D7-1",
        language="en",
        zone="UTC",
        organisation=facts().organisation,
        customer=Customer(name=""),
        site=facts().site,
        technicians=(),
        times=(),
        shown_at=NOW,
    )
    pdf = render(shown_document(TEMPLATE, FilledForm(answers=()), bare))
    assert missing(["Form no. D7-1", "Not answered", "Not yet signed"], pdf) == []


def test_threads_take_turns() -> None:
    document = shown()
    expected = render(document)
    made: list[bytes] = []
    threads = [threading.Thread(target=lambda: made.append(render(document))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [expected] * 6
