"""Any text and picture can be printed; nothing in them hides, reorders, breaks a line of the page or a decoder."""

import struct
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.forms.printable import MAX_PICTURE_BYTES, Picture, Printable, drawing_svg, glyphs, picture, printable
from tests.forms.samples import JPEG, STROKES, png

ZERO_WIDTH_SPACE = "\u200b"


@pytest.mark.parametrize(
    ("text", "told", "replaced"),
    [
        ("王芳 Wang 12.5 V ★", "王芳 Wang 12.5 V ★", 0),
        ("𠮷野家", "〔U+20BB7〕野家", 1),
        ("龘㐂﨑", "龘㐂﨑", 0),
        ("谢谢😀😀", "谢谢〔U+1F600 U+1F600〕", 2),
        ("😀" * 9, "〔U+1F600 U+1F600 U+1F600 U+1F600 U+1F600 U+1F600 +3〕", 9),
        ("a\u202eb\u0000c", "a〔U+202E〕b〔U+0000〕c", 2),
        ("一\r\n二\r三\t四\u2028", "一\n二\n三 四 ", 0),
        ("葛\U000e0100飾", "葛飾", 0),
        ("한국", "〔U+D55C U+AD6D〕", 2),
        ("Ame\u0301lie한", "Amélie〔U+D55C〕", 1),
    ],
)
def test_what_has_no_glyph_is_spelled_out(text: str, told: str, replaced: int) -> None:
    assert printable(text) == Printable(told, replaced)


@given(st.text(st.characters(codec="utf-8"), max_size=80))
def test_only_characters_the_font_draws_are_left(text: str) -> None:
    made = printable(text)
    assert all(ord(c) in glyphs() or c in f"\n{ZERO_WIDTH_SPACE}" for c in made.text)
    assert not [c for c in made.text if c not in f"\n{ZERO_WIDTH_SPACE}" and unicodedata.category(c).startswith("C")]
    assert (made.replaced == 0) is ("〔U+" not in made.text or "〔U+" in text)


@given(st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5), max_size=60))
def test_ordinary_chinese_is_printed_as_it_is(text: str) -> None:
    assert printable(text) == Printable(text, 0)


def test_a_long_word_gets_places_to_break_and_loses_nothing() -> None:
    address = "https://service.example.cn/" + "a" * 300
    made = printable(address).text
    assert made.replace(ZERO_WIDTH_SPACE, "") == address
    assert max(map(len, made.split(ZERO_WIDTH_SPACE))) <= 12


def test_the_font_has_the_characters_of_chinese_forms() -> None:
    assert {ord(c) for c in "正常异常不适用已完全解决★·，。：；（）〔〕“”¥"} <= glyphs()
    assert len(glyphs()) > 30_000


def test_pictures_are_known_by_their_bytes() -> None:
    assert picture(png(48, 36)) == Picture("png", 48, 36)
    found = picture(JPEG)
    assert found is not None
    assert (found.ending, found.width > 0, found.height > found.width) == ("jpg", True, True)


def bomb(width: int, height: int) -> bytes:
    return png(1, 1)[:16] + struct.pack(">LL", width, height) + png(1, 1)[24:]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"GIF89a" + b"\0" * 40,
        b"<svg onload='x'/>",
        b"%PDF-1.7",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"\xff\xd8" + b"\xff\xe0\x00\x02" * 50,
        b"\xff\xd8\x00\x00" + JPEG[4:],
        bomb(100_000, 100_000),
        bomb(0, 10),
        png(2, 2) + b"\0" * MAX_PICTURE_BYTES,
    ],
    ids=lambda raw: repr(raw[:16]),
)
def test_anything_else_is_no_picture(raw: bytes) -> None:
    assert picture(raw) is None


def test_a_drawing_becomes_one_smooth_path_in_its_box() -> None:
    svg = drawing_svg(STROKES)
    assert svg.count("M") == 1 + len(STROKES)
    numbers = [
        int(n) for n in svg.partition(' d="')[2].partition('"')[0].translate(str.maketrans("MLQ", "   ")).split()
    ]
    assert min(numbers) == 0
    assert max(numbers) <= 600


@given(st.lists(st.lists(st.lists(st.integers(-(10**6), 10**6), max_size=3), max_size=6), max_size=5))
def test_no_drawing_can_be_anything_but_numbers(strokes: list[list[list[int]]]) -> None:
    path = drawing_svg(strokes).partition(' d="')[2].partition('"')[0]
    assert set(path) <= set("MLQ 0123456789")
