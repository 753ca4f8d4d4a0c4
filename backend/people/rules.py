"""Decisions about people that need no database: telephone numbers, passwords, the rotation of refresh tokens."""

from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise
from typing import Final

import msgspec
import phonenumbers

from backend.core.auth import PASSWORD_MINIMUM
from backend.core.errors import Finding

HOME_REGION: Final = "CN"
"""Phone numbers without a country code are read as numbers of this region."""
REFRESHES_PENDING: Final = 5
"""How many unused successors a refresh token may have: answers lost on the way, each followed by another try."""


def normal_phone(text: str) -> str | None:
    """Return a phone number in E.164, or None if the text is not one."""
    try:
        number = phonenumbers.parse(text, HOME_REGION)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def password_finding(field: str, password: str, names: Iterable[str]) -> Finding | None:
    """Return why a password is too easy to guess, or None: it needs length, and must not be a name of its owner."""
    if len(password) < PASSWORD_MINIMUM:
        return Finding(field, f"至少 {PASSWORD_MINIMUM} 个字符", f"at least {PASSWORD_MINIMUM} characters")
    if len(set(password)) <= 2 or password.casefold() in {name.casefold() for name in names}:  # noqa: PLR2004
        return Finding(field, "太容易猜到,请换一个", "too easy to guess; choose another")
    return None


class Chain(msgspec.Struct, frozen=True):
    """Where a session's refresh tokens stand, as hashes: the one used last, and its successors, none of them used."""

    previous: str | None
    nexts: tuple[str, ...]


def rotate(chain: Chain, offered: str, fresh: str) -> Chain | None:
    """Exchange the hash of an offered token for that of a fresh one; None when the token was used up before.

    The token used last stays good until a successor is used, and every successor given out for it stays good too, so
    answers that are lost or overtake each other cost nothing. With the first use of a successor its elders and siblings
    are spent: whoever still offers one holds a copy, and the session must end.
    """
    if offered in chain.nexts:
        return Chain(previous=offered, nexts=(fresh,))
    if offered == chain.previous:
        return Chain(previous=offered, nexts=(*chain.nexts[1 - REFRESHES_PENDING :], fresh))
    return None


def overlapping(spans: Iterable[tuple[datetime, datetime]]) -> datetime | None:
    """Return the first instant two stretches of time share, or None; one may begin the instant another ends."""
    for (_, earlier_ends), (later_starts, _) in pairwise(sorted(spans)):
        if later_starts < earlier_ends:
            return later_starts
    return None
