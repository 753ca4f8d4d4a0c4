"""Registering phones: one-use codes, devices, and a new incarnation for a phone that lost its numbering."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Final

from sync.limits import DEVICES_A_PERSON, INCARNATIONS_A_DEVICE, PREFIX_ATTEMPTS
from sync.protocol import EnrolAnswer, EnrolRequest, Refusal
from sync.store import Device, DeviceStore, EnrolmentCode, Registry

PUBLIC_KEY_BYTES: Final = 32
PREFIX_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""What a number on paper is made of: no letter looks like a digit."""
PREFIX_LENGTH: Final = 4

RandomBytes = Callable[[int], bytes]


def hash_of(code: str) -> str:
    """Return what is stored of a code (80 random bits, so a plain hash keeps it).

    Spaces, hyphens and case do not count: people write codes in groups.
    """
    return hashlib.sha256("".join(code.replace("-", "").split()).upper().encode()).hexdigest()


async def enrol(
    store: DeviceStore,
    request: EnrolRequest,
    *,
    now: datetime,
    new_id: Callable[[], str],
    random_bytes: RandomBytes,
) -> EnrolAnswer:
    """Register a phone; asking again with the same code and key gives the same answer, should the first be lost.

    A phone whose key is known (the app was installed anew) stays the same device and begins a new incarnation. Raises
    Refusal 400 `unreadable` (no such key), 403 `bad_code`, 409 `too_many_devices`.
    """
    if not _is_key(request.public_key):
        raise Refusal(400, "unreadable")
    async with store.write() as registry:
        code = await registry.enrolment_code(hash_of(request.code))
        if code is None:
            raise Refusal(403, "bad_code")
        devices = [device for device in await registry.devices(code.person) if device.active]
        known = next((device for device in devices if device.public_key == request.public_key), None)
        if code.used_at is not None and known is not None:
            return _answer(known)
        _check_code(code, now)
        await registry.use_code(hash_of(request.code), now)
        if known is not None:
            return await _renewed(registry, known, now, new_id, random_bytes)
        if len(devices) >= DEVICES_A_PERSON:
            raise Refusal(409, "too_many_devices")
        device = Device(
            id=new_id(), person=code.person, public_key=request.public_key, incarnation=new_id(), prefix="",
            name=request.name, app_version=request.app_version, schema=request.schema,
        )  # fmt: skip
        return await _saved(registry, device, now, random_bytes)


async def renew(
    store: DeviceStore, device: str, *, now: datetime, new_id: Callable[[], str], random_bytes: RandomBytes
) -> EnrolAnswer:
    """Give a phone a new incarnation and prefix: its numbers were used by somebody else, or it lost count.

    Raises Refusal 404 `unknown_device`, 403 `device_revoked`, 409 `too_many_incarnations`.
    """
    async with store.write() as registry:
        known = await registry.device(device)
        if known is None:
            raise Refusal(404, "unknown_device")
        if not known.active:
            raise Refusal(403, "device_revoked")
        return await _renewed(registry, known, now, new_id, random_bytes)


async def _renewed(
    registry: Registry, device: Device, now: datetime, new_id: Callable[[], str], random_bytes: RandomBytes
) -> EnrolAnswer:
    if device.incarnations >= INCARNATIONS_A_DEVICE:
        raise Refusal(409, "too_many_incarnations")
    begun = replace(device, incarnation=new_id(), incarnations=device.incarnations + 1)
    return await _saved(registry, begun, now, random_bytes)


async def _saved(registry: Registry, device: Device, now: datetime, random_bytes: RandomBytes) -> EnrolAnswer:
    """Save the device under a prefix no other phone has."""
    for prefix in _prefixes(random_bytes):
        candidate = replace(device, prefix=prefix)
        if await registry.save_device(candidate, now):
            return _answer(candidate)
    raise Refusal(503, "no_prefix")


def _prefixes(random_bytes: RandomBytes) -> Iterator[str]:
    for _ in range(PREFIX_ATTEMPTS):
        yield "".join(PREFIX_LETTERS[byte % len(PREFIX_LETTERS)] for byte in random_bytes(PREFIX_LENGTH))


def _check_code(code: EnrolmentCode, now: datetime) -> None:
    if code.used_at is not None or now >= code.expires_at:
        raise Refusal(403, "bad_code")


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)) == PUBLIC_KEY_BYTES
    except (binascii.Error, ValueError):
        return False


def _answer(device: Device) -> EnrolAnswer:
    return EnrolAnswer(device.id, device.incarnation, device.prefix)
