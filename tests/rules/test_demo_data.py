"""The demo city's ingredients: enough, consistent, and plainly invented."""

import math

import phonenumbers

from tests.presets_data import DEMO, Table, of

CITY_RADIUS_KM = 12
KM_PER_DEGREE = 111.2


def named(kind: str) -> dict[str, Table]:
    """The demo's entries of a kind by key."""
    found = {entry["key"]: entry for entry in DEMO[kind]}
    assert len(found) == len(DEMO[kind]), kind
    return found


def technicians() -> dict[str, Table]:
    return {key: person for key, person in named("person").items() if "technician" in person["roles"]}


def test_the_city_has_the_people_and_sites_that_are_promised() -> None:
    counts = DEMO["counts"]
    assert (counts["crews"], counts["technicians"], counts["sites"], counts["open_requests"]) == (3, 8, 60, 24)
    assert len(named("crew")) == counts["crews"]
    assert len(technicians()) == counts["technicians"]
    assert sum(customer["sites"] for customer in named("customer").values()) == counts["sites"]
    assert DEMO["holiday"]["days_from_today"] == 1
    assert DEMO["illness"]["person"] in technicians()


def test_people_belong_to_crews_and_hold_known_roles_and_skills() -> None:
    for key, person in named("person").items():
        assert set(person["roles"]) <= of("role").keys(), key
        assert set(person["skills"]) <= of("skill").keys(), key
        assert ("crew" in person) == (key in technicians()), key
        assert person["unit"] in named("unit")
    for key, crew in named("crew").items():
        assert technicians()[crew["leader"]]["crew"] == key
        assert "crew_leader" in technicians()[crew["leader"]]["roles"]
        assert set(crew["districts"]) <= named("district").keys()
    people = named("person")
    assert {people["wang_fang"]["zh"], people["chen_jing"]["zh"], people["li_wei"]["zh"]} == {"王芳", "陈静", "李伟"}


def test_every_phone_number_can_be_dialled_belongs_to_one_person_and_is_plainly_invented() -> None:
    phones = [entry["phone"] for kind in ("person", "contact") for entry in DEMO[kind]]
    assert len(phones) == len(set(phones))
    for phone in phones:
        number = phonenumbers.parse(phone)
        assert phonenumbers.is_valid_number(number), phone
        assert phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) == phone
        assert "000000" in phone
    mails = [person["email"] for person in DEMO["person"]]
    assert len(mails) == len(set(mails))
    assert all(mail.endswith(".example") for mail in mails)
    assert len({person["employee_number"] for person in DEMO["person"]}) == len(DEMO["person"])


def test_districts_and_depots_lie_in_one_city() -> None:
    city = DEMO["city"]
    places = [(place["latitude"], place["longitude"], place["radius_m"]) for place in DEMO["district"]]
    places += [(crew["depot_latitude"], crew["depot_longitude"], 0) for crew in DEMO["crew"]]
    for latitude, longitude, radius_m in places:
        north = (latitude - city["latitude"]) * KM_PER_DEGREE
        east = (longitude - city["longitude"]) * KM_PER_DEGREE * math.cos(math.radians(city["latitude"]))
        assert math.hypot(north, east) + radius_m / 1000 <= CITY_RADIUS_KM
    assert all(len(district["streets"]) >= 3 for district in DEMO["district"])


def test_buildings_hold_known_assets_that_have_models_and_faults() -> None:
    modelled = {model["asset_type"] for model in DEMO["asset_model"]}
    failing = {fault["asset_type"] for fault in DEMO["fault"]}
    for key, building in named("building_type").items():
        for asset in building["assets"]:
            assert asset["type"] in modelled & failing & of("asset_type").keys(), key
            assert 1 <= asset["least"] <= asset["most"]
    for customer in named("customer").values():
        assert customer["building_type"] in named("building_type")
        assert customer["clock_policy"] in of("clock_policy")
    assert {contact["customer"] for contact in DEMO["contact"]} == named("customer").keys()


def test_every_fault_can_be_repaired_by_somebody_who_is_well() -> None:
    well = [set(person["skills"]) for key, person in technicians().items() if key != DEMO["illness"]["person"]]
    for key, fault in named("fault").items():
        assert any(set(fault["skills"]) <= skills for skills in well), key
        least, most = fault["minutes"]
        assert 10 <= least < most <= 120, key
        assert sum(fault["priority_weights"]) == 100, key
        assert fault["cause"] in of("cause"), key
        assert set(fault["parts"]) <= named("part").keys(), key


def test_parts_fit_known_assets_and_are_all_used_and_priced() -> None:
    used = {part for fault in DEMO["fault"] for part in fault["parts"]}
    for key, part in named("part").items():
        assert set(part["asset_types"]) <= of("asset_type").keys(), key
        assert isinstance(part["price_fen"], int)
        assert part["price_fen"] > 0
    for fault in DEMO["fault"]:
        assert all(fault["asset_type"] in named("part")[part]["asset_types"] for part in fault["parts"]), fault["key"]
    assert used <= named("part").keys()
    assert len({part["number"] for part in DEMO["part"]}) == len(DEMO["part"])


def test_the_price_list_charges_in_fen_by_known_quote_lines() -> None:
    for line in DEMO["price_list"]["lines"]:
        assert line["line"] in of("quote_line")
        assert isinstance(line["amount_fen"], int)
    assert sum(channel["weight"] for channel in DEMO["channel"]) == 100
