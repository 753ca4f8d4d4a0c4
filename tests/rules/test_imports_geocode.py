"""How sure a geocoder's answer is, and how the settings name a geocoder."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import Problem
from backend.settings import Settings, read_settings
from backend.sites.geocode import (
    SMALLEST_CONFIDENCE,
    SURE_ENOUGH,
    UNKNOWN_CONFIDENCE,
    Geocoder,
    confidence_of,
    geocoder_of,
)

latitudes = st.floats(-85, 85)
extents = st.floats(0, 2)


def box(lat: float, lon: float, height: float, width: float) -> dict[str, list[str]]:
    edges = (lat - height / 2, lat + height / 2, lon - width / 2, lon + width / 2)
    return {"boundingbox": [f"{edge:.9f}" for edge in edges]}


def test_a_house_is_sure_a_street_perhaps_and_a_town_is_not() -> None:
    house, street, town = box(31, 117, 0.0003, 0.0003), box(31, 117, 0.005, 0.006), box(31, 117, 0.2, 0.3)
    assert confidence_of(house) == 0.9
    assert SURE_ENOUGH <= confidence_of(street) < 0.9
    assert confidence_of(town) == SMALLEST_CONFIDENCE


@given(latitudes, extents, extents, st.floats(0, 1))
def test_a_larger_find_is_never_surer(lat: float, height: float, width: float, more: float) -> None:
    smaller, larger = box(lat, 117, height, width), box(lat, 117, height + more, width + more)
    assert confidence_of(larger) <= confidence_of(smaller)
    assert 0 < confidence_of(larger) < 1


@given(st.floats(-1000, 1000, allow_nan=False))
def test_what_the_geocoder_says_itself_is_believed_within_0_and_1(said: float) -> None:
    assert 0 <= confidence_of({"confidence": said}) <= 1
    assert confidence_of({"confidence": 80}) == 0.8


@pytest.mark.parametrize(
    "raw", [{}, {"boundingbox": None}, {"boundingbox": ["a", "b", "c", "d"]}, {"boundingbox": [1]}]
)
def test_an_answer_that_does_not_say_is_left_to_a_person(raw: dict[str, object]) -> None:
    assert confidence_of(raw) == UNKNOWN_CONFIDENCE < SURE_ENOUGH


def test_no_geocoder_is_set_up_unless_the_settings_name_one() -> None:
    assert geocoder_of(Settings()) is None
    named = read_settings({"PAIGONG_GEOCODER": "Nominatim", "PAIGONG_GEOCODER_DOMAIN": "geo.example"})
    found = geocoder_of(named)
    assert found is not None
    assert found.name == "nominatim"


def test_a_geocoder_with_a_key_is_made_with_it_and_refused_without() -> None:
    assert Geocoder("baiduv3", key="k").name == "baiduv3"
    for name in ("baiduv3", "atlantis"):
        with pytest.raises(Problem) as refused:
            Geocoder(name)
        assert refused.value.fault.code == "geocoder_unknown"
