"""VROOM through pyvroom, at its highest exploration level; deterministic. The mapping is in docs/decisions/0210."""

from datetime import timedelta
from importlib import import_module
from typing import Any, Final

from bench.planner.peers.exchange import WEIGHTS, Job, Json, Route, answer, route, windows

np: Any = import_module("numpy")
vroom: Any = import_module("vroom")

EXPLORATION: Final = 5


def solve(job: Job) -> list[Route]:
    """Return VROOM's routes: a vehicle for each shift, a job for each visit."""
    model = vroom.Input()
    model.set_durations_matrix(profile="car", matrix_input=np.array(job.seconds_between, dtype=np.uint32))
    model.add_vehicle([_vehicle(job, index, shift) for index, shift in enumerate(job.shifts)])
    model.add_job([_job(job, index, visit) for index, visit in enumerate(job.visits) if _possible(job, visit)])
    found = model.solve(
        exploration_level=EXPLORATION, nb_threads=job.threads, timeout=timedelta(seconds=job.seconds)
    ).to_dict()
    return [_route(job, one) for one in found["routes"]]


def _possible(job: Job, visit: Json) -> bool:
    """Return whether VROOM may be asked: no windows mean any time to it, and skills are numbers it must know."""
    return bool(windows(visit)) and set(visit["skills"]) <= job.skill.keys()


def _vehicle(job: Job, index: int, shift: Json) -> Any:
    return vroom.Vehicle(
        id=index,
        start=job.place[shift["start_place"]],
        end=job.place[shift["end_place"]],
        time_window=vroom.TimeWindow(shift["start"], shift["end"]),
        capacity=[] if shift["capacity"] is None else [shift["capacity"]],
        skills={job.skill[name] for name in shift["skills"]},
        breaks=[
            vroom.Break(number, [vroom.TimeWindow(pause["earliest"], pause["latest"])], pause["duration"])
            for number, pause in enumerate(shift["breaks"])
        ],
    )


def _job(job: Job, index: int, visit: Json) -> Any:
    limited = job.shifts[0]["capacity"] is not None
    return vroom.Job(
        id=index,
        location=job.place[visit["place"]],
        default_service=visit["duration"],
        delivery=vroom.Amount([visit["load"]] if limited else []),
        skills={job.skill[name] for name in visit["skills"]},
        priority=WEIGHTS[visit["priority"]],
        time_windows=[vroom.TimeWindow(start, end) for start, end in windows(visit)],
    )


def _route(job: Job, found: Json) -> Route:
    stops: list[tuple[str, int]] = []
    rests: list[tuple[int, int]] = []
    shift = job.shifts[int(found["vehicle"])]
    for step in found["steps"]:
        begins: int = step["arrival"] + step["waiting_time"]
        if step["type"] == "job":
            visit = job.visits[int(step["id"])]
            stops.append((visit["id"], begins))
        elif step["type"] == "break":
            rests.append((begins, begins + step["service"]))
    return route(shift, stops, rests)


if __name__ == "__main__":
    answer(solve)
