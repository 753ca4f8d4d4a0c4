"""What the twin writes: one row per policy, seed and day; one per policy over all seeds; and the table people read."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from routing.twin.compare import Run
from routing.twin.figures import DayFigures, Figures, Spread

DAYS_FILE: Final = "days.csv"
POLICIES_FILE: Final = "policies.csv"
POLICY_NAMES: Final[Mapping[str, tuple[str, str]]] = {
    "nearest": ("先到先派, 最近的人", "first come, nearest technician"),
    "planned": ("排程, 已通知的少动", "planned, told customers stay"),
    "planned-nochurn": ("排程, 随意改动", "planned, free to move"),
}
SHOWN: Final[tuple[tuple[str, str, str], ...]] = (
    ("arrived_48h", "48 小时内到达", "within 48 h"),
    ("arrived_24h", "24 小时内到达", "within 24 h"),
    ("mean_hours", "平均等待(小时)", "mean wait, h"),
    ("p95_hours", "95% 等待(小时)", "p95 wait, h"),
    ("travel_hours", "路上(小时)", "travel, h"),
    ("overtime_hours", "加班(小时)", "overtime, h"),
    ("moved", "被改约的客户", "customers moved"),
    ("done", "完成", "done"),
    ("unserved", "未服务", "unserved"),
)


def variant_label(variant: str, language: str) -> str:
    """Return what a variant is called in a language, such as ``先到先派, 最近的人`` for ``nearest``."""
    policy, _, extra = variant.partition("+")
    zh, en = POLICY_NAMES[policy]
    if not extra:
        return zh if language == "zh" else en
    count, _, skill = extra.partition("+") if extra[0].isdigit() else ("", "", extra)
    parts_zh = [f"增 {count} 人"] * bool(count) + [f"人人会 {skill}"] * bool(skill)
    parts_en = [f"{count} more technicians"] * bool(count) + [f"everybody knows {skill}"] * bool(skill)
    return ", ".join([zh, *parts_zh] if language == "zh" else [en, *parts_en])


def write_days(folder: Path, runs: Iterable[Run]) -> Path:
    """Write one row per policy, seed and day; a run that was cancelled has the days that were over."""
    path = folder / DAYS_FILE
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("policy", "seed", *DayFigures.__struct_fields__))
        for run in runs:
            for day in run.days:
                writer.writerow((run.variant, run.seed, *(_cell(getattr(day, name)) for name in day.__struct_fields__)))
    return path


def write_policies(folder: Path, found: Mapping[str, Mapping[str, Spread]]) -> Path:
    """Write one row per policy: each figure's median over the seeds, and the least and the most of them."""
    path = folder / POLICIES_FILE
    names = Figures.__struct_fields__
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("policy", *(f"{name}_{part}" for name in names for part in ("median", "least", "most"))))
        for variant, figures in found.items():
            cells = (_cell(one) for name in names for one in _parts(figures[name]))
            writer.writerow((variant, *cells))
    return path


def table(found: Mapping[str, Mapping[str, Spread]]) -> str:
    """Return the figures as lines to read: a policy each, medians with their range."""
    lines: list[str] = []
    for variant, figures in found.items():
        lines.append(f"{variant}: {variant_label(variant, 'zh')} / {variant_label(variant, 'en')}")
        lines += [f"    {zh} / {en}: {_shown(name, figures[name])}" for name, zh, en in SHOWN]
    return "\n".join(lines)


def closing_line(found: Mapping[str, Mapping[str, Spread]], runs: Sequence[Run], seconds: float) -> str:
    """Return every figure's median as ``policy.figure=value``, on one line."""
    medians = [
        f"{variant}.{name}={figures[name].median:.6g}" for variant, figures in found.items() for name, _, _ in SHOWN
    ]
    whole = sum(not run.cancelled for run in runs)
    return " ".join(["simulate", f"runs={whole}", f"cancelled={len(runs) - whole}", *medians, f"seconds={seconds:.1f}"])


def _shown(name: str, figure: Spread) -> str:
    if name.startswith("arrived"):
        return f"{figure.median:.1%} ({figure.least:.1%} – {figure.most:.1%})"
    digits = 1 if name.endswith("hours") else 0
    return f"{figure.median:.{digits}f} ({figure.least:.{digits}f} – {figure.most:.{digits}f})"


def _parts(figure: Spread) -> tuple[float, float, float]:
    return figure.median, figure.least, figure.most


def _cell(value: float | bool | None) -> str:  # noqa: FBT001 - whatever a figure is
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, int) else f"{value:.6g}"
