"""Several ways of dispatching, and of staffing, on the same worlds."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from routing.problem import Shift
from routing.twin.city import everybody_can
from routing.twin.figures import DayFigures, Figures, Spread, day_figures, figures, spread, waits
from routing.twin.nearest import Nearest
from routing.twin.planned import Planned, Planning
from routing.twin.refusal import TwinError, within
from routing.twin.run import live
from routing.twin.world import World, with_roster

PolicyName: TypeAlias = Literal["nearest", "planned", "planned-nochurn"]
MOST_EXTRA: Final = 100
MOST_SEEDS: Final = 100


@dataclass(frozen=True)
class Scene:
    """Where the comparison takes place: the world of a seed, and the roster with some technicians more."""

    world: Callable[[int], World]
    roster: Callable[[int], list[Shift]]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A policy, and what is different about the staff: some technicians more, or everybody having learnt a skill."""

    policy: PolicyName
    extra_technicians: int = 0
    everybody_knows: str | None = None

    def __post_init__(self) -> None:
        """Refuse a number of technicians that is none; raises `TwinError`."""
        within("more technicians", self.extra_technicians, 0, MOST_EXTRA)

    @property
    def name(self) -> str:
        """Return the policy with what is different, such as ``planned+1`` or ``planned+elevator``."""
        extra = f"+{self.extra_technicians}" if self.extra_technicians else ""
        return self.policy + extra + (f"+{self.everybody_knows}" if self.everybody_knows else "")


@dataclass(frozen=True)
class Run:
    """What one variant came to in the world of one seed. `cancelled`: `days` holds those that were over by then."""

    variant: str
    seed: int
    figures: Figures
    days: tuple[DayFigures, ...]
    wait_hours: tuple[float, ...]
    cancelled: bool


def run_variant(
    scene: Scene,
    variant: Variant,
    planning: Planning,
    seed: int,
    *,
    on_day: Callable[[int, int], None],
    cancelled: Callable[[], bool],
) -> Run:
    """Live through the world of `seed` with `variant`; raises `TwinError` for a skill no call asks for."""
    world = _staffed(scene, variant, seed)
    if variant.policy == "nearest":
        policy = Nearest()
    else:
        priced = replace(planning, churn_priced=variant.policy == "planned")
        policy = Planned(priced, seed, cancelled)
    outcome = live(world, policy, every=planning.every, on_day=on_day, cancelled=cancelled)
    return Run(
        variant.name, seed, figures(outcome), tuple(day_figures(outcome)), tuple(waits(outcome.cases)),
        outcome.cancelled,
    )  # fmt: skip


def spreads(runs: Iterable[Run]) -> dict[str, dict[str, Spread]]:
    """Return each variant's figures over its whole runs: median, least and most. Cancelled runs are left out."""
    by_variant: dict[str, list[Figures]] = {}
    for run in runs:
        if not run.cancelled:
            by_variant.setdefault(run.variant, []).append(run.figures)
    return {
        variant: {name: spread([float(getattr(one, name)) for one in found]) for name in Figures.__struct_fields__}
        for variant, found in by_variant.items()
    }


def _staffed(scene: Scene, variant: Variant, seed: int) -> World:
    world = scene.world(seed)
    shifts: list[Shift] | None = None
    if variant.extra_technicians:
        shifts = scene.roster(variant.extra_technicians)
    if variant.everybody_knows is not None:
        asked = sorted({skill for call in world.calls for skill in call.skills})
        if variant.everybody_knows not in asked:
            raise TwinError("unknown_skill", what=variant.everybody_knows, found=", ".join(asked))
        shifts = everybody_can(world.shifts if shifts is None else shifts, variant.everybody_knows)
    return world if shifts is None else with_roster(world, shifts, seed)
