"""Laws of the three-way merge, for any edits of any row."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.merge import Merged, merge_edits, missing_from_groups, same
from sync.policy import EntityPolicy, merged
from sync.protocol import Edit, Status
from sync.store import Conflict, Fields, RowKey
from tests.sync.world import START

RULES: EntityPolicy = merged("a", "b", "c", pair=("x", "y"))
NAMES = tuple(RULES.editable())
VALUES = st.one_of(st.none(), st.booleans(), st.integers(0, 2), st.sampled_from([0.0, 1.0, "", "甲"]), st.just([1]))
ROWS = st.fixed_dictionaries(dict.fromkeys(NAMES, VALUES))


def whole(changes: Mapping[str, Any], seen: Fields) -> dict[str, Edit]:
    """What a phone that saw a row sends to make these changes: whole groups."""
    touched = {name for group in RULES.groups.values() if changes.keys() & set(group) for name in group}
    return {name: Edit(seen[name], changes.get(name, seen[name])) for name in touched}


EDITS = st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1)


def merge(edits: Mapping[str, Edit], current: Fields, conflicts: Mapping[str, Conflict] | None = None) -> Merged:
    assert not missing_from_groups(edits, current, RULES)
    return merge_edits(edits, current, RULES, conflicts or {})


def after(current: Fields, result: Merged) -> dict[str, Any]:
    return {**current, **result.changes}


def alike(one: Fields, other: Fields) -> bool:
    return same(dict(one), dict(other))


@given(ROWS, EDITS)
def test_an_edit_of_what_was_seen_is_taken(row: Fields, changes: dict[str, Any]) -> None:
    result = merge(whole(changes, row), row)
    assert alike(after(row, result), {**row, **changes})
    assert not result.clashes


@given(ROWS, ROWS, EDITS)
def test_the_same_edit_again_changes_nothing(seen: Fields, current: Fields, changes: dict[str, Any]) -> None:
    edits = whole(changes, seen)
    once = after(current, merge(edits, current))
    assert not merge(edits, once).changes


@given(ROWS, EDITS)
def test_an_edit_taken_is_idle_when_repeated(row: Fields, changes: dict[str, Any]) -> None:
    edits = whole(changes, row)
    again = merge(edits, after(row, merge(edits, row)))
    assert again.status(moved=False) is Status.NOOP


@given(ROWS, st.data())
def test_edits_of_different_groups_commute(row: Fields, data: st.DataObject) -> None:
    groups = list(RULES.groups)
    mine = data.draw(st.sets(st.sampled_from(groups), min_size=1, max_size=len(groups) - 1))
    theirs = [group for group in groups if group not in mine]

    def edits_of(chosen: Any) -> dict[str, Edit]:
        names = [name for group in chosen for name in RULES.groups[group]]
        return whole({name: data.draw(VALUES) for name in names}, row)

    one, other = edits_of(sorted(mine)), edits_of(theirs)
    first = merge(one, row)
    second = merge(other, after(row, first))
    assert not second.clashes
    reverse = merge(other, row)
    assert alike(after(after(row, first), second), after(after(row, reverse), merge(one, after(row, reverse))))


@given(ROWS, EDITS, EDITS)
def test_of_two_edits_of_one_group_none_is_lost(row: Fields, mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    current = after(row, merge(whole(theirs, row), row))
    edits = whole(mine, row)
    result = merge(edits, current)
    for group, members in RULES.groups.items():
        if not mine.keys() & set(members):
            continue
        base, wanted, standing = ({name: part[name] for name in members} for part in (row, {**row, **mine}, current))
        clash = next((clash for clash in result.clashes if clash.group == group), None)
        if same(wanted, base) or same(standing, base) or same(wanted, standing):
            assert clash is None
        else:
            assert clash is not None
            assert alike(clash.base, base)
            assert alike(clash.mine, wanted)
            assert alike(clash.theirs, standing)
            assert not result.changes.keys() & set(members), "the server's value stays"


@given(ROWS, ROWS, ROWS, EDITS, EDITS)
def test_edits_join_an_open_conflict(
    seen: Fields, current: Fields, later: Fields, first: dict[str, Any], second: dict[str, Any]
) -> None:
    opened = {
        clash.group: Conflict(
            clash.group, RowKey("site", "1"), "site:1", clash.group, clash.base, clash.mine, clash.theirs, "m", "d",
            "p", START, START,
        )
        for clash in merge(whole(first, seen), current).clashes
    }  # fmt: skip
    result = merge(whole(second, later), current, opened)
    for clash in result.clashes:
        if clash.group in opened:
            assert clash.joins == opened[clash.group].id
            assert alike(clash.base, opened[clash.group].base)
            assert all(
                same(clash.mine[name], edit.now) for name, edit in whole(second, later).items() if name in clash.mine
            )
    touched = {group for group, members in RULES.groups.items() if second.keys() & set(members)}
    assert {clash.group for clash in result.clashes if clash.joins} == touched & opened.keys()


@given(ROWS, ROWS, EDITS)
def test_the_end_says_what_happened(seen: Fields, current: Fields, changes: dict[str, Any]) -> None:
    result = merge(whole(changes, seen), current)
    ends = {moved: result.status(moved=moved) for moved in (False, True)}
    assert (ends[True] is Status.CONFLICT) == bool(result.clashes)
    if not result.clashes:
        assert (ends[True] is Status.NOOP) == alike(after(current, result), current)
        assert Status.APPLIED is not ends[True]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (1, 1.0, True), (1, True, False), (0, False, False), (True, True, True), (None, False, False), ("1", 1, False),
        ([1, 2], [1.0, 2], True), ([1], [1, 2], False), ({"a": [True]}, {"a": [1]}, False), ({"a": 1}, {"b": 1}, False),
        ({"a": {"b": None}}, {"a": {"b": None}}, True), ([], {}, False),
    ],
)  # fmt: skip
def test_json_values_are_equal_as_json(one: Any, other: Any, *, expected: bool) -> None:
    assert same(one, other) is expected
    assert same(other, one) is expected
