"""The fixed words of a filled form, in both languages, and how instants and money are written. All of it is signed.

Changing a word changes the canonical JSON of forms filled from then on, never of those already signed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from backend.forms.template import Bilingual


def _two(zh: str, en: str) -> Bilingual:
    return Bilingual(zh=zh, en=en)


OUTCOMES: Final = {
    "ok": _two("正常", "Normal"),
    "abnormal": _two("异常", "Abnormal"),
    "na": _two("不适用", "Not applicable"),
}
TICKS: Final = {"true": _two("是", "Yes"), "false": _two("否", "No")}
SOLVED: Final = {
    "yes": _two("已完全解决", "Entirely solved"),
    "partly": _two("部分解决", "Partly solved"),
    "no": _two("未解决", "Not solved"),
}
SATISFACTION: Final = {
    "1": _two("很不满意", "Very dissatisfied"),
    "2": _two("不满意", "Dissatisfied"),
    "3": _two("一般", "Neither"),
    "4": _two("满意", "Satisfied"),
    "5": _two("非常满意", "Very satisfied"),
}
NOT_ANSWERED: Final = _two("未填", "Not answered")
PHOTOS: Final = _two("{count} 张照片", "Photos: {count}")

TIMES: Final = {
    "reported": _two("报修", "Reported"),
    "promised": _two("约定", "Promised"),
    "departed": _two("出发", "Departed"),
    "arrived": _two("到达", "Arrived"),
    "started": _two("开始", "Started"),
    "finished": _two("完成", "Finished"),
    "left": _two("离开", "Left"),
}
PRICE_KINDS: Final = {
    "part": _two("配件", "Part"),
    "travel": _two("差旅", "Travel"),
    "labour": _two("工时", "Labour"),
    "discount": _two("优惠", "Discount"),
    "other": _two("其他", "Other"),
}
COVERED_BY: Final = {
    "warranty": _two("保修", "warranty"),
    "contract": _two("合同内", "contract"),
    "goodwill": _two("免收", "goodwill"),
}
STATEMENT: Final = _two(
    "我已看过以上内容，签字确认。拒签请写明原因，不影响您的任何权利。",
    "I have read the above and confirm it with my signature. Whoever refuses gives the reason; no right is lost by it.",
)


def utc_text(at: datetime) -> str:
    """An aware instant as "2026-11-21T02:41:00Z", to the second."""
    if at.tzinfo is None:
        raise ValueError("an instant needs its offset")
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def local_text(at: datetime, zone: str) -> str:
    """An aware instant in the site's time, "2026-11-21 10:41 (+08:00)". Raises ValueError for an unknown zone."""
    try:
        local = at.astimezone(ZoneInfo(zone))
    except (KeyError, OSError) as error:  # a name that is not in the database, or a folder of it such as "Asia"
        raise ValueError(f"no time zone {zone}") from error
    offset = local.strftime("%z")
    return f"{local:%Y-%m-%d %H:%M} ({offset[:3]}:{offset[3:5]})"


def money_text(fen: int) -> str:
    """Fen as "1,280.00"."""
    sign = "-" if fen < 0 else ""
    return f"{sign}{abs(fen) // 100:,}.{abs(fen) % 100:02d}"
