"""Stock over the API: whose van may be named, and what somebody who leaves still has on board."""

from tests.answers import added, fields_of
from tests.make import Office
from tests.personas import LI_WEI, MA_CHAO, SUN_LEI, WANG_FANG


async def test_a_van_is_somebodys_of_the_units_whose_stock_one_keeps(office: Office) -> None:
    keeper, house = await office.sign_in(WANG_FANG), office.house
    van = {"unit_id": str(house.service), "kind": "van", "name": "皖A10001"}
    refused = await keeper.post("/stock/locations", van | {"person_id": str(house.id_of(SUN_LEI))})
    assert (refused.status_code, fields_of(refused)) == (422, ["person_id"])
    await added(keeper, "/stock/locations", van | {"person_id": str(house.id_of(LI_WEI))})


async def test_a_van_is_handed_over_while_there_is_something_on_board(office: Office) -> None:
    keeper, house = await office.sign_in(WANG_FANG), office.house
    person = str(house.id_of(LI_WEI))
    place = {"unit_id": str(house.service), "kind": "van", "name": "李伟的车", "person_id": person}
    van, empty = await added(keeper, "/stock/locations", place), await added(keeper, "/stock/locations", place)
    part = await added(keeper, "/parts", {"number": "F-1", "name_zh": "光模块", "name_en": "SFP"})
    move = {"part_id": part["id"], "quantity": 2, "reason": "transfer"}
    await added(keeper, "/stock/movements", move | {"to_location_id": van["id"]})
    held = (await keeper.get(f"/people/{person}/duties")).json()["duties"]
    assert held == [{"kind": "van", "id": van["id"], "label": "李伟的车"}], f"not {empty['id']}"
    await added(keeper, "/stock/movements", move | {"from_location_id": van["id"]})
    assert (await keeper.get(f"/people/{person}/duties")).json()["duties"] == []
    assert (await (await office.sign_in(MA_CHAO)).get(f"/people/{person}/duties")).status_code == 404
