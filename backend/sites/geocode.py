"""Where an address lies, asked of a geocoder through geopy: politely, once, and never inside a write transaction.

Every answer is kept in `geocoded_address`, also "not found", so nobody asks twice. How sure an answer is comes from the
geocoder where it says so, else from the size of what it found: a house is sure, a street less, a town not at all.
"""
# pyright: reportMissingTypeStubs=false
# geopy carries no types: what it hands out is named here. It is loaded by whoever asks: with every geocoder there is it
# takes a tenth of the time in which the server starts.

import asyncio
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import cos, hypot, radians
from typing import Any, Final, Protocol, cast
from urllib.parse import urlsplit

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.errors import Fault, Finding, Problem
from backend.core.ids import new_id
from backend.core.sessions import Database
from backend.settings import Settings
from backend.sites.datum import Datum
from backend.sites.models import GeocodedAddress

USER_AGENT: Final = "paigong"
"""Public geocoders refuse clients that do not say who they are."""
TIMEOUT_SECONDS: Final = 5
PUBLIC_PAUSE_SECONDS: Final = 1.0
"""Between two questions to a public geocoder; the usage policy of nominatim.openstreetmap.org."""
OWN_PAUSE_SECONDS: Final = 0.05
"""Between two questions to a server named in the settings, which is the organisation's own."""
NOT_FOUND_KEPT: Final = timedelta(days=30)
"""After which an address that was not found is asked for again; maps grow."""
SURE_ENOUGH: Final = 0.6
"""From this confidence on a position is used; below it a person pins the site."""
UNKNOWN_CONFIDENCE: Final = 0.5
SIZES: Final = ((150, 0.9), (500, 0.7), (2_000, 0.4))
"""(half the diagonal of what was found in metres, confidence), smallest first."""
SMALLEST_CONFIDENCE: Final = 0.1
METRES_A_DEGREE: Final = 111_195
ADDRESS_LENGTH: Final = 300
DATUMS: Final[Mapping[str, Datum]] = {"baidu": "bd09", "baiduv3": "bd09"}
"""What a geocoder's coordinates refer to where that is not WGS-84."""
KEY_NAMES: Final = ("api_key", "apikey")

GEOCODER_UNKNOWN = Fault(
    "geocoder_unknown", 409, "设置中的地理编码服务 {geocoder} 不可用。",
    "The geocoder {geocoder} of the settings cannot be used.",
    "请检查 PAIGONG_GEOCODER、PAIGONG_GEOCODER_DOMAIN 和 PAIGONG_GEOCODER_KEY。",
    "Check PAIGONG_GEOCODER, PAIGONG_GEOCODER_DOMAIN and PAIGONG_GEOCODER_KEY.",
)  # fmt: skip


class GeocoderSilentError(Exception):
    """The geocoder did not answer, or refused to; the address may be asked for again later."""


@dataclass(frozen=True)
class Located:
    """Where a geocoder says an address lies, in its own datum, and how sure that is (0 to 1)."""

    lat: float
    lon: float
    datum: Datum
    confidence: float

    @property
    def sure(self) -> bool:
        """Whether the position may be used without a person looking at it."""
        return self.confidence >= SURE_ENOUGH


class _Location(Protocol):
    """What geopy answers."""

    latitude: float
    longitude: float
    raw: dict[str, Any]


class Geocoder:
    """One geocoder of geopy, asked no faster than it likes."""

    def __init__(self, name: str, *, domain: str = "", key: str = "", pause_seconds: float | None = None) -> None:
        """Raises geocoder_unknown for a name geopy does not have, or one that needs a key.

        `domain` is a host, or an address such as http://127.0.0.1:8080 for a server without TLS.
        """
        from geopy.exc import ConfigurationError, GeocoderNotFound  # noqa: PLC0415
        from geopy.extra.rate_limiter import RateLimiter  # noqa: PLC0415

        self.name = name.lower()
        pause = OWN_PAUSE_SECONDS if domain else PUBLIC_PAUSE_SECONDS
        try:
            make = _maker(self.name)
            geocode = make(**_arguments(make, domain, key)).geocode
        except (GeocoderNotFound, ConfigurationError, TypeError) as error:
            raise Problem(GEOCODER_UNKNOWN, Finding("geocoder", str(error), str(error)), geocoder=name) from error
        self._ask: Any = RateLimiter(
            geocode, min_delay_seconds=pause if pause_seconds is None else pause_seconds, max_retries=0,
            swallow_exceptions=False,
        )  # fmt: skip

    async def ask(self, address: str) -> _Location | None:
        """Ask in a thread, so that nothing else waits; raises GeocoderSilentError."""
        from geopy.exc import GeopyError  # noqa: PLC0415

        try:
            return await asyncio.to_thread(self._ask, address)
        except GeopyError as error:
            raise GeocoderSilentError(f"{type(error).__name__}: {error}") from error


def _maker(name: str) -> Any:
    from geopy.geocoders import get_geocoder_for_service  # noqa: PLC0415  # pyright: ignore[reportUnknownVariableType]

    return get_geocoder_for_service(name)  # pyright: ignore[reportUnknownVariableType]


def geocoder_of(settings: Settings) -> Geocoder | None:
    """The geocoder of the settings, or None where there is none; raises geocoder_unknown."""
    if not settings.geocoder:
        return None
    return Geocoder(settings.geocoder, domain=settings.geocoder_domain, key=settings.geocoder_key)


async def locate(database: Database, geocoder: Geocoder, address: str, *, now: datetime) -> Located | None:
    """Return where an address lies, from what is known or by asking; None where it was not found.

    Asks outside of any transaction; raises GeocoderSilentError.
    """
    wanted = " ".join(address.split())[:ADDRESS_LENGTH]
    async with database.read() as session:
        known = await _known(session, geocoder.name, wanted, now)
    if known is None:
        answer = await geocoder.ask(wanted)
        known = _kept(geocoder.name, wanted, answer, now)
        async with database.write() as session:
            old = (GeocodedAddress.geocoder == geocoder.name) & (GeocodedAddress.address == wanted)
            await session.execute(delete(GeocodedAddress).where(old))
            await session.execute(insert(GeocodedAddress), [known])
    if known["lat"] is None:
        return None
    return Located(known["lat"], known["lon"], known["datum"], known["confidence"])


async def _known(session: AsyncSession, geocoder: str, address: str, now: datetime) -> dict[str, Any] | None:
    kept = select(GeocodedAddress.__table__).where(
        GeocodedAddress.geocoder == geocoder, GeocodedAddress.address == address
    )
    row = (await session.execute(kept)).mappings().one_or_none()
    if row is None or (row["lat"] is None and row["asked_at"] < now - NOT_FOUND_KEPT):
        return None
    return dict(row)


def _kept(geocoder: str, address: str, answer: _Location | None, now: datetime) -> dict[str, Any]:
    """An answer as it is kept."""
    return {
        "id": new_id(), "geocoder": geocoder, "address": address, "asked_at": now,
        "datum": DATUMS.get(geocoder, "wgs84"), "lat": answer and answer.latitude, "lon": answer and answer.longitude,
        "confidence": answer and confidence_of(answer.raw), "answer": answer.raw if answer else {},
    }  # fmt: skip


def confidence_of(raw: Mapping[str, Any]) -> float:
    """Return how sure an answer is, 0 to 1: as the geocoder says (Baidu, per cent), else by the size of its find."""
    said = raw.get("confidence")
    if isinstance(said, (int, float)):
        return min(max(said / 100, 0.0), 1.0)
    size_m = _half_diagonal_m(raw.get("boundingbox"))
    if size_m is None:
        return UNKNOWN_CONFIDENCE
    return next((confidence for largest_m, confidence in SIZES if size_m <= largest_m), SMALLEST_CONFIDENCE)


def _half_diagonal_m(box: object) -> float | None:
    """Half the diagonal of Nominatim's bounding box: south, north, west, east, in degrees, as texts."""
    try:
        south, north, west, east = (float(edge) for edge in cast("list[str]", box))
    except (TypeError, ValueError):
        return None
    height, width = north - south, (east - west) * cos(radians((north + south) / 2))
    return hypot(height, width) / 2 * METRES_A_DEGREE


def _arguments(make: Any, domain: str, key: str) -> dict[str, Any]:
    """Arguments for a geocoder of geopy, as far as it takes them; raises TypeError for one it does not take."""
    from geopy.adapters import URLLibAdapter  # noqa: PLC0415

    takes = inspect.signature(make).parameters
    where = urlsplit(domain if "//" in domain else f"//{domain}")
    given: dict[str, Any] = {"timeout": TIMEOUT_SECONDS, "adapter_factory": URLLibAdapter}
    if "user_agent" in takes:
        given["user_agent"] = USER_AGENT
    if domain:
        given["domain"] = where.netloc + where.path.rstrip("/")
    if where.scheme:
        given["scheme"] = where.scheme
    if key:
        given[next((name for name in KEY_NAMES if name in takes), KEY_NAMES[0])] = key
    return given
