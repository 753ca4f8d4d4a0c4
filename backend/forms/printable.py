"""Making any text and picture safe to print: nothing in it may break a page, hide, or pretend to be something else."""

from __future__ import annotations

import re
import struct
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import pylopdf_fonts_zh_cn

MAX_PICTURE_BYTES: Final = 3 * 1024 * 1024
"""The largest picture printed; phones send about 300 KB."""
MAX_PICTURE_PIXELS: Final = 40_000_000
"""A picture is unpacked to print it; this stops a small file that unpacks to gigabytes."""
MAX_SPELLED: Final = 6
"""Characters without a glyph spelled out in a row; more are counted."""

_LONG_WORD: Final = re.compile(r"[!-~]{25,}")
_BREAK_EVERY: Final = 12
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2})
"""JPEG start-of-frame markers of the kinds every reader knows: baseline, extended, progressive."""


class Picture(NamedTuple):
    """A printable picture: file ending and size in pixels."""

    ending: str
    width: int
    height: int


class Printable(NamedTuple):
    """A text as it can be printed, and how many places of it could not be."""

    text: str
    replaced: int


@lru_cache(maxsize=1)
def glyphs() -> frozenset[int]:
    """The code points the report's font draws, read from its character map (OpenType cmap, format 12)."""
    font = Path(pylopdf_fonts_zh_cn.sans_path()).read_bytes()
    tables = struct.unpack(">H", font[4:6])[0]
    for index in range(tables):
        tag, _, offset, _ = struct.unpack(">4sLLL", font[12 + 16 * index : 28 + 16 * index])
        if tag == b"cmap":
            return frozenset(_mapped(font[offset:]))
    raise LookupError("the font has no character map")


def _mapped(cmap: bytes) -> set[int]:
    known: set[int] = set()
    for index in range(struct.unpack(">H", cmap[2:4])[0]):
        start = struct.unpack(">L", cmap[8 + 8 * index : 12 + 8 * index])[0]
        if struct.unpack(">H", cmap[start : start + 2])[0] != 12:  # noqa: PLR2004 - the format with all of Unicode
            continue
        for group in range(struct.unpack(">L", cmap[start + 12 : start + 16])[0]):
            at = start + 16 + 12 * group
            first, last, _ = struct.unpack(">LLL", cmap[at : at + 12])
            known.update(range(first, last + 1))
    return known


def printable(text: str) -> Printable:
    """`text` with every character that has no glyph, or that would reorder or hide others, as its Unicode number.

    Line breaks stay, other white space becomes a space, variation selectors go (the base character is drawn), and long
    words get places to break. The original always stands in the attached JSON.
    """
    drawn = glyphs()
    plain = text if all(ord(c) in drawn for c in text) else unicodedata.normalize("NFC", text)
    out: list[str] = []
    missing: list[str] = []
    replaced = 0
    for character in plain.replace("\r\n", "\n").replace("\r", "\n"):
        if _is_selector(character):
            continue
        if ord(character) in drawn and not _is_invisible(character):
            out += _spelled(missing)
            out.append(character)
        elif character.isspace():
            out += [*_spelled(missing), "\n" if character == "\n" else " "]
        else:
            replaced += 1
            missing.append(character)
    out += _spelled(missing)
    return Printable(_LONG_WORD.sub(_with_breaks, "".join(out)), replaced)


def _is_selector(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef" or character == "\u200d"


def _is_invisible(character: str) -> bool:
    """Control and format characters, such as those that turn the reading direction."""
    return unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp")


def _spelled(missing: list[str]) -> list[str]:
    if not missing:
        return []
    codes = [f"U+{ord(c):04X}" for c in missing[:MAX_SPELLED]]
    rest = len(missing) - len(codes)
    missing.clear()
    return [f"〔{' '.join(codes)}{f' +{rest}' if rest > 0 else ''}〕"]


def _with_breaks(word: re.Match[str]) -> str:
    whole = word[0]
    return "\u200b".join(whole[i : i + _BREAK_EVERY] for i in range(0, len(whole), _BREAK_EVERY))


def picture(raw: bytes) -> Picture | None:
    """What kind of picture this is, or None if it cannot be printed: not JPEG or PNG, too large, or cut off."""
    if len(raw) > MAX_PICTURE_BYTES:
        return None
    if raw.startswith(_PNG) and len(raw) > len(_PNG) + 16:
        found = Picture("png", *struct.unpack(">LL", raw[16:24]))
    else:
        found = _jpeg(raw)
    if found is None or not 0 < found.width * found.height <= MAX_PICTURE_PIXELS:
        return None
    return found


def _jpeg(raw: bytes) -> Picture | None:
    """Walk the markers of a JPEG file to its frame header (ITU-T T.81, B.2.2)."""
    if not raw.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 < len(raw) and raw[at] == 0xFF:  # noqa: PLR2004 - every marker starts with it
        marker, length = raw[at + 1], int.from_bytes(raw[at + 2 : at + 4])
        if marker in _FRAMES:
            height, width = struct.unpack(">HH", raw[at + 5 : at + 9])
            return Picture("jpg", width, height)
        at += 2 + length
    return None


_WIDTH: Final = 600
_HEIGHT: Final = 200
"""The box a drawing is fitted into, in tenths of a millimetre."""


def drawing_svg(strokes: Sequence[Sequence[Sequence[int]]]) -> str:
    """A drawn signature as a vector picture of 62 × 22 mm, its strokes smoothed through the middles between points.

    Only whole numbers enter it, so a hostile drawing cannot carry markup. Empty strokes draw nothing.
    """
    usable = [[(p[0], p[1]) for p in stroke if len(p) > 1] for stroke in strokes]
    xs = [x for stroke in usable for x, _ in stroke] or [0]
    ys = [y for stroke in usable for _, y in stroke] or [0]
    scale = min(_WIDTH / max(max(xs) - min(xs), 1), _HEIGHT / max(max(ys) - min(ys), 1))
    path = "".join(
        _smooth([(round((x - min(xs)) * scale), round((y - min(ys)) * scale)) for x, y in stroke]) for stroke in usable
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-10 -10 {_WIDTH + 20} {_HEIGHT + 20}">'
        f'<path d="M0 0{path}" fill="none" stroke="#10243f" stroke-width="5" stroke-linecap="round" '
        'stroke-linejoin="round"/></svg>'
    )


def _smooth(points: Sequence[tuple[int, int]]) -> str:
    if not points:
        return ""
    x, y = points[0]
    steps = [f"M{x} {y}L{x} {y}"]
    for (ax, ay), (bx, by) in pairwise(points):
        steps.append(f"Q{ax} {ay} {(ax + bx) // 2} {(ay + by) // 2}")
    x, y = points[-1]
    return "".join([*steps, f"L{x} {y}"])
