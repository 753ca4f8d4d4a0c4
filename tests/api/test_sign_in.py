"""Signing in and staying signed in."""

from tests.make import Office
from tests.personas import EVERYBODY, LI_WEI


async def test_everybody_signs_in_and_learns_what_they_may_do(office: Office) -> None:
    for persona in EVERYBODY:
        desk = await office.sign_in(persona)
        me = (await desk.get("/me")).json()
        assert (me["name"], me["roles"]) == (persona.name, [persona.role])


async def test_the_phone_number_is_found_however_it_is_typed(office: Office) -> None:
    for login in (LI_WEI.phone, "138 0000 0001", "13800000001", LI_WEI.email, LI_WEI.email.upper()):
        answer = await office.client.post("/auth/sign-in", json={"login": login, "password": "cheng-nuo-48"})
        assert answer.status_code == 200, login
