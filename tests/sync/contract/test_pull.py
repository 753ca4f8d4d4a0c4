"""What a pull promises, over every store."""

from datetime import timedelta

import msgspec
import pytest

from sync.cursor import Cookie, seal, unseal
from sync.holding import check_of
from sync.limits import PULL_BYTES_LEAST
from sync.protocol import Del, Drop, Notice, Put, Refusal
from sync.replica import Pulled
from tests.sync.handset import Handset, buckets
from tests.sync.stores import EventfulStore
from tests.sync.world import SECRET, START, World


async def holds_all(handset: Handset) -> bool:
    return buckets(handset) == await handset.world.expected(handset.person, handset.now)


async def test_a_first_pull_brings_exactly_the_scope(world: World, li_wei: Handset, site: str) -> None:
    await world.asset(site)
    elsewhere = await world.site(name="别处")
    await world.job(elsewhere)
    assert await li_wei.pull_all() is Pulled.DONE
    assert await holds_all(li_wei)
    assert f"site:{site}" in buckets(li_wei)
    assert f"site:{elsewhere}" not in buckets(li_wei)


async def test_a_pull_with_nothing_new_is_empty_and_keeps_its_place(li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    before = li_wei.replica.stored()
    assert await li_wei.pull() is Pulled.UNCHANGED
    assert li_wei.replica.stored() == before


async def test_a_change_elsewhere_is_nothing_new(world: World, li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    await world.site(name="别处")
    assert await li_wei.pull() is Pulled.UNCHANGED


async def test_changes_and_deletions_arrive(world: World, li_wei: Handset, site: str) -> None:
    asset = await world.asset(site)
    await li_wei.pull_all()
    await world.change("site", site, name="西门")
    await world.delete("asset", asset)
    answer = await li_wei.ask_pull(li_wei.replica.pull_request())
    assert answer is not None
    assert [(type(op), getattr(op, "row", "")) for op in answer.ops] == [(Del, asset), (Put, site)]
    assert li_wei.replica.take_pull(answer) is Pulled.DONE
    assert await holds_all(li_wei)


async def test_work_taken_away_leaves_the_phone_and_nothing_else_does(world: World, li_wei: Handset, site: str) -> None:
    other = await world.site(name="北门")
    assignment = await world.assign(world.li_wei, await world.job(other))
    await li_wei.pull_all()
    assert f"site:{other}" in buckets(li_wei)
    before = set(buckets(li_wei))
    await world.withdraw(assignment)
    answer = await li_wei.ask_pull(li_wei.replica.pull_request())
    assert answer is not None
    dropped = {op.bucket for op in answer.ops if isinstance(op, Drop)}
    assert f"site:{other}" in dropped
    assert dropped == before - set(await world.expected(world.li_wei, li_wei.now))
    li_wei.replica.take_pull(answer)
    assert await holds_all(li_wei)
    assert f"site:{site}" in buckets(li_wei)


async def test_who_joins_a_crew_gets_its_work_and_who_leaves_loses_it(world: World, li_wei: Handset, site: str) -> None:
    job = await world.job(await world.site(name="北门"))
    assignment = await world.assign_crew(job)
    await li_wei.pull_all()
    assert f"job:{job}" not in buckets(li_wei)
    member = await world.join(world.li_wei)
    assert await li_wei.pull_all() is Pulled.DONE
    assert await holds_all(li_wei)
    given = li_wei.replica.shown().get("assignment", assignment)
    assert given is not None, "the phone sees why it holds the job"
    joined = li_wei.replica.shown().get("crew_member", member)
    assert joined is not None
    assert joined["crew_id"] == given["crew_id"] == world.crew
    await world.leave(member)
    assert await li_wei.pull_all() is Pulled.DONE
    assert f"job:{job}" not in buckets(li_wei)
    assert li_wei.replica.shown().get("assignment", assignment) is None
    assert await holds_all(li_wei)


async def test_a_crew_is_joined_and_left_at_the_instant_that_was_agreed(
    world: World, li_wei: Handset, site: str
) -> None:
    job = await world.job(await world.site(name="北门"))
    await world.assign_crew(job, hours=24)
    joins_at, leaves_at = START + timedelta(hours=2), START + timedelta(hours=5)
    await world.join(world.li_wei, at=joins_at, until=leaves_at)
    held: list[bool] = []
    for li_wei.now in (START, joins_at - timedelta(seconds=1), joins_at, leaves_at - timedelta(seconds=1), leaves_at):
        await li_wei.pull_all()
        assert await holds_all(li_wei)
        held.append(f"job:{job}" in buckets(li_wei))
    assert held == [False, False, True, True, False]


async def test_work_of_a_crew_is_seen_by_nobody_else(
    world: World, li_wei: Handset, zhang_min: Handset, site: str
) -> None:
    job = await world.job(await world.site(name="北门"))
    assignment = await world.assign_crew(job)
    await world.join(world.li_wei)
    await zhang_min.pull_all()
    assert f"job:{job}" not in buckets(zhang_min)
    assert await holds_all(zhang_min)
    await world.assign(world.zhang_min, job)
    await zhang_min.pull_all()
    assert zhang_min.replica.shown().get("assignment", assignment) is not None, "who works beside the crew knows of it"
    assert not zhang_min.replica.shown().all("crew_member")
    await world.withdraw(assignment)
    await li_wei.pull_all()
    assert f"job:{job}" not in buckets(li_wei)
    assert await holds_all(li_wei)


async def test_work_that_comes_brings_its_site_whole(world: World, li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    other = await world.site(name="北门")
    gone = await world.asset(other)
    await world.asset(other)
    await world.delete("asset", gone)
    await world.assign(world.li_wei, await world.job(other))
    answer = await li_wei.ask_pull(li_wei.replica.pull_request())
    assert answer is not None
    assert not [op for op in answer.ops if isinstance(op, Del)], "a new bucket needs no tombstones"
    li_wei.replica.take_pull(answer)
    assert await holds_all(li_wei)


async def test_a_row_that_moves_to_another_site_is_shown_once(world: World, li_wei: Handset, site: str) -> None:
    other = await world.site(name="北门")
    await world.assign(world.li_wei, await world.job(other))
    asset = await world.asset(site)
    await li_wei.pull_all()
    await world.change("asset", asset, site_id=other)
    await li_wei.pull_all()
    assert await holds_all(li_wei)
    shown = li_wei.replica.shown().get("asset", asset)
    assert shown is not None
    assert shown["site_id"] == other


async def test_a_row_that_moves_out_of_scope_is_gone(world: World, li_wei: Handset, site: str) -> None:
    elsewhere = await world.site(name="别处")
    asset = await world.asset(site)
    await li_wei.pull_all()
    await world.change("asset", asset, site_id=elsewhere)
    await li_wei.pull_all()
    assert li_wei.replica.shown().get("asset", asset) is None


async def test_time_alone_moves_the_scope_at_the_instant_it_said(world: World, li_wei: Handset, site: str) -> None:
    later = await world.site(name="后天")
    await world.assign(world.li_wei, await world.job(later), starts_at=START + timedelta(days=60))
    await li_wei.pull_all()
    assert f"site:{later}" not in buckets(li_wei)
    async with world.store.read() as snapshot:
        until = (await snapshot.scope(world.li_wei, li_wei.now)).valid_until
    assert until is not None
    li_wei.now = until - timedelta(seconds=1)
    assert await li_wei.pull() is Pulled.UNCHANGED
    seen: list[set[str]] = []
    while until is not None and len(seen) < 10:
        li_wei.now = until
        await li_wei.pull_all()
        assert await holds_all(li_wei)
        seen.append(set(buckets(li_wei)))
        async with world.store.read() as snapshot:
            until = (await snapshot.scope(world.li_wei, li_wei.now)).valid_until
    assert any(f"site:{later}" in held for held in seen)
    assert any(f"site:{site}" not in held for held in seen)


async def many_assets(world: World, site: str, count: int = 40) -> list[str]:
    async with world.together():
        return [await world.asset(site, note="长" * 200) for _ in range(count)]


async def test_a_long_pull_comes_in_pages_and_changes_over_at_once(world: World, li_wei: Handset, site: str) -> None:
    await many_assets(world, site)
    pages = 0
    while await li_wei.pull(PULL_BYTES_LEAST) is Pulled.MORE:
        pages += 1
        assert not buckets(li_wei), "nothing is shown of an unfinished pull"
    assert pages > 3
    assert await holds_all(li_wei)


async def test_a_page_holds_at_least_one_row_however_small_it_is(world: World, li_wei: Handset, site: str) -> None:
    await world.asset(site, note="长" * PULL_BYTES_LEAST)
    await world.asset(site, note="大" * PULL_BYTES_LEAST)
    assert await li_wei.pull_all(1) is Pulled.DONE
    assert await holds_all(li_wei)


async def test_writes_between_pages_are_not_missed(world: World, li_wei: Handset, site: str) -> None:
    assets = await many_assets(world, site)
    turn = 0
    while await li_wei.pull(PULL_BYTES_LEAST) is Pulled.MORE:
        turn += 1
        if turn > 12:  # from here on nobody writes, so the tail can catch up
            continue
        await world.change("asset", assets[turn], name=f"改 {turn}")
        await world.change("asset", assets[-turn], name=f"改 {turn}")
        await world.delete("asset", assets[20 - turn])
        await world.asset(site, note="新" * 100)
    assert await holds_all(li_wei)


async def test_a_bucket_that_leaves_and_comes_back_between_pages_is_whole(
    world: World, li_wei: Handset, site: str
) -> None:
    other = await world.site(name="北门")
    await many_assets(world, other)
    await many_assets(world, site)
    job = await world.job(other)
    assignment = await world.assign(world.li_wei, job)
    for _ in range(3):
        assert await li_wei.pull(PULL_BYTES_LEAST) is Pulled.MORE
    sent = [op for page in li_wei.replica.pages for op in page.ops if isinstance(op, Put) and op.entity == "asset"]
    await world.change("asset", sent[0].row, name="发送后才改")
    await world.withdraw(assignment)
    assert await li_wei.pull(PULL_BYTES_LEAST) is Pulled.MORE
    since = [op for page in li_wei.replica.pages[3:] for op in page.ops]
    assert any(isinstance(op, Drop) and op.bucket == f"site:{other}" for op in since)
    await world.assign(world.li_wei, job)
    await li_wei.pull_all(PULL_BYTES_LEAST)
    assert await holds_all(li_wei)


async def test_nothing_of_a_bucket_is_sent_once_it_has_left(world: World, li_wei: Handset, site: str) -> None:
    other = await world.site(name="北门")
    await many_assets(world, other)
    assignment = await world.assign(world.li_wei, await world.job(other))
    await many_assets(world, site)
    await li_wei.pull(PULL_BYTES_LEAST)
    await world.withdraw(assignment)
    before = len(li_wei.replica.pages)
    while await li_wei.pull(PULL_BYTES_LEAST) is Pulled.MORE:
        later = [op for page in li_wei.replica.pages[before:] for op in page.ops]
        assert not [op for op in later if isinstance(op, Put) and op.bucket == f"site:{other}"]
    assert await holds_all(li_wei)


async def test_a_page_already_full_of_exits_goes_on_with_the_first_row(
    world: World, li_wei: Handset, site: str
) -> None:
    async with world.together():
        others = [await world.site(name=f"门 {place}") for place in range(60)]
        assignments = [await world.assign(world.li_wei, await world.job(other)) for other in others]
    await li_wei.pull_all()
    async with world.together():
        for assignment in assignments:
            await world.withdraw(assignment)
    first = await world.site(name="新的")
    await world.assign(world.li_wei, await world.job(first))
    assert await li_wei.pull(PULL_BYTES_LEAST) is Pulled.MORE
    assert not [op for op in li_wei.replica.pages[0].ops if isinstance(op, Put)]
    assert await li_wei.pull_all(PULL_BYTES_LEAST) is Pulled.DONE
    assert await holds_all(li_wei)


async def test_a_page_asked_for_again_gives_the_same_place(world: World, li_wei: Handset, site: str) -> None:
    await many_assets(world, site)
    await li_wei.pull(PULL_BYTES_LEAST)
    request = li_wei.replica.pull_request(PULL_BYTES_LEAST)
    for _ in range(3):
        lost = await li_wei.ask_pull(request)
        assert lost is not None
    await li_wei.pull_all(PULL_BYTES_LEAST)
    assert await holds_all(li_wei)


async def test_an_unfinished_pull_is_resumed_days_later(world: World, li_wei: Handset, site: str) -> None:
    await world.assign(world.li_wei, await world.job(site), starts_at=START + timedelta(days=5))
    await many_assets(world, site)
    await li_wei.pull(PULL_BYTES_LEAST)
    li_wei.now += timedelta(days=4)
    await world.change("site", site, name="西门")
    await li_wei.pull_all(PULL_BYTES_LEAST)
    assert await holds_all(li_wei)


async def test_a_page_of_a_pull_nobody_remembers_is_refused(world: World, li_wei: Handset, site: str) -> None:
    await many_assets(world, site)
    await li_wei.pull(PULL_BYTES_LEAST)
    stale = li_wei.replica.pull_request(PULL_BYTES_LEAST)
    for turn in range(6):
        li_wei.replica.begin_again(keep_cookie=True)
        await world.change("site", site, name=f"门 {turn}")
        await li_wei.pull_all()
    with pytest.raises(Refusal) as refused:
        await li_wei.ask_pull(stale)
    assert (refused.value.status, refused.value.code) == (409, "page_expired")


async def test_an_older_cookie_leads_to_the_same_rows(world: World, li_wei: Handset, site: str) -> None:
    other = await world.site(name="北门")
    assignment = await world.assign(world.li_wei, await world.job(other))
    await li_wei.pull_all()
    older = li_wei.clone()
    await world.withdraw(assignment)
    await world.change("site", site, name="西门")
    for turn in range(6):
        await world.asset(site, name=f"枪机 {turn}")
        await li_wei.pull_all()
        again = older.clone()
        assert await again.pull_all() is Pulled.DONE
        assert await holds_all(again)


async def test_a_cookie_of_a_view_nobody_remembers_begins_anew(world: World, li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    older = li_wei.clone()
    for turn in range(6):
        await world.change("site", site, name=f"门 {turn}")
        await li_wei.pull_all()
    answer = await older.ask_pull(older.replica.pull_request())
    assert answer is not None
    assert answer.reset
    older.replica.take_pull(answer)
    assert await holds_all(older)


async def test_an_answer_taken_twice_or_late_changes_nothing(world: World, li_wei: Handset, site: str) -> None:
    first = await li_wei.ask_pull(li_wei.replica.pull_request())
    assert li_wei.replica.take_pull(first) is Pulled.DONE
    await world.change("site", site, name="西门")
    second = await li_wei.ask_pull(li_wei.replica.pull_request())
    li_wei.replica.take_pull(second)
    held = li_wei.replica.stored()
    for late in (first, second):
        assert li_wei.replica.take_pull(late) is Pulled.IGNORED
    assert li_wei.replica.stored() == held


@pytest.mark.parametrize("place", [0, 5, 30, -1])
async def test_a_cookie_that_was_changed_is_refused(li_wei: Handset, site: str, place: int) -> None:
    await li_wei.pull_all()
    request = li_wei.replica.pull_request()
    assert request.cookie is not None
    letters = list(request.cookie)
    letters[place] = "A" if letters[place] != "A" else "B"
    for cookie in ("".join(letters), request.cookie + "A", request.cookie[:-4], "", "!", "é"):
        with pytest.raises(Refusal) as refused:
            await li_wei.ask_pull(msgspec.structs.replace(request, cookie=cookie))
        assert (refused.value.status, refused.value.code) == (400, "bad_cookie")


async def test_a_cookie_is_worth_nothing_on_another_phone(li_wei: Handset, zhang_min: Handset, site: str) -> None:
    await li_wei.pull_all()
    stolen = msgspec.structs.replace(zhang_min.replica.pull_request(), cookie=li_wei.replica.holding.cookie)
    with pytest.raises(Refusal, match="bad_cookie"):
        await zhang_min.ask_pull(stolen)


async def test_a_page_token_is_no_cookie(world: World, li_wei: Handset, site: str) -> None:
    await many_assets(world, site)
    await li_wei.pull(PULL_BYTES_LEAST)
    request = li_wei.replica.pull_request()
    with pytest.raises(Refusal, match="bad_cookie"):
        await li_wei.ask_pull(msgspec.structs.replace(request, cookie=request.page, page=None))


@pytest.mark.parametrize("change", [{"v": 1_000_000}, {"epoch": "another"}])
async def test_a_phone_ahead_of_the_server_is_told_of_the_rewind(
    li_wei: Handset, site: str, change: dict[str, object]
) -> None:
    await li_wei.pull_all()
    held = li_wei.replica.holding
    assert held.cookie is not None
    cookie = unseal(held.cookie, Cookie, secret=SECRET, device=li_wei.device)
    ahead = seal(msgspec.structs.replace(cookie, **change), secret=SECRET, device=li_wei.device)
    li_wei.replica.holding = msgspec.structs.replace(held, cookie=ahead)
    answer = await li_wei.ask_pull(li_wei.replica.pull_request())
    assert answer is not None
    assert answer.reset
    assert answer.notices == (Notice.REWIND,)
    assert li_wei.replica.take_pull(answer) is Pulled.DONE
    assert await holds_all(li_wei)


async def test_a_new_schema_begins_anew(li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    request = msgspec.structs.replace(li_wei.replica.pull_request(), schema=2)
    answer = await li_wei.ask_pull(request)
    assert answer is not None
    assert answer.reset


async def test_an_app_too_old_is_told_to_upgrade_and_sent_no_rows(li_wei: Handset, site: str) -> None:
    request = msgspec.structs.replace(li_wei.replica.pull_request(), schema=0)
    answer = await li_wei.ask_pull(request)
    assert answer is not None
    assert (answer.notices, answer.ops, answer.cookie) == ((Notice.UPGRADE,), [], None)


async def test_a_revoked_phone_is_told_to_wipe_and_sent_no_rows(world: World, li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    await world.revoke(li_wei.device)
    await world.change("site", site, name="西门")
    answer = await li_wei.ask_pull(li_wei.replica.pull_request())
    assert answer is not None
    assert (answer.notices, answer.ops, answer.cookie) == ((Notice.WIPE,), [], None)
    assert li_wei.replica.take_pull(answer) is Pulled.WIPED
    assert not buckets(li_wei)


async def test_a_phone_nobody_registered_is_refused(world: World, li_wei: Handset) -> None:
    stranger = li_wei.clone()
    stranger.replica.identity = msgspec.structs.replace(stranger.replica.identity, device=world.ids())
    with pytest.raises(Refusal, match="unknown_device"):
        await stranger.pull()


async def test_a_numbering_the_server_never_gave_is_refused(world: World, li_wei: Handset) -> None:
    request = msgspec.structs.replace(li_wei.replica.pull_request(), incarnation=world.ids())
    with pytest.raises(Refusal, match="unknown_incarnation"):
        await li_wei.ask_pull(request)


async def test_the_check_tells_what_each_bucket_holds(world: World, li_wei: Handset, site: str) -> None:
    asset = await world.asset(site)
    first = await li_wei.ask_pull(li_wei.replica.pull_request())
    li_wei.replica.take_pull(first)
    assert first is not None
    assert {name: check_of(rows) for name, rows in buckets(li_wei).items()} == {
        name: check for name, check in first.checks.items() if check.count
    }
    await world.delete("asset", asset)
    second = await li_wei.ask_pull(li_wei.replica.pull_request())
    assert second is not None
    assert set(second.checks) == {f"site:{site}"}
    li_wei.replica.take_pull(second)
    assert check_of(buckets(li_wei)[f"site:{site}"]) == second.checks[f"site:{site}"]


async def test_rows_damaged_on_the_phone_are_found_and_repaired(world: World, li_wei: Handset, site: str) -> None:
    asset = await world.asset(site)
    await li_wei.pull_all()
    li_wei.replica.holding.buckets[f"site:{site}"][f"asset/{asset}"] = '{"id":"rotten"}'
    await world.change("site", site, name="西门")
    assert await li_wei.pull_all() is Pulled.DAMAGED
    assert await li_wei.pull_all() is Pulled.DONE
    assert await holds_all(li_wei)


async def test_two_pulls_of_one_phone_at_once_both_come_to_the_truth(world: World, li_wei: Handset, site: str) -> None:
    """The second begins after the first has read, and stores its view before the first does."""
    await li_wei.pull_all()
    twin = li_wei.clone()
    await world.change("site", site, name="西门")
    waiting = [twin.pull_all]

    async def overtake() -> None:
        while waiting:
            await waiting.pop()()

    li_wei.store = EventfulStore(world.store, before_write=overtake)
    assert await li_wei.pull_all() is Pulled.DONE
    assert await holds_all(li_wei)
    assert await holds_all(twin)
    assert await li_wei.pull() is Pulled.UNCHANGED
    assert await twin.pull() is Pulled.UNCHANGED


async def test_a_pull_always_overtaken_is_told_to_come_again(world: World, li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    twin = li_wei.clone()
    await world.change("site", site, name="西门")
    turns = iter(range(100))

    async def overtake() -> None:
        await world.change("site", site, name=f"门 {next(turns)}")
        await twin.pull_all()

    li_wei.store = EventfulStore(world.store, before_write=overtake)
    with pytest.raises(Refusal) as refused:
        await li_wei.pull()
    assert (refused.value.status, refused.value.code) == (503, "busy")
