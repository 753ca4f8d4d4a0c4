"""The demo city while it is being generated."""

from dataclasses import dataclass, field
from datetime import date, datetime, time
from random import Random
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from backend.customers.models import Contact, Customer
from backend.people.models import Crew, Person, Unit
from backend.sites.models import Asset, AssetModel, Site


@dataclass
class City:
    """What has been generated so far, by the keys of demo.toml."""

    source: dict[str, Any]
    random: Random
    now: datetime
    zone: ZoneInfo
    units: dict[str, Unit] = field(default_factory=dict)
    people: dict[str, Person] = field(default_factory=dict)
    crews: dict[str, Crew] = field(default_factory=dict)
    customers: dict[str, Customer] = field(default_factory=dict)
    contacts: dict[str, list[Contact]] = field(default_factory=dict)
    models: dict[str, list[tuple[dict[str, Any], AssetModel]]] = field(default_factory=dict)
    sites: list[Site] = field(default_factory=list)
    assets: dict[UUID, list[Asset]] = field(default_factory=dict)

    @property
    def today(self) -> date:
        """The first day, at the city's own clock."""
        return self.now.astimezone(self.zone).date()

    def at(self, day: date, clock: time) -> datetime:
        """An instant by the city's own clock."""
        return datetime.combine(day, clock, self.zone)

    def contacts_of(self, site: Site) -> list[Contact]:
        """The people to ask for at a site."""
        key = next(key for key, customer in self.customers.items() if customer.id == site.customer_id)
        return self.contacts.get(key, [])

    def both(self, entry: dict[str, Any]) -> str:
        """A name in both languages, for a column that holds one text."""
        return f"{entry['zh']} {entry['en']}"
