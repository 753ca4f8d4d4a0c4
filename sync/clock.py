"""When something on a phone really happened, as far as the server can know. Pure; order and merging never ask."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sync.limits import CLOCK_FLAG_SECONDS


@dataclass(frozen=True)
class EffectiveTime:
    """The instant commitments count; `flagged` when it is so far from what the device said that a person looks."""

    at: datetime
    flagged: bool


def effective_time(
    occurred_at: datetime, *, device_now: datetime | None, received_at: datetime, not_before: datetime
) -> EffectiveTime:
    """Correct a device's time by the offset of its clock measured at contact, within [not_before, received_at].

    `device_now` is the device's wall clock when it sent (None: unknown, taken as right). A commitment clock thus never
    counts an instant the server can disprove, however wrong or dishonest the device's clock is.
    """
    offset = received_at - device_now if device_now is not None else timedelta()
    at = max(min(not_before, received_at), min(received_at, shifted(occurred_at, offset)))
    return EffectiveTime(at, flagged=abs(at - occurred_at) > timedelta(seconds=CLOCK_FLAG_SECONDS))


def shifted(instant: datetime, offset: timedelta) -> datetime:
    """Return instant + offset, staying within what a datetime can hold."""
    try:
        return instant + offset
    except OverflowError:
        return instant


def last_seen(base_v: int | None, served: Iterable[tuple[int, datetime]], enrolled_at: datetime) -> datetime:
    """Return the last time the device certainly had contact before an edit made on what it saw at `base_v`.

    A device that claims an older `base_v` widens its own window, no further than what the server remembers having sent.
    """
    seen = [at for v, at in served if base_v is not None and v <= base_v]
    return max(seen, default=enrolled_at)
