"""Which instants somebody can mean. A mistyped year is refused by the name of its field, wherever it comes in."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from backend.core.errors import INVALID, Finding, Problem

HAPPENED_DAYS: Final = timedelta(days=366)
"""How far back what is reported may have happened; further back, the year was mistyped."""
AHEAD_MINUTES: Final = timedelta(minutes=2)
"""How far a caller's clock may be ahead of ours before a time counts as one in the future."""
AGREED_DAYS: Final = timedelta(days=2 * 366)
"""How far ahead a time may be agreed with a customer or a technician."""
OWED_DAYS: Final = timedelta(days=50 * 366)
"""How far away the limits of an order may lie: periodic care has periods of years."""
OLDEST_IMPORTED: Final = datetime(1990, 1, 1, tzinfo=UTC)
"""The oldest time an import may bring."""


def must_have_happened(now: datetime, given: Mapping[str, Any], *, since: datetime | None = None) -> None:
    """Refuse times of what has happened that lie in the future or long ago, by field; raises invalid.

    `since` is the oldest that can be meant, by default HAPPENED_DAYS before now. What is not an instant is passed over.
    """
    _must_lie_between(since or now - HAPPENED_DAYS, given, now + AHEAD_MINUTES)


def must_be_agreeable(now: datetime, given: Mapping[str, Any]) -> None:
    """Refuse times to agree on that lie further away than anybody plans, by field; raises invalid."""
    _must_lie_between(now - HAPPENED_DAYS, given, now + AGREED_DAYS)


def must_be_near(now: datetime, given: Mapping[str, Any]) -> None:
    """Refuse limits nobody can mean, by field; raises invalid."""
    _must_lie_between(now - OWED_DAYS, given, now + OWED_DAYS)


def must_be_ahead(now: datetime, given: Mapping[str, Any], *, within: timedelta = AGREED_DAYS) -> None:
    """Refuse times to come that have passed, or lie further away than `within`, by field; raises invalid."""
    _must_lie_between(now, given, now + within)


def _must_lie_between(earliest: datetime, given: Mapping[str, Any], latest: datetime) -> None:
    wrong = [name for name, at in given.items() if isinstance(at, datetime) and not earliest <= at <= latest]
    if wrong:
        zh = f"须在 {earliest:%Y-%m-%d %H:%M} 与 {latest:%Y-%m-%d %H:%M}(UTC)之间"
        en = f"must lie between {earliest:%Y-%m-%d %H:%M} and {latest:%Y-%m-%d %H:%M} UTC"
        raise Problem(INVALID, *(Finding(name, zh, en) for name in wrong))
