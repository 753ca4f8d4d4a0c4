"""What a phone fetches before it loses its signal: only what it may hold, the most needed first, never too much."""

from datetime import timedelta

import pytest

from tests.api.test_uploads import begin, go_on, sha256
from tests.make import Desk, Office
from tests.personas import HE_LI, LI_WEI, WANG_FANG
from tests.work import give, ok, opened

PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"


async def put(desk: Desk, entity: str, subject_id: object, kind: str, size: int) -> str:
    """Attach a file of so many bytes; return its sha256."""
    content = PDF.ljust(size, b" ")
    assert (await go_on(desk, await begin(desk, content), 0, content)).status_code == 204
    body = {"entity": entity, "subject_id": str(subject_id), "sha256": sha256(content), "kind": kind, "name": "图.pdf"}
    ok(await desk.post("/attachments", body), 201)
    return sha256(content)


async def listed(desk: Desk, room: int = 100_000) -> list[str]:
    answer = ok(await desk.get(f"/sync/v1/prefetch?bytes={room}"))
    assert sum(file["size"] for file in answer["files"]) == answer["bytes"] <= room
    return [file["sha256"] for file in answer["files"]]


@pytest.mark.rule("A271", "A114")
async def test_the_files_of_ones_jobs_are_listed_todays_first_within_the_room_there_is(office: Office) -> None:
    house = office.house
    wang_fang, li_wei, he_li = [await office.sign_in(persona) for persona in (WANG_FANG, LI_WEI, HE_LI)]
    old = await put(he_li, "site", house.site, "drawing", 300)
    photo = await put(he_li, "site", house.site, "photo", 301)
    assert await listed(li_wei) == [], "nothing before there is a job"

    async def job(days: int) -> str:
        visit = (await opened(wang_fang, office))["visits"][0]
        arrives_at = office.now + timedelta(days=days)
        ends_at = arrives_at + timedelta(hours=1)
        await give(
            wang_fang, office, visit["id"], LI_WEI, arrives_at=arrives_at.isoformat(),
            ends_at=ends_at.isoformat(),
        )  # fmt: skip
        return visit["work_order_id"]

    later = await job(days=5)
    assert await listed(li_wei) == [old, photo], "papers before photos"
    newer = await put(wang_fang, "work_order", later, "document", 302)
    assert await listed(li_wei) == [newer, old, photo]
    assert await listed(he_li) == [], "who has no job fetches nothing ahead"
    today = await job(days=0)
    manual = await put(wang_fang, "work_order", today, "manual", 2_000)
    assert await listed(li_wei) == [manual, old, photo, newer], "today's job and its site, then the rest"
    assert await listed(li_wei, 700) == [old, photo], "what does not fit is passed over"
    assert await listed(li_wei, 0) == []
    for sha in await listed(li_wei):
        assert (await li_wei.get(f"/blobs/{sha}")).status_code == 200, "what is named can be fetched"
    await he_li.edit(f"/sites/{house.site}", {"no_offline_drawings": True})
    assert await listed(li_wei) == [manual, photo, newer]
    for room in (-1, 3_000_000_000):
        assert (await li_wei.get(f"/sync/v1/prefetch?bytes={room}")).status_code == 422


async def test_a_room_beyond_the_bounds_is_named_as_it_was_asked_for(sqlite_office: Office) -> None:
    desk = await sqlite_office.sign_in(LI_WEI)
    (found,) = (await desk.get("/sync/v1/prefetch?bytes=-1")).json()["findings"]
    assert (found["field"], ">= 0" in found["zh"], ">= 0" in found["en"]) == ("bytes", True, True), found
