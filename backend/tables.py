"""Every table of the house, gathered for migrations and for start-up checks."""

from backend.attachments import models as _attachments
from backend.calendars import models as _calendars
from backend.contracts import models as _contracts
from backend.core import audit, events, numbers, once, presets, tasks
from backend.core.db import Base
from backend.customers import models as _customers
from backend.devices import models as _devices
from backend.dispatch import models as _dispatch
from backend.dispatch import travel_models as _travel
from backend.followup import models as _followup
from backend.forms import models as _forms
from backend.jobs import models as _jobs
from backend.knowledge import models as _knowledge
from backend.maintenance import models as _maintenance
from backend.notifications import models as _notifications
from backend.parts import models as _parts
from backend.people import models as _people
from backend.reports import models as _reports
from backend.requests import models as _requests
from backend.sites import models as _sites

MODULES = (
    audit, events, numbers, once, presets, tasks,
    _attachments, _calendars, _contracts, _customers, _devices, _dispatch, _followup, _forms, _jobs, _knowledge,
    _maintenance, _notifications, _parts, _people, _reports, _requests, _sites, _travel,
)  # fmt: skip
"""The modules that declare tables; importing them fills the metadata."""

metadata = Base.metadata
