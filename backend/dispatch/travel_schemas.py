"""What is shown of learnt travel times."""

from datetime import datetime

import msgspec


class ZoneFactorView(msgspec.Struct, frozen=True):
    """How much longer than elsewhere the way between two zones takes, and from how many trips that is known."""

    origin: str
    origin_zh: str
    origin_en: str
    destination: str
    destination_zh: str
    destination_en: str
    factor: float
    trips: int


class HourFactorView(msgspec.Struct, frozen=True):
    """How fast traffic moves in an hour of a kind of day: 0.8 is a fifth slower than usual."""

    day_type: str
    hour: int
    factor: float
    trips: int


class LearntView(msgspec.Struct, frozen=True):
    """What one night's learning found. Errors are mean absolute errors as shares of what trips took.

    `error_before` is that of the figures nobody taught anything, `error_after` that on trips not learnt from.
    """

    learnt_at: datetime
    trips: int
    left_out: int
    in_use: bool
    scale: float
    overhead_seconds: int
    error_before: float | None
    error_after: float | None
    zones: list[ZoneFactorView]
    hours: list[HourFactorView]


class TravelModelView(msgspec.Struct, frozen=True):
    """Where travel times come from, what plans use of what was learnt, and what the last night found."""

    provider: str
    in_use: LearntView | None
    newest: LearntView | None
    zh: str
    en: str
