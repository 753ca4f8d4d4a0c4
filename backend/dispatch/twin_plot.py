# pyright: basic
"""The twin's figures as a picture, in Chinese or English. Needs matplotlib, the extra `paigong[twin]`."""

import importlib.util
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import pylopdf_fonts_zh_cn

from backend.dispatch.twin_tables import variant_label
from routing.twin.compare import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Runs: TypeAlias = Mapping[str, Sequence[Run]]
Words: TypeAlias = Mapping[str, str]
INSTALL: Final = "没有画图:请安装 matplotlib / no plot: please install matplotlib (pip install 'paigong[twin]')"
INCHES: Final = (12.5, 9.5)
DOTS_PER_INCH: Final = 110
COLOURS: Final = ("#b3541e", "#1f5fa8", "#5a9e3c", "#7b4ea3", "#b8960c", "#3d8c8c", "#8c3d5e")
STYLES: Final = ("-", "--", "-.", ":")
SHORTEST_SHOWN_HOURS: Final = 48
LONGEST_SHOWN_HOURS: Final = 96
WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "zh": {
        "title": "派工方式比较:同一批报修、同样的工时与路况",
        "waits": "从报修到有人到场的等待", "hours": "小时", "share": "占全部报修",
        "days": "各日报修在 48 小时内到达的比例", "day": "第几天", "within": "48 小时内到达",
        "travel": "路上与加班的时间", "travel_bar": "路上", "overtime_bar": "加班", "per_day": "小时,全部技术员合计",
        "people": "客户", "moved_bar": "被改约", "unserved_bar": "到期末未服务", "late_bar": "超过 48 小时",
        "customers": "客户数 / 次数", "runs": "{seeds} 个种子的中位数;细线为最小与最大", "run": "一个种子",
    },
    "en": {
        "title": "Ways of dispatching on the same calls, durations and traffic",
        "waits": "Wait from call to arrival", "hours": "hours", "share": "share of all calls",
        "days": "Share arrived within 48 h, by day of the call", "day": "day", "within": "arrived within 48 h",
        "travel": "Travel and overtime", "travel_bar": "travel", "overtime_bar": "overtime",
        "per_day": "hours, all technicians together",
        "people": "Customers", "moved_bar": "told another time", "unserved_bar": "unserved at the end",
        "late_bar": "not within 48 h", "customers": "customers / times",
        "runs": "medians of {seeds} seeds; thin lines: least and most", "run": "one seed",
    },
}  # fmt: skip


def can_draw() -> bool:
    """Return whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(path: Path, runs: Sequence[Run], language: Literal["zh", "en"]) -> None:
    """Draw the whole runs of `runs` into `path` (.png or .svg): waits, shares by day, hours, customers."""
    from matplotlib import font_manager, rc_context  # noqa: PLC0415 - an extra, and slow to load
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    font = str(pylopdf_fonts_zh_cn.sans_path())
    font_manager.fontManager.addfont(font)
    family = font_manager.FontProperties(fname=font).get_name()
    words = WORDS[language]
    by_variant: dict[str, list[Run]] = {}
    for run in runs:
        if not run.cancelled:
            by_variant.setdefault(run.variant, []).append(run)
    names = {variant: variant_label(variant, language) for variant in by_variant}
    with rc_context({"font.family": family, "axes.unicode_minus": False, "svg.hashsalt": "twin", "font.size": 10}):
        figure = Figure(figsize=INCHES, dpi=DOTS_PER_INCH, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(2, 2)
        seeds = len({run.seed for run in runs})
        told = words["runs"].format(seeds=seeds) if seeds > 1 else words["run"]
        figure.suptitle(f"{words['title']}\n{told}", fontsize=13)
        _draw_waits(axes[0][0], by_variant, names, words)
        _draw_days(axes[0][1], by_variant, words)
        _draw_hours(axes[1][0], by_variant, names, words)
        _draw_customers(axes[1][1], by_variant, names, words)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _style(number: int) -> dict[str, Any]:
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": STYLES[number % len(STYLES)]}


def _draw_waits(axes: "Axes", runs: Runs, names: Mapping[str, str], words: Words) -> None:
    longest = max(
        [SHORTEST_SHOWN_HOURS, *(run.wait_hours[-1] for found in runs.values() for run in found if run.wait_hours)]
    )
    grid = [hour / 4 for hour in range(int(min(longest + 4, LONGEST_SHOWN_HOURS)) * 4 + 1)]
    for number, (variant, found) in enumerate(runs.items()):
        shares = [_cumulative(run, grid) for run in found]
        _with_range(axes, grid, list(zip(*shares, strict=True)), label=names[variant], **_style(number))
    for hours in (24, 48):
        axes.axvline(hours, color="#777777", linewidth=0.9, linestyle=(0, (2, 2)))
        axes.annotate(f"{hours} h", (hours, 0.02), xytext=(3, 0), textcoords="offset points", color="#555555")
    axes.set(title=words["waits"], xlabel=words["hours"], ylabel=words["share"], ylim=(0, 1.02), xlim=(0, grid[-1]))
    axes.set_xticks(range(0, int(grid[-1]) + 1, 12))
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.legend(loc="lower right", framealpha=0.9)
    axes.grid(alpha=0.25)


def _cumulative(run: Run, grid: Sequence[float]) -> list[float]:
    """Return the share of all calls that somebody had arrived at, at each hour of `grid` after the call."""
    shares: list[float] = []
    arrived = 0
    for hour in grid:
        while arrived < len(run.wait_hours) and run.wait_hours[arrived] <= hour:
            arrived += 1
        shares.append(arrived / run.figures.calls)
    return shares


def _draw_days(axes: "Axes", runs: Runs, words: Words) -> None:
    last, lowest = 1, 1.0
    for number, found in enumerate(runs.values()):
        by_day: dict[int, list[float]] = {}
        for day in (day for run in found for day in run.days if day.arrived_48h is not None and day.decided):
            by_day.setdefault(day.day, []).append(float(day.arrived_48h or 0.0))
        columns = sorted(by_day)
        last, lowest = max([last, *columns]), min([lowest, *(min(one) for one in by_day.values())])
        _with_range(axes, columns, [by_day[day] for day in columns], marker="o", markersize=4, **_style(number))
    axes.set(title=words["days"], xlabel=words["day"], ylabel=words["within"], ylim=(max(0.0, lowest - 0.08), 1.02))
    axes.set_xticks(range(1, last + 1, max(1, last // 14)))
    axes.set_yticks([share for share in axes.get_yticks() if lowest - 0.08 <= share <= 1.0])
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.grid(alpha=0.25)


def _with_range(axes: "Axes", grid: Sequence[float], columns: Sequence[Sequence[float]], **style: Any) -> None:
    """Draw the median of each column, and thin lines along the least and the most of each where they differ."""
    axes.plot(grid, [statistics.median(column) for column in columns], linewidth=2, **style)
    for edge in (min, max):
        values = [edge(column) for column in columns]
        axes.plot(grid, values, linewidth=0.6, alpha=0.7, color=style["color"], linestyle="-")


def _draw_hours(axes: "Axes", runs: Runs, names: Mapping[str, str], words: Words) -> None:
    bars = {
        words["travel_bar"]: _columns(runs, lambda run: run.figures.travel_hours),
        words["overtime_bar"]: _columns(runs, lambda run: run.figures.overtime_hours),
    }
    _draw_bars(axes, bars, list(names.values()), digits=1)
    axes.set(title=words["travel"], ylabel=words["per_day"])


def _draw_customers(axes: "Axes", runs: Runs, names: Mapping[str, str], words: Mapping[str, str]):
    bars = {
        words["late_bar"]: _columns(runs, lambda run: round(run.figures.calls * (1 - run.figures.arrived_48h))),
        words["moved_bar"]: _columns(runs, lambda run: run.figures.moved),
        words["unserved_bar"]: _columns(runs, lambda run: run.figures.unserved),
    }
    _draw_bars(axes, bars, list(names.values()), digits=0)
    axes.set(title=words["people"], ylabel=words["customers"])


def _columns(runs: Runs, figure: Any) -> list[list[float]]:
    return [[float(figure(run)) for run in found] for found in runs.values()]


def _draw_bars(axes: "Axes", bars: Mapping[str, list[list[float]]], names: Sequence[str], *, digits: int) -> None:
    """Draw a group of bars for each figure, a bar for each policy with its range and its number."""
    width = 0.8 / max(1, len(names))
    for number, _ in enumerate(names):
        style = COLOURS[number % len(COLOURS)]
        for group, columns in enumerate(bars.values()):
            values = columns[number]
            middle, place = statistics.median(values), group + (number - (len(names) - 1) / 2) * width
            axes.bar(place, middle, width * 0.92, color=style)
            axes.vlines(place, min(values), max(values), color="#222222", linewidth=1)
            axes.annotate(
                f"{middle:.{digits}f}", (place, max(values)), xytext=(0, 3), textcoords="offset points", ha="center",
                fontsize=8.5,
            )  # fmt: skip
    axes.set_xticks(range(len(bars)), list(bars))
    axes.margins(y=0.12)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
