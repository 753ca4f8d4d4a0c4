"""The command `paigong simulate`: weeks of service lived through by several ways of dispatching, side by side."""

import signal
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click

from backend.dispatch import twin_plot
from backend.dispatch.outages import TECHNICIANS, OutagesError
from backend.dispatch.twin_scenes import city_scene, outages_scene
from backend.dispatch.twin_tables import closing_line, table, write_days, write_policies
from routing.problem import ProblemError
from routing.twin.city import City
from routing.twin.compare import MOST_SEEDS, PolicyName, Run, Scene, Variant, run_variant, spreads
from routing.twin.planned import Planning
from routing.twin.refusal import TwinError, within
from routing.twin.world import HOUR, Reality

POLICIES: Final[tuple[PolicyName, ...]] = ("nearest", "planned", "planned-nochurn")
USUAL: Final[tuple[PolicyName, ...]] = ("nearest", "planned")
DEFAULT_OUT: Final = Path("var/twin")
WEEK: Final = 7
DRAWN_IN: Final = ("zh", "en")
INTERRUPTED: Final = 130
"""Exit code of a run ended with Ctrl-C, as shells have it."""

CITY = City()
PLANNING = Planning()
REALITY = Reality()


@dataclass(frozen=True)
class Wanted:
    """What to run: each variant in the world of each seed, and where the results go."""

    scene: Scene
    variants: tuple[Variant, ...]
    seeds: range
    planning: Planning
    out: Path
    plot: str


@dataclass
class Interruption:
    """Whether somebody pressed Ctrl-C: the first ends the run and keeps what is done, the second ends the process."""

    asked: bool = False

    def wanted(self) -> bool:
        """Return whether to stop."""
        return self.asked

    @contextmanager
    def heeded(self) -> Generator[None]:
        """Heed Ctrl-C inside the block."""

        def ask(_number: int, _frame: object) -> None:
            self.asked = True
            signal.signal(signal.SIGINT, before)
            click.echo("\n正在停止,保留已完成的部分 / stopping, keeping what is done", err=True)

        before = signal.signal(signal.SIGINT, ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


@dataclass
class Results:
    """What has been run so far."""

    runs: list[Run] = field(default_factory=list[Run])


def _options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def add(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@click.command("simulate")
@_options(
    click.option("--outages", type=click.Path(exists=True, file_okay=False, path_type=Path),
                 help="Folder with work_orders_<month>.csv and units.csv: real calls, no city. 真实报修数据。"),
    click.option("--technicians", type=int, help=f"[{CITY.technicians}; real: {TECHNICIANS}] 技术员人数。"),
    click.option("--calls-per-day", type=float, default=CITY.calls_per_day, show_default=True, help="每日报修数。"),
    click.option("--weeks", type=int, default=1, show_default=True, help="Weeks of calls. 模拟周数。"),
    click.option("--days", type=int, help="Days of calls instead of weeks. 以天代替周。"),
    click.option("--seed", type=int, default=1, show_default=True, help="First seed. 第一个随机种子。"),
    click.option("--seeds", type=int, default=1, show_default=True, help="How many seeds. 种子个数。"),
    click.option("--policy", "policies", multiple=True, type=click.Choice(POLICIES), default=USUAL, show_default=True,
                 help="May be given several times. 派工方式,可重复。"),
    click.option("--more-technicians", type=int, default=0, help="Also: planned with so many more. 再比较:增加人手。"),
    click.option("--train", help="Also: planned with everybody knowing this skill. 再比较:人人会此技能。"),
    click.option("--every", type=int, default=PLANNING.every // 60, show_default=True,
                 help="Minutes between plans. 重排间隔(分钟)。"),
    click.option("--margin", type=float, default=PLANNING.margin / HOUR, show_default=True,
                 help="Hours before a commitment to aim at. 提前到达的余量(小时)。"),
    click.option("--escalated", type=float, default=PLANNING.escalated / HOUR, show_default=True,
                 help="Hours before a commitment in which missing it costs as at the next dearer priority, in half of "
                 "them at the one after. 临近时限提高优先级(小时)。"),
    click.option("--urgency", type=float, default=PLANNING.urgency, show_default=True,
                 help="How much dearer a delay has become when due, in parts. 临近时限时等待加价的倍数。"),
    click.option("--filled", type=float, default=PLANNING.filled / HOUR, show_default=True,
                 help="Plan the oldest calls up to the working time of so many hours. 只排最早的这么多工时(小时)。"),
    click.option("--told-ahead", type=float, default=PLANNING.told_ahead / HOUR, show_default=True,
                 help="Hours ahead that customers are told. 提前告知客户(小时)。"),
    click.option("--solutions", type=int, default=PLANNING.solutions, show_default=True,
                 help="Steps of search of each planning run; repeats exactly. 每次排程的搜索步数,结果可重现。"),
    click.option("--seconds", type=float, help="Seconds for each planning run instead. 改按秒数限制,不可重现。"),
    click.option("--work-spread", type=float, default=REALITY.work_spread, show_default=True, help="工时波动。"),
    click.option("--drive-spread", type=float, default=REALITY.drive_spread, show_default=True, help="路程波动。"),
    click.option("--nobody-share", type=float, default=REALITY.nobody_share, show_default=True, help="无人在场比例。"),
    click.option("--ill-share", type=float, default=REALITY.ill_share, show_default=True, help="病假比例(每班)。"),
    click.option("--van-share", type=float, default=REALITY.van_share, show_default=True, help="车辆故障比例(每班)。"),
    click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=DEFAULT_OUT, show_default=True,
                 help="Folder for the results. 结果文件夹。"),
    click.option("--plot", type=click.Choice(["png", "svg", "none"]), default="png", show_default=True,
                 help="图的格式。"),
)  # fmt: skip
def simulate_command(**options: Any) -> None:
    """Compare ways of dispatching on weeks of the same calls and the same luck. 用数字孪生比较派工方式。"""
    try:
        wanted = _wanted(options)
        began, interruption, results = time.monotonic(), Interruption(), Results()
        with interruption.heeded():
            _run(wanted, interruption, results)
    except (TwinError, OutagesError) as error:
        raise click.ClickException(str(error)) from error
    except ProblemError as error:
        raise click.ClickException(f"{error.zh} / {error.en}") from error
    _report(wanted, results.runs, time.monotonic() - began)
    if interruption.asked:
        raise click.exceptions.Exit(INTERRUPTED)


def _wanted(options: dict[str, Any]) -> Wanted:
    """Return what the options ask for; raises TwinError and OutagesError."""
    within("weeks", options["weeks"], 1, 52)
    within("seeds", options["seeds"], 1, MOST_SEEDS)
    days: int = options["weeks"] * WEEK if options["days"] is None else options["days"]
    reality = Reality(
        work_spread=options["work_spread"], drive_spread=options["drive_spread"],
        nobody_share=options["nobody_share"], ill_share=options["ill_share"], van_share=options["van_share"],
    )  # fmt: skip
    first: int = options["seed"]
    return Wanted(
        scene=_scene(options, days, reality),
        variants=_variants(options),
        seeds=range(first, first + options["seeds"]),
        planning=_planning(options),
        out=options["out"],
        plot=options["plot"],
    )


def _planning(options: dict[str, Any]) -> Planning:
    """Return how the planner is used; raises TwinError."""
    hours = {name: round(options[name] * HOUR) for name in ("margin", "escalated", "filled", "told_ahead")}
    return Planning(
        every=options["every"] * 60, solutions=options["solutions"], seconds=options["seconds"],
        urgency=options["urgency"], **hours,
    )  # fmt: skip


def _scene(options: dict[str, Any], days: int, reality: Reality) -> Scene:
    technicians: int | None = options["technicians"]
    folder: Path | None = options["outages"]
    if folder is not None:
        crew = TECHNICIANS if technicians is None else technicians
        return outages_scene(folder, technicians=crew, days=days, reality=reality)
    crew = CITY.technicians if technicians is None else technicians
    return city_scene(City(technicians=crew, calls_per_day=options["calls_per_day"], days=days), reality)


def _variants(options: dict[str, Any]) -> tuple[Variant, ...]:
    """Return the policies asked for, and the planner with what a manager asks about."""
    found = [Variant(policy=policy) for policy in dict.fromkeys(options["policies"])]
    if options["more_technicians"]:
        found.append(Variant(policy="planned", extra_technicians=options["more_technicians"]))
    if options["train"]:
        found.append(Variant(policy="planned", everybody_knows=options["train"]))
    return tuple(found)


def _run(wanted: Wanted, interruption: Interruption, results: Results) -> None:
    """Run every variant in every world, until somebody presses Ctrl-C; raises TwinError."""
    wanted.out.mkdir(parents=True, exist_ok=True)
    for seed in wanted.seeds:
        for variant in wanted.variants:
            if interruption.asked:
                return
            run = run_variant(
                wanted.scene, variant, wanted.planning, seed,
                on_day=_progress(variant.name, seed), cancelled=interruption.wanted,
            )  # fmt: skip
            results.runs.append(run)
            write_days(wanted.out, results.runs)


def _progress(variant: str, seed: int) -> Callable[[int, int], None]:
    def say(day: int, days: int) -> None:
        click.echo(f"{variant}, 种子 / seed {seed}: 第 {day} 天,共 {days} 天 / day {day} of {days}", err=True)

    return say


def _report(wanted: Wanted, runs: list[Run], seconds: float) -> None:
    """Write what was found, draw it where that can be done, and say it."""
    found = spreads(runs)
    files = [write_days(wanted.out, runs), write_policies(wanted.out, found)]
    if wanted.plot != "none" and found:
        if twin_plot.can_draw():
            for language in DRAWN_IN:
                files.append(wanted.out / f"twin.{language}.{wanted.plot}")
                twin_plot.draw(files[-1], runs, language)
        else:
            click.echo(twin_plot.INSTALL, err=True)
    click.echo(table(found))
    for file in files:
        click.echo(str(file))
    click.echo(closing_line(found, runs, seconds))
