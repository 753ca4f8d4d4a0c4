"""`python -m routing.compile`: compile the search once, so that later processes only load it."""

import os

from routing.kernel.cache import INTERPRET, stamp


def main() -> None:
    """Plan a tiny day, which compiles everything on the way, and leave the stamp; at once where that was done before."""
    os.environ.pop(INTERPRET, None)
    if stamp().exists():
        return
    from routing.insertion import propose  # noqa: PLC0415 - loads numba, with what was set above
    from routing.problem import Place, Problem, Shift, Visit  # noqa: PLC0415
    from routing.solve import solve  # noqa: PLC0415
    from routing.stop import StopWhen  # noqa: PLC0415

    places = tuple(Place(id=str(index), latitude=31.0 + index / 100, longitude=121.0) for index in range(3))
    shift = Shift(id="day", technician="somebody", start=0, end=28_800, start_place="0", end_place="0")
    visits = tuple(Visit(id=str(index), place=str(index), duration=600) for index in range(3))
    problem = Problem(places=places, shifts=(shift,), visits=visits)
    plan = solve(problem, StopWhen(solutions=20))
    more = Visit(id="more", place="1", duration=600)
    propose(Problem(places=places, shifts=(shift,), visits=(*visits, more)), plan, "more")
    stamp().touch()


if __name__ == "__main__":
    main()
