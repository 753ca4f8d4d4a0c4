"""A form for tests: a template with every kind of item, a visit of 李伟 to 赵敏, and pictures made from nothing."""

import struct
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from backend.forms.canonical import sha256_hex
from backend.forms.rules import FilledForm, InspectedAsset, PriceLine, Prices
from backend.forms.shown import (
    Attachment,
    Customer,
    FormFacts,
    Organisation,
    Site,
    Worker,
    shown_document,
)
from backend.forms.signing import Signature, Stroke
from backend.forms.template import Answer, Bilingual, Language, Template
from tests.personas import CUSTOMER_CONTACT, LI_WEI, WU_GANG

NOW = datetime(2026, 11, 21, 2, 41, tzinfo=UTC)
JPEG = Path(__file__).with_name("photo.jpg").read_bytes()


def two(zh: str, en: str) -> Bilingual:
    return Bilingual(zh=zh, en=en)


def png(width: int, height: int, shade: int = 0) -> bytes:
    """A PNG picture, each of another `shade` a different file."""
    row = b"\0" + bytes(
        value for x in range(width) for value in ((x * 255 // width + shade) % 256, shade % 256, 255 - x * 255 // width)
    )
    header = struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(row * height)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body)) for kind, body in chunks
    )


PHOTOS = tuple(png(48, 36, shade) for shade in (10, 90, 170))
PHOTO_NAMES = tuple(sha256_hex(photo) for photo in PHOTOS)

TEMPLATE = msgspec.toml.decode(Path(__file__).with_name("every_kind.toml").read_bytes(), type=Template)

ASSETS = (
    InspectedAsset(id="cam-1", label="大门摄像机", type="camera", model="DS-2CD2T47", serial="SN1001"),
    InspectedAsset(id="cam-2", label="车库摄像机", type="camera", model="DS-2CD2T47", serial="SN1002"),
    InspectedAsset(id="nvr-1", label="机房录像机", type="recorder"),
)

ANSWERS = (
    Answer(item="symptom", value="夜间无图像,白天有横纹"),
    Answer(item="cause", value="wear"),
    Answer(item="steps_taken", value=("cleaned", "replaced")),
    Answer(item="voltage", value="12.1"),
    Answer(item="agreed", value=12800),
    Answer(item="consent_at", value="2026-11-21T09:58:00+08:00"),
    Answer(item="next_on", value="2026-12-21"),
    Answer(item="verified", value=True),
    Answer(item="retested", value=False),
    Answer(item="hazards", value="abnormal", note="配电箱有积水", photos=PHOTO_NAMES[:1], open_repair=True),
    Answer(item="before", photos=PHOTO_NAMES[1:2]),
    Answer(item="lens", subject="cam-1", value="ok"),
    Answer(item="aim", subject="cam-1", value="ok"),
    Answer(item="lens", subject="cam-2", value="abnormal", note="镜头起雾", photos=PHOTO_NAMES[2:]),
    Answer(item="aim", subject="cam-2", value="na"),
    Answer(item="part", subject="1", value="红外灯板 IR-48"),
    Answer(item="old_part", subject="1", value="customer"),
    Answer(item="part", subject="2", value="电源 12V"),
    Answer(item="old_part", subject="2", value="workshop"),
    Answer(item="solved", value="yes"),
    Answer(item="satisfaction", value=5),
    Answer(item="opinion", value="师傅很准时"),
)

PRICES = Prices(
    lines=(
        PriceLine(kind="part", label="红外灯板 IR-48", unit_fen=12800, amount_fen=0, covered_by="warranty"),
        PriceLine(kind="labour", label="工时", unit_fen=8000, quantity="1.5", amount_fen=12000),
    ),
    total_fen=12000,
)

FILLED = FilledForm(answers=ANSWERS, assets=ASSETS, prices=PRICES)


def facts(language: Language = "zh") -> FormFacts:
    """The visit around the answers, in the language shown."""
    name = two("安和智能系统服务有限公司", "Anhe Intelligent Systems Service Ltd").shown(language)
    start = NOW - timedelta(hours=3)
    return FormFacts(
        number="D7-000123",
        language=language,
        zone="Asia/Shanghai",
        organisation=Organisation(name=name, unit="华东售后服务部", phone="400-820-1234"),
        customer=Customer(name="云桥物业", contact=CUSTOMER_CONTACT, phone="138 0013 8000"),
        site=Site(name="云桥小区三号门", address="上海市和平路 88 号"),
        technicians=tuple(Worker(name=p.name, number=p.employee_number, role=p.role) for p in (LI_WEI, WU_GANG)),
        times=(("reported", start), ("arrived", start + timedelta(hours=1)), ("finished", NOW)),
        shown_at=NOW,
        order_number="WO-2031",
        reported="三号门摄像机晚上看不到图像。",
        done="更换红外灯板,与客户共同复测。",
        attachments=(Attachment(sha256="ab" * 32, media_type="image/jpeg", caption="维修后", size_bytes=1),),
    )


def shown(language: Language = "zh") -> bytes:
    """The canonical document that 赵敏 was shown."""
    return shown_document(TEMPLATE, FILLED, facts(language))


STROKES: tuple[Stroke, ...] = (
    ((0, 0, 0), (40, 80, 16), (90, 10, 32), (130, 90, 48)),
    ((150, 20, 400), (150, 100, 430), (190, 60, 460)),
)


def signatures(document: bytes) -> tuple[Signature, ...]:
    """赵敏 draws, 李伟 types; the head has not signed yet."""
    named = sha256_hex(document)
    return (
        Signature(
            document_sha256=named,
            role="customer",
            method="drawn",
            signed_at=NOW + timedelta(minutes=1),
            name=CUSTOMER_CONTACT,
            title="物业经理",
            phone="138 0013 8000",
            strokes=STROKES,
        ),
        Signature(
            document_sha256=named,
            role="technician",
            method="typed",
            signed_at=NOW + timedelta(minutes=2),
            name=LI_WEI.name,
        ),
    )
