"""A plan nobody asked for: what plans and proposals need is loaded, or compiled, on the way."""

from routing.cutting import cut
from routing.insertion import propose
from routing.pieces import join
from routing.problem import Place, Problem, Shift, Visit
from routing.solve import solve
from routing.stop import StopWhen


def rehearse() -> None:
    """Plan a tiny day, join it, and propose places for one more visit; some milliseconds where all is compiled."""
    places = tuple(Place(id=str(index), latitude=31.0 + index / 100, longitude=121.0) for index in range(3))
    shift = Shift(id="day", technician="somebody", start=0, end=28_800, start_place="0", end_place="0")
    visits = tuple(Visit(id=str(index), place=str(index), duration=600) for index in range(3))
    problem = Problem(places=places, shifts=(shift,), visits=visits)
    plan = solve(problem, StopWhen(solutions=20))
    join(problem, [solve(piece, StopWhen(solutions=20)) for piece in cut(problem, {"day": "somebody"})], seed=0)
    more = Visit(id="more", place="1", duration=600)
    propose(Problem(places=places, shifts=(shift,), visits=(*visits, more)), plan, "more")
