"""What stands where in the printed report: the signed document arranged as tables, cards and picture grids. Pure.

The view holds only texts, numbers and names of picture files; `report.typ` gives them their looks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from backend.forms import wording
from backend.forms.printable import Picture
from backend.forms.report_words import words
from backend.forms.shown import ShownForm, ShownGroup, ShownItem, ShownSection, ShownSigner
from backend.forms.signing import Signature

MAX_PHOTOS_PRINTED: Final = 60
"""Photos printed in one report; the rest are counted."""
MATRIX_ITEMS: Final = 6
"""An asset section of outcomes only, with no more items than this, is one table with an asset a row."""
ROW_COLUMNS: Final = 5
"""A row section with no more items than this is one table."""

View = dict[str, object]

_TONES: Final[Mapping[tuple[str, object], str]] = {
    ("check", "ok"): "good",
    ("check", "abnormal"): "bad",
    ("check", "na"): "muted",
    ("tick", True): "good",
    ("tick", False): "muted",
    ("solved", "yes"): "good",
    ("solved", "partly"): "warn",
    ("solved", "no"): "bad",
}
_OUTCOMES: Final = frozenset({"check", "tick"})


def report_view(
    form: ShownForm, signatures: Sequence[Signature], received: frozenset[str], pictures: Mapping[str, Picture]
) -> View:
    """The whole report. `received`: sha256 of pictures that arrived; `pictures`: those of them that can be printed."""
    say = words(form.language)
    numbers = photo_numbers(form)
    title, _, title_more = form.title.partition(" / ") if form.language == "zh+en" else (form.title, "", "")
    return {
        "lang": "en" if form.language == "en" else "zh",
        "words": say,
        "title": title,
        "title_more": title_more,
        "number": form.number,
        "organisation": form.organisation.name,
        "organisation_more": _joined(form.organisation.unit, form.organisation.phone, form.organisation.address),
        "facts": _facts(form, say),
        "times": [[time.label, time.shown[:16], time.shown[17:]] for time in form.times],
        "intro": form.intro,
        "stories": [[say[k], told] for k, told in (("reported", form.reported), ("done", form.done)) if told.strip()],
        "sections": [_section(section, say, numbers) for section in form.sections],
        "prices": _prices(form, say),
        "photos": _photos(form, say, numbers, received, pictures),
        "statement": form.statement,
        "signatures": _cards(form, signatures, say, pictures),
    }


def file_name(sha256: str, found: Picture) -> str:
    """The name of a picture file for the typesetter, short enough to pass the view's line breaking unchanged."""
    return f"{sha256[:20]}.{found.ending}"


def photo_numbers(form: ShownForm) -> dict[str, int]:
    """Every photo, numbered from 1 in the order the form names them; attachments that are pictures follow."""
    named = [p for s in form.sections for g in s.groups for i in g.items for p in i.photos]
    attached = [a.sha256 for a in form.attachments if a.media_type.startswith("image/")]
    return {sha256: number for number, sha256 in enumerate(dict.fromkeys([*named, *attached]), start=1)}


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def _facts(form: ShownForm, say: Mapping[str, str]) -> list[list[str]]:
    """Label, text, smaller text."""
    crew = "、".join(worker.name for worker in form.technicians)
    posts = "、".join(" ".join(part for part in (worker.role, worker.number) if part) for worker in form.technicians)
    facts = [
        [say["customer"], form.customer.name, _joined(form.customer.contact, form.customer.phone)],
        [say["site"], form.site.name, form.site.address],
        [say["technicians"], crew, posts],
        [say["order"], form.order_number, ""],
        [say["supersedes"], form.supersedes, ""],
    ]
    return [fact for fact in facts if fact[1] or fact[2]]


def _section(section: ShownSection, say: Mapping[str, str], numbers: Mapping[str, int]) -> View:
    shape = _layout(section)
    columns = _columns(section)
    made: View = {"title": section.title, "layout": shape}
    if shape == "list":
        made["groups"] = [_group(group, say, numbers) for group in section.groups]
    elif shape != "none":
        made["first"] = say["asset"] if shape == "matrix" else "#"
        made["columns"] = list(columns.values())
        made["rows"] = [_row(group, list(columns), say, numbers) for group in section.groups]
    return made


def _layout(section: ShownSection) -> str:
    """How a section is printed: list, matrix (an asset a row), rows, or none when nothing was entered."""
    if not section.groups:
        return "none"
    columns = _columns(section)
    outcomes = {item.kind for group in section.groups for item in group.items} <= _OUTCOMES
    if section.repeat == "asset" and outcomes and len(columns) <= MATRIX_ITEMS:
        return "matrix"
    return "rows" if section.repeat == "row" and len(columns) <= ROW_COLUMNS else "list"


def _columns(section: ShownSection) -> dict[str, str]:
    return {item.key: _starred(item) for group in section.groups for item in group.items}


def _starred(item: ShownItem) -> str:
    return f"★ {item.label}" if item.blocking else item.label


def _group(group: ShownGroup, say: Mapping[str, str], numbers: Mapping[str, int]) -> View:
    heading, more = _heading(group)
    return {"heading": heading, "more": more, "items": [_item(item, say, numbers) for item in group.items]}


def _heading(group: ShownGroup) -> tuple[str, str]:
    if group.asset is not None:
        return group.asset.label, _joined(group.asset.model, group.asset.serial)
    return group.subject, ""


def _item(item: ShownItem, say: Mapping[str, str], numbers: Mapping[str, int]) -> View:
    answered = item.value not in (None, "", ()) or bool(item.photos)
    return {
        "label": _starred(item),
        "shown": item.shown,
        "tone": _TONES.get((item.kind, item.value), "plain") if answered else "muted",
        "badge": item.kind in ("check", "tick", "solved"),
        "stars": item.value if item.kind == "satisfaction" and isinstance(item.value, int) else 0,
        "notes": _notes(item, say, numbers),
    }


def _notes(item: ShownItem, say: Mapping[str, str], numbers: Mapping[str, int]) -> list[str]:
    notes = [item.note] if item.note else []
    if item.photos:
        notes.append(f"{say['photo']} " + ", ".join(str(numbers[photo]) for photo in item.photos))
    if item.open_repair:
        notes.append(say["repair_opened"])
    return notes


def _row(group: ShownGroup, columns: list[str], say: Mapping[str, str], numbers: Mapping[str, int]) -> View:
    by_key = {item.key: item for item in group.items}
    heading, more = _heading(group)
    cells = [_item(by_key[key], say, numbers) if key in by_key else None for key in columns]
    notes = [f"{item.label}: {' · '.join(told)}" for item in group.items if (told := _notes(item, say, numbers))]
    return {"heading": heading, "more": more, "cells": cells, "notes": notes}


def _prices(form: ShownForm, say: Mapping[str, str]) -> View | None:
    if form.prices is None:
        return None
    return {
        "amount": f"{say['amount']} ({form.prices.currency})",
        "lines": [
            [line.kind, line.line.label, line.line.quantity, line.unit, line.amount] for line in form.prices.lines
        ],
        "total": form.prices.total,
    }


def _photos(
    form: ShownForm,
    say: Mapping[str, str],
    numbers: Mapping[str, int],
    received: frozenset[str],
    pictures: Mapping[str, Picture],
) -> View:
    """The picture grid, and sentences about pictures that are not in it: on their way, not printable, forbidden."""
    captions = {photo: i.label for s in form.sections for g in s.groups for i in g.items for photo in i.photos}
    captions |= {a.sha256: a.caption or a.name for a in form.attachments if a.sha256 not in captions}
    arrived = [sha256 for sha256 in numbers if sha256 in received]
    shown = [sha256 for sha256 in arrived if sha256 in pictures][:MAX_PHOTOS_PRINTED]
    told: list[str] = []
    if len(arrived) < len(numbers):
        told.append(_filled(say["photos_received"], {"got": len(arrived), "all": len(numbers)}))
    if len(shown) < len(arrived):
        told.append(_filled(say["photos_unshown"], {"count": len(arrived) - len(shown)}))
    if form.photo_waiver is not None:
        waiver = form.photo_waiver
        told.append(f"{say['waiver']}: {waiver.reason} ({say['granted_by']} {waiver.granted_by})")
    grid = [[file_name(s, pictures[s]), f"{numbers[s]}. {captions.get(s, '')}", s[:12]] for s in shown]
    return {"told": told, "grid": grid}


def _filled(text: str, numbers: Mapping[str, int]) -> str:
    for name, number in numbers.items():
        text = text.replace(f"{{{name}}}", str(number))
    return text


def _cards(
    form: ShownForm, signatures: Sequence[Signature], say: Mapping[str, str], pictures: Mapping[str, Picture]
) -> list[View]:
    """One card a signature in signing order, then those still to come."""
    labels = {signer.role: signer.label for signer in form.signers}
    cards = [
        _card(form, place, s, label=labels.get(s.role, s.role), say=say, pictures=pictures)
        for place, s in enumerate(signatures)
    ]
    signed = {signature.role for signature in signatures}
    return cards + [_waiting(s, say) for s in form.signers if s.role not in signed and s.required]


def _card(
    form: ShownForm,
    place: int,
    signature: Signature,
    *,
    label: str,
    say: Mapping[str, str],
    pictures: Mapping[str, Picture],
) -> View:
    image = signature.image_sha256
    more = [_joined(signature.title, f"{say['phone']} {signature.phone}" if signature.phone else "")]
    if signature.assisted_by:
        more.append(f"{say['assisted_by']} {signature.assisted_by}")
    more.append(f"{say['signed_at']} {wording.local_text(signature.signed_at, form.zone)}")
    return {
        "role": label,
        "name": signature.name,
        "method": signature.method,
        "told": say[signature.method],
        "drawing": str(place) if signature.strokes and signature.method in ("drawn", "assisted") else "",
        "drawing_alt": say["drawing"].replace("{name}", signature.name or label),
        "image": file_name(image, pictures[image]) if image in pictures and signature.method == "paper" else "",
        "image_alt": _joined(say["paper_kept"], image[:12]) if image else "",
        "reason": signature.reason,
        "more": [line for line in more if line],
    }


def _waiting(signer: ShownSigner, say: Mapping[str, str]) -> View:
    told = say["not_yet"] if signer.when == "on_site" else _joined(say["not_yet"], say["later"])
    return {"role": signer.label, "name": "", "method": "waiting", "told": told, "image": "", "more": []}
