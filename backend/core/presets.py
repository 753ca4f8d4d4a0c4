"""Presets: the versioned data an organisation starts from and may change, such as causes and escalation chains.

Sets with a life of their own (roles, clock policies, templates, price lists, calendars, skills) have their own tables.
Whatever uses a preset pins its id, and a changed preset is a new row, so old work keeps the rule it was done under.
"""

from typing import Any

from sqlalchemy import String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.changes import synced
from backend.core.db import Row


@synced("catalogue")
class Preset(Row):
    """One entry of a preset set. `kind` is the set (`cause`, `visit_reason`, `resolution`, `scoring_rule`, ...)."""

    __tablename__ = "preset"
    __table_args__ = (UniqueConstraint("kind", "key", "version"),)

    kind: Mapped[str] = mapped_column(String(40))
    key: Mapped[str] = mapped_column(String(60))
    version: Mapped[int]
    name_zh: Mapped[str]
    name_en: Mapped[str]
    body: Mapped[dict[str, Any]]
    active: Mapped[bool]
