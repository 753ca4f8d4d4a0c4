"""The service report as PDF/A-3: what was shown and signed, set by Typst, with the signed document inside the file.

The report prints only what stands in the canonical document and the signature records. All of it reaches Typst as JSON
data, never as markup, so no text can become a command of the typesetter. Fonts come from a package: none is installed.
"""

from __future__ import annotations

import io
import json
import tempfile
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple, cast

import pylopdf_fonts_zh_cn
import segno
import typst

from backend.core.errors import Fault, Finding, Problem
from backend.forms.canonical import sha256_hex
from backend.forms.printable import Picture, drawing_svg, picture, printable
from backend.forms.report_view import file_name, report_view
from backend.forms.shown import ShownForm, read_shown
from backend.forms.signing import Signature, signatures_bytes

STANDARDS: Final[list[typst.PDFStandard]] = ["a-3a", "ua-1"]
"""PDF/A-3 for keeping (a file may lie inside), PDF/UA for readers who listen to it."""

NOT_RENDERED: Final = Fault(
    code="report_not_rendered",
    status=500,
    zh="无法生成服务报告。",
    en="The service report could not be made.",
    todo_zh="签字内容已安全保存；请把错误编号交给管理员。",
    todo_en="What was signed is kept safe; give this error to the administrator.",
)

MAX_REFERENCE: Final = 500
"""Characters of the QR code's text; a longer one prints too fine to scan."""

_TEMPLATE: Final = Path(__file__).with_name("report.typ")
_turn = threading.Lock()
"""A Typst compiler serves one thread at a time."""


class _Sources(NamedTuple):
    """What one report is made from."""

    shown: bytes
    form: ShownForm
    signatures: Sequence[Signature]
    verify_reference: str
    images: Mapping[str, bytes]
    """Bytes that arrived, by their true sha256."""
    now: datetime


def render_report(
    shown: bytes,
    signatures: Sequence[Signature],
    *,
    verify_reference: str,
    now: datetime,
    images: Mapping[str, bytes] | None = None,
) -> bytes:
    """The report of a signed document, A4, in the language that was shown, not yet sealed.

    `shown` is the canonical document, `signatures` in signing order, `verify_reference` the text of the QR code; where
    it is empty, a sentence gives the code to check instead. `images` maps sha256 to the bytes of photos and signed
    papers that have arrived; bytes under a wrong sha256 are not printed. The PDF carries `shown.json` and
    `signatures.json`. Runs in a worker thread, about 30 ms.

    Raises Problem `shown_unreadable`, or `report_not_rendered` for a signature that binds another document or a
    reference longer than MAX_REFERENCE.
    """
    form = read_shown(shown)
    if len(verify_reference) > MAX_REFERENCE:
        told = f"the reference must have at most {MAX_REFERENCE} characters"
        raise Problem(NOT_RENDERED, Finding(field="verify_reference", zh=told, en=told))
    strangers = [s.role for s in signatures if s.document_sha256 != sha256_hex(shown)]
    if strangers:
        told = f"signed another document: {', '.join(strangers)}"
        raise Problem(NOT_RENDERED, Finding(field="signatures", zh=told, en=told))
    genuine = {key: raw for key, raw in (images or {}).items() if sha256_hex(raw) == key}
    sources = _Sources(shown, form, signatures, verify_reference, genuine, now)
    pictures = {key: found for key, raw in genuine.items() if (found := picture(raw)) is not None}
    try:
        return _typeset(sources, pictures)
    except typst.TypstError as error:
        sound = {key: found for key, found in pictures.items() if _opens(genuine[key], found, now)}
        if len(sound) == len(pictures):
            raise Problem(NOT_RENDERED, Finding(field="report", zh=error.message, en=error.message)) from error
    return _typeset(sources, sound)


def _typeset(sources: _Sources, pictures: Mapping[str, Picture]) -> bytes:
    view, unprintable = _safe(report_view(sources.form, sources.signatures, frozenset(sources.images), pictures))
    inputs = {
        "view": json.dumps(view, ensure_ascii=False),
        "unprintable": str(unprintable),
        "media": json.dumps(_media(sources)),
        "sha": sha256_hex(sources.shown),
        "shown": sources.shown.decode(),
        "signatures": signatures_bytes(sources.signatures).decode(),
    }
    return _compile(
        _TEMPLATE.read_bytes(), {file_name(k, p): sources.images[k] for k, p in pictures.items()}, inputs, sources.now
    )


def _opens(raw: bytes, found: Picture, now: datetime) -> bool:
    """Whether the typesetter can decode a picture; asked only after it refused a report."""
    name = f"probe.{found.ending}"
    try:
        _compile(f'#set document(title: "probe")\n#image("{name}", alt: "probe")'.encode(), {name: raw}, {}, now)
    except typst.TypstError:
        return False
    return True


@lru_cache(maxsize=1)
def _compiler() -> typst.Compiler:
    """One compiler with its fonts read, kept: making one costs more than a report."""
    folder = Path(pylopdf_fonts_zh_cn.sans_path()).parent
    fonts = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(folder)])
    return typst.Compiler(b"", font_paths=fonts)


def _compile(template: bytes, files: Mapping[str, bytes], inputs: dict[str, str], now: datetime) -> bytes:
    """Pictures have to lie in a folder: Typst takes only text from memory."""
    with tempfile.TemporaryDirectory(prefix="paigong-report-") as name:
        folder = Path(name)
        (folder / "main.typ").write_bytes(template)
        for file, raw in files.items():
            (folder / file).write_bytes(raw)
        with _turn:
            made = _compiler().compile(  # a list only where each page is a file of its own
                str(folder / "main.typ"),
                root=name,
                format="pdf",
                sys_inputs=inputs,
                pdf_standards=STANDARDS,
                timestamp=int(now.timestamp()),
            )
    return cast("bytes", made)


def _media(sources: _Sources) -> dict[str, object]:
    """Vector pictures made here, which therefore need no cleaning."""
    return {
        "qr": _qr(sources.verify_reference) if sources.verify_reference else "",
        "drawings": {str(place): drawing_svg(s.strokes) for place, s in enumerate(sources.signatures) if s.strokes},
    }


def _qr(text: str) -> str:
    code = io.BytesIO()
    segno.make(text, error="m", micro=False).save(code, kind="svg", border=0, xmldecl=False)
    return code.getvalue().decode()


def _safe(view: object) -> tuple[object, int]:
    """Every text of the view made printable, with the number of places that were not."""
    if isinstance(view, str):
        return printable(view)
    if isinstance(view, Mapping):
        made = {key: _safe(value) for key, value in cast("Mapping[str, object]", view).items()}
        return {key: value for key, (value, _) in made.items()}, sum(count for _, count in made.values())
    if isinstance(view, Sequence):
        cleaned = [_safe(value) for value in cast("Sequence[object]", view)]
        return [value for value, _ in cleaned], sum(count for _, count in cleaned)
    return view, 0
