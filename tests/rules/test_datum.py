"""Coordinates of Chinese maps become true ones, and keep their way back."""

from math import cos, hypot, radians

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.sites.datum import Datum, Place, from_wgs84, to_wgs84

METRES_A_DEGREE = 111_320.0

in_china = st.builds(
    Place, lat=st.floats(18.0, 53.0, allow_nan=False), lon=st.floats(74.0, 134.5, allow_nan=False)
)  # fmt: skip
shifted_datums = st.sampled_from(["gcj02", "bd09"])


def metres_between(one: Place, other: Place) -> float:
    """Good enough over some hundred metres."""
    north = (one.lat - other.lat) * METRES_A_DEGREE
    east = (one.lon - other.lon) * METRES_A_DEGREE * cos(radians(one.lat))
    return hypot(north, east)


# Published pairs of two independent open converters, eviltransform (the first three) and coordtransform.
@pytest.mark.parametrize(
    ("true", "datum", "shown"),
    [
        (Place(31.1774276, 121.5272106), "gcj02", Place(31.17530398364597, 121.531541859215)),  # Shanghai
        (Place(22.543847, 113.912316), "gcj02", Place(22.540796131694766, 113.9171764808363)),  # Shenzhen
        (Place(39.911954, 116.377817), "gcj02", Place(39.91334545536069, 116.38404722455657)),  # Beijing
        (Place(39.915, 116.404), "gcj02", Place(39.91640428150164, 116.41024449916938)),
        (Place(39.915, 116.404), "bd09", Place(39.922699552216216, 116.41662724378733)),
    ],
)
def test_known_places_are_shown_where_maps_show_them(true: Place, datum: Datum, shown: Place) -> None:
    assert metres_between(from_wgs84(true, datum), shown) < 0.01
    assert metres_between(to_wgs84(shown, datum), true) < 0.01


@given(in_china, shifted_datums)
def test_the_way_back_is_exact_to_a_millimetre(true: Place, datum: Datum) -> None:
    assert metres_between(to_wgs84(from_wgs84(true, datum), datum), true) < 0.001


@given(in_china, shifted_datums)
def test_the_shift_is_some_hundred_metres(true: Place, datum: Datum) -> None:
    assert 50 < metres_between(from_wgs84(true, datum), true) < 2_500


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_true_coordinates_stay_as_they_are(lat: float, lon: float) -> None:
    assert to_wgs84(Place(lat, lon), "wgs84") == from_wgs84(Place(lat, lon), "wgs84") == (lat, lon)


@pytest.mark.parametrize("abroad", [Place(52.52, 13.405), Place(40.71, -74.0), Place(-33.87, 151.2)])
def test_nothing_is_shifted_abroad(abroad: Place) -> None:
    assert from_wgs84(abroad, "gcj02") == to_wgs84(abroad, "gcj02") == abroad
