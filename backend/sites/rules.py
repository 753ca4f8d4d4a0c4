"""Decisions about sites: what may lie on phones, which fields are the office's, and when a swap can have happened."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

from backend.core.errors import Finding

OFFICE_FIELDS: Final = frozenset({
    "unit_id", "customer_id", "territory_id", "no_photos", "no_phone", "no_offline_drawings",
})  # fmt: skip
"""Fields of a site that say who it belongs to and what it permits; people on site see them, the office decides them."""
ASSET_OFFICE_FIELDS: Final = frozenset({"purchased_on", "warranty_until"})
"""Fields of an asset that decide who pays (A148 to A150); likewise the office's."""


def office_findings(office_fields: frozenset[str], given_fields: Iterable[str]) -> list[Finding]:
    """Return, for each field given that only the office decides, that it is so."""
    decided = sorted(office_fields & set(given_fields))
    return [Finding(field, "只能由办公室修改", "only the office may set this") for field in decided]


def document_bucket(site_id: UUID, kind: str, *, no_offline_drawings: bool) -> str | None:
    """Return the bucket of a site's file; a drawing that must not leave the office is in none (A271)."""
    return None if kind == "drawing" and no_offline_drawings else f"site:{site_id}"


def placement_finding(field: str, at: datetime, *, begun: datetime | None, now: datetime) -> Finding | None:
    """Return why an asset cannot have been placed or removed at an instant: it lies ahead, or before what it ends."""
    if at > now:
        return Finding(field, "不能晚于现在", "must not lie in the future")
    if begun is not None and at < begun:
        return Finding(field, "早于原设备的安装时间", "is before the asset it replaces was installed")
    return None
