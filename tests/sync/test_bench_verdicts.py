"""The benches that look for lost changes say so by their exit code."""

from dataclasses import replace

import pytest

from bench.chaos.figures import Figures
from bench.sync.__main__ import _concurrent_figures, _exit_code
from bench.sync.measures import Concurrent


@pytest.mark.parametrize(("missed", "lost", "code"), [(0, 0, 0), (1, 0, 1), (0, 1, 1)])
def test_the_bench_of_sync_fails_when_a_change_is_not_there(missed: int, lost: int, code: int) -> None:
    slow = Concurrent(per_second=1, missed=missed, lost=lost)
    assert _exit_code(_concurrent_figures(slow)) == code


def test_chaos_is_good_only_if_all_was_written_and_no_server_died_of_itself() -> None:
    good = Figures(asked=8, mutations=8)
    assert good.good
    for bad in (replace(good, mutations=7), replace(good, died=1), replace(good, missed=1), replace(good, lost=1)):
        assert not bad.good
