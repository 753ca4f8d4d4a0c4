"""The twin on real outages, and the command: what it reads, writes, draws, refuses, and keeps when interrupted."""

import csv
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from backend.dispatch.cli import INTERRUPTED, Interruption, simulate_command
from backend.dispatch.outages import OutagesError, read_outages
from backend.dispatch.twin_plot import draw
from backend.dispatch.twin_scenes import city_scene, outages_scene
from routing.twin.city import City
from routing.twin.compare import Variant, run_variant
from routing.twin.figures import figures
from routing.twin.nearest import Nearest
from routing.twin.planned import Planning
from routing.twin.run import live
from routing.twin.world import (
    DAY,
    EXACT,
    HOUR,
    Reality,
)

QUICK = Planning(every=3 * HOUR, solutions=10)


def _scene() -> Any:
    return city_scene(City(technicians=3, calls_per_day=12, days=2), Reality())


HEADINGS = (
    "unit_id,unit_type,station_code,station_name,lat,lon,opened_utc,restored_utc,hours,first_category,symptom_path"
)


def _outages(folder: Path, *rows: str) -> Path:
    (folder / "units.csv").write_text("unit_id\n", "utf-8")
    (folder / "work_orders_2014-09.csv").write_text("\n".join([HEADINGS, *rows]) + "\n", "utf-8")
    return folder


ROWS = (
    "E1,ESCALATOR,A01,Metro Center,38.898,-77.028,2014-09-01T03:00:00Z,,1.0,BROKEN,Service Call",
    "E2,ELEVATOR,A02,Farragut North,38.903,-77.039,2014-09-01T04:30:00Z,,0.1,BROKEN,Door",
    "E3,ESCALATOR,A03,Dupont Circle,38.909,-77.043,2014-09-02T12:00:00Z,,90.5,INSPECTION,Inspection",
)


def test_outages_become_calls_from_the_first_whole_day(tmp_path: Path) -> None:
    scene = outages_scene(_outages(tmp_path, *ROWS), technicians=4, days=7, reality=EXACT)
    world = scene.world(1)
    assert [(call.received_at, call.priority, call.skills, call.planned_seconds) for call in world.calls] == [
        (HOUR // 2, 1, ("elevator",), 20 * 60),
        (DAY + 8 * HOUR, 3, ("escalator",), 120 * 60),
    ]
    outcome = live(world, Nearest(), every=HOUR)
    assert figures(outcome).done == 2
    assert len(scene.roster(1)) == len(world.shifts) * 5 // 4


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ((), "no outages"),
        (("E1,ESCALATOR,A01,M,38.9,-77.0,2014-09-01T03:00:00Z,,1.0,BROKEN,S",), "no whole day"),
        (("E1,ESCALATOR,A01,M,north,-77.0,2014-09-01T05:00:00Z,,1.0,BROKEN,S",), "line 2 cannot be read"),
        (("E1,ESCALATOR,A01,M,38.9,-77.0,yesterday,,1.0,BROKEN,S",), "line 2 cannot be read"),
        (("E1,ESCALATOR",), "line 2 cannot be read"),
    ],
)
def test_a_file_without_outages_says_why(tmp_path: Path, rows: tuple[str, ...], told: str) -> None:
    with pytest.raises(OutagesError, match=told):
        read_outages(_outages(tmp_path, *rows), 7)
    with pytest.raises(OutagesError, match="expected work_orders"):
        read_outages(tmp_path / "elsewhere", 7)


def simulate(*arguments: object) -> Any:
    return CliRunner().invoke(simulate_command, [str(one) for one in arguments])


def test_the_command_compares_draws_and_closes_with_its_figures(tmp_path: Path) -> None:
    said = simulate(
        "--technicians", 2, "--calls-per-day", 5, "--days", 1, "--solutions", 5, "--every", 480, "--policy", "nearest",
        "--more-technicians", 1, "--out", tmp_path,
    )  # fmt: skip
    assert said.exit_code == 0, said.output
    assert "day 4 of 4" in said.output
    with (tmp_path / "days.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {(row["policy"], row["seed"]) for row in rows} == {("nearest", "1"), ("planned+1", "1")}
    assert len(rows) == 8
    assert len({row["calls"] for row in rows if row["day"] == "1"}) == 1
    for language in ("zh", "en"):  # a missing glyph would be a warning, and a warning is an error here
        assert (tmp_path / f"twin.{language}.png").read_bytes().startswith(b"\x89PNG")
    closing = said.stdout.splitlines()[-1]
    pairs = dict(part.split("=") for part in closing.split()[1:])
    assert closing.startswith("simulate runs=2 cancelled=0 ")
    assert float(pairs["nearest.done"]) == sum(int(row["done"]) for row in rows if row["policy"] == "nearest")


def test_without_matplotlib_the_tables_are_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    said = simulate("--technicians", 3, "--calls-per-day", 8, "--days", 1, "--policy", "nearest", "--out", tmp_path)
    assert said.exit_code == 0
    assert "pip install 'paigong[twin]'" in said.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["days.csv", "policies.csv"]


def test_a_picture_may_be_svg_with_its_letters_in_it(tmp_path: Path) -> None:
    run = run_variant(
        _scene(), Variant(policy="nearest"), QUICK, 1, on_day=lambda _day, _of: None, cancelled=lambda: False
    )
    draw(tmp_path / "twin.svg", [run], "zh")
    assert "<svg" in (tmp_path / "twin.svg").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--technicians", 0), "no technicians"),
        (("--technicians", -2), "technicians is -2"),
        (("--calls-per-day", 0), "no calls"),
        (("--days", 0), "days is 0"),
        (("--weeks", 0), "weeks is 0"),
        (("--seeds", 0), "seeds is 0"),
        (("--seconds", 0), "seconds is 0"),
        (("--work-spread", -1), "work_spread is -1"),
        (("--days", 1, "--policy", "nearest", "--train", "piano"), "skill 'piano'"),
        (("--outages", "."), "expected work_orders"),
    ],
)
def test_the_command_says_what_is_wrong_in_both_languages(
    tmp_path: Path, arguments: tuple[Any, ...], told: str
) -> None:
    said = simulate(*arguments, "--out", tmp_path)
    assert said.exit_code == 1
    assert told in said.output
    assert any("\u4e00" <= letter <= "\u9fff" for letter in said.output)


def test_ctrl_c_keeps_what_is_done(tmp_path: Path) -> None:
    def interrupt() -> None:
        while not (tmp_path / "days.csv").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    threading.Thread(target=interrupt, daemon=True).start()
    said = simulate("--seeds", 100, "--days", 3, "--policy", "nearest", "--plot", "none", "--out", tmp_path)
    assert said.exit_code == INTERRUPTED
    assert "keeping what is done" in said.output
    assert signal.getsignal(signal.SIGINT) is before
    runs = int(said.stdout.splitlines()[-1].split()[1].removeprefix("runs="))
    assert 1 <= runs < 100
    with (tmp_path / "days.csv").open(encoding="utf-8") as file:
        assert len({row["seed"] for row in csv.DictReader(file)}) >= runs


def test_nothing_is_asked_to_stop_unasked() -> None:
    interruption = Interruption()
    with interruption.heeded():
        assert not interruption.wanted()
