"""Registering phones, over every store."""

from datetime import timedelta

import pytest

from sync.enrol import enrol, renew
from sync.limits import CODE_MINUTES, DEVICES_A_PERSON, INCARNATIONS_A_DEVICE
from sync.protocol import EnrolAnswer, EnrolRequest, Refusal
from tests.sync.handset import enrol_request, register
from tests.sync.world import START, World

KEY = b"k" * 32


async def enrolled(world: World, request: EnrolRequest, minutes: float = 0) -> EnrolAnswer:
    now = START + timedelta(minutes=minutes)
    return await enrol(world.store, request, now=now, new_id=world.ids, random_bytes=world.ids.bytes)


async def test_a_code_registers_one_phone(world: World) -> None:
    code = await world.code(world.li_wei)
    answer = await enrolled(world, enrol_request(world, f"  {code[:4].lower()}-{code[4:8]} {code[8:]}"))
    assert len(answer.prefix) == 4
    with pytest.raises(Refusal) as refused:
        await enrolled(world, enrol_request(world, code))
    assert (refused.value.status, refused.value.code) == (403, "bad_code")


async def test_asking_again_gives_the_same_answer(world: World) -> None:
    request = enrol_request(world, await world.code(world.li_wei), KEY)
    assert await enrolled(world, request) == await enrolled(world, request, minutes=CODE_MINUTES + 1)


async def test_a_code_is_good_for_ten_minutes(world: World) -> None:
    code = await world.code(world.li_wei)
    with pytest.raises(Refusal, match="bad_code"):
        await enrolled(world, enrol_request(world, code), minutes=CODE_MINUTES)
    assert await enrolled(world, enrol_request(world, code), minutes=CODE_MINUTES - 0.01)


async def test_a_code_nobody_gave_is_refused(world: World) -> None:
    with pytest.raises(Refusal, match="bad_code"):
        await enrolled(world, enrol_request(world, "AAAA"))


@pytest.mark.parametrize("key", ["", "AAAA", "not base64!", "é"])
async def test_a_key_that_is_none_is_refused(world: World, key: str) -> None:
    request = EnrolRequest(await world.code(world.li_wei), key, "", "", 1)
    with pytest.raises(Refusal, match="unreadable"):
        await enrolled(world, request)


async def test_an_app_installed_anew_is_a_new_incarnation_of_the_same_phone(world: World) -> None:
    first = await enrolled(world, enrol_request(world, await world.code(world.li_wei), KEY))
    second = await enrolled(world, enrol_request(world, await world.code(world.li_wei), KEY))
    assert second.device == first.device
    assert second.incarnation != first.incarnation
    assert second.prefix != first.prefix


async def test_a_person_has_few_phones_and_revoked_ones_do_not_count(world: World) -> None:
    phones = [await register(world, world.li_wei) for _ in range(DEVICES_A_PERSON)]
    code = await world.code(world.li_wei)
    with pytest.raises(Refusal) as refused:
        await enrolled(world, enrol_request(world, code))
    assert (refused.value.status, refused.value.code) == (409, "too_many_devices")
    await world.revoke(phones[0].device)
    assert await enrolled(world, enrol_request(world, code)), "the code was not used up by the refusal"
    assert await register(world, world.zhang_min)


async def test_a_prefix_belongs_to_one_phone(world: World) -> None:
    first = await enrolled(world, enrol_request(world, await world.code(world.li_wei)))
    draws = iter([b"\0\0\0\0", b"\0\0\0\0", b"\0\0\0\1"])

    def draw(_: int) -> bytes:
        return next(draws)

    async def take() -> EnrolAnswer:
        request = enrol_request(world, await world.code(world.zhang_min))
        return await enrol(world.store, request, now=START, new_id=world.ids, random_bytes=draw)

    prefixes = [(await take()).prefix, (await take()).prefix]
    assert prefixes == ["AAAA", "AAAB"]
    assert first.prefix not in prefixes
    request = enrol_request(world, await world.code(world.zhang_min))
    with pytest.raises(Refusal) as refused:
        await enrol(world.store, request, now=START, new_id=world.ids, random_bytes=lambda _: b"\0\0\0\0")
    assert (refused.value.status, refused.value.code) == (503, "no_prefix")


async def test_only_a_phone_in_use_gets_a_new_incarnation(world: World) -> None:
    phone = await register(world, world.li_wei)

    async def again(device: str) -> EnrolAnswer:
        return await renew(world.store, device, now=START, new_id=world.ids, random_bytes=world.ids.bytes)

    with pytest.raises(Refusal) as refused:
        await again(world.ids())
    assert (refused.value.status, refused.value.code) == (404, "unknown_device")
    for _ in range(INCARNATIONS_A_DEVICE - 1):
        assert (await again(phone.device)).device == phone.device
    with pytest.raises(Refusal) as refused:
        await again(phone.device)
    assert (refused.value.status, refused.value.code) == (409, "too_many_incarnations")
    await world.revoke(phone.device)
    with pytest.raises(Refusal) as refused:
        await again(phone.device)
    assert (refused.value.status, refused.value.code) == (403, "device_revoked")
