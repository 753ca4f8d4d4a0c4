"""GCJ-02 and BD-09 to WGS-84 and back: maps made in China show every place some hundred metres off.

GCJ-02 shifts WGS-84 by a polynomial with sine waves on the Krasovsky 1940 ellipsoid; BD-09 shifts GCJ-02 once more.
Neither is published; the formulas are those all open converters share (eviltransform, coordtransform). The way back has
no closed form: fixed-point iteration brings it below a millimetre. Outside the box around China nothing is shifted.
"""

from math import atan2, cos, pi, sin, sqrt
from typing import Final, Literal, NamedTuple

Datum = Literal["wgs84", "gcj02", "bd09"]

SEMI_MAJOR_M: Final = 6378245.0
"""Krasovsky 1940, metres."""
ECCENTRICITY_SQUARED: Final = 0.00669342162296594323
BD_PI: Final = pi * 3000.0 / 180.0
BD_LON: Final = 0.0065
BD_LAT: Final = 0.006
LON_BOX: Final = (72.004, 137.8347)
LAT_BOX: Final = (0.8293, 55.8271)
CLOSE_DEGREES: Final = 1e-9
"""A tenth of a millimetre: when the iteration stops."""
STEPS_MAXIMUM: Final = 30


class Place(NamedTuple):
    """A latitude and a longitude in degrees."""

    lat: float
    lon: float


def to_wgs84(place: Place, datum: Datum) -> Place:
    """Return where a place given in `datum` truly lies."""
    if datum == "wgs84":
        return place
    return _gcj02_to_wgs84(place if datum == "gcj02" else _bd09_to_gcj02(place))


def from_wgs84(place: Place, datum: Datum) -> Place:
    """Return what a map in `datum` shows for a true place."""
    if datum == "wgs84":
        return place
    shifted = _wgs84_to_gcj02(place)
    return shifted if datum == "gcj02" else _gcj02_to_bd09(shifted)


def _is_shifted(place: Place) -> bool:
    return LON_BOX[0] < place.lon < LON_BOX[1] and LAT_BOX[0] < place.lat < LAT_BOX[1]


def _wgs84_to_gcj02(place: Place) -> Place:
    if not _is_shifted(place):
        return place
    east, north = place.lon - 105.0, place.lat - 35.0
    waves = 20.0 * sin(6.0 * east * pi) + 20.0 * sin(2.0 * east * pi)
    lat = -100.0 + 2.0 * east + 3.0 * north + 0.2 * north * north + 0.1 * east * north + 0.2 * sqrt(abs(east))
    lat += (waves + 20.0 * sin(north * pi) + 40.0 * sin(north / 3.0 * pi)) * 2.0 / 3.0
    lat += (160.0 * sin(north / 12.0 * pi) + 320.0 * sin(north * pi / 30.0)) * 2.0 / 3.0
    lon = 300.0 + east + 2.0 * north + 0.1 * east * east + 0.1 * east * north + 0.1 * sqrt(abs(east))
    lon += (waves + 20.0 * sin(east * pi) + 40.0 * sin(east / 3.0 * pi)) * 2.0 / 3.0
    lon += (150.0 * sin(east / 12.0 * pi) + 300.0 * sin(east / 30.0 * pi)) * 2.0 / 3.0
    radians = place.lat / 180.0 * pi
    flat = 1.0 - ECCENTRICITY_SQUARED * sin(radians) ** 2
    lat_metres = SEMI_MAJOR_M * (1.0 - ECCENTRICITY_SQUARED) / (flat * sqrt(flat)) * pi / 180.0
    lon_metres = SEMI_MAJOR_M / sqrt(flat) * cos(radians) * pi / 180.0
    return Place(place.lat + lat / lat_metres, place.lon + lon / lon_metres)


def _gcj02_to_wgs84(place: Place) -> Place:
    """The shift changes slowly, so guessing, shifting and correcting by what is missing closes in fast."""
    if not _is_shifted(place):
        return place
    guess = place
    for _ in range(STEPS_MAXIMUM):
        shown = _wgs84_to_gcj02(guess)
        off_lat, off_lon = place.lat - shown.lat, place.lon - shown.lon
        guess = Place(guess.lat + off_lat, guess.lon + off_lon)
        if max(abs(off_lat), abs(off_lon)) < CLOSE_DEGREES:
            break
    return guess


def _gcj02_to_bd09(place: Place) -> Place:
    distance = sqrt(place.lon**2 + place.lat**2) + 0.00002 * sin(place.lat * BD_PI)
    angle = atan2(place.lat, place.lon) + 0.000003 * cos(place.lon * BD_PI)
    return Place(distance * sin(angle) + BD_LAT, distance * cos(angle) + BD_LON)


def _bd09_to_gcj02(place: Place) -> Place:
    """Baidu's own way back is only near; the same iteration makes it exact."""
    guess = Place(place.lat - BD_LAT, place.lon - BD_LON)
    for _ in range(STEPS_MAXIMUM):
        shown = _gcj02_to_bd09(guess)
        off_lat, off_lon = place.lat - shown.lat, place.lon - shown.lon
        guess = Place(guess.lat + off_lat, guess.lon + off_lon)
        if max(abs(off_lat), abs(off_lon)) < CLOSE_DEGREES:
            break
    return guess
