"""Cutting a problem that is too large for one model into neighbourhoods."""

from itertools import groupby

from routing.instance import Instance
from routing.limits import MODEL_VISITS


def clusters(instance: Instance, visits: list[int], shifts: list[int]) -> list[tuple[list[int], list[int]]]:
    """Cut visits and shifts into neighbourhoods of at most MODEL_VISITS visits, by halving along the longest way.

    All shifts of a technician stay together; each half gets technicians in proportion to its visits.
    """
    technicians = _by_technician(instance, shifts)
    if len(visits) <= MODEL_VISITS or len(technicians) < 2:  # noqa: PLR2004
        return [(visits, shifts)]
    place = {visit: instance.visits[visit].place for visit in visits}
    seconds = instance.seconds
    one = max(place.values(), key=lambda there: (seconds[place[visits[0]]][there], there))
    other = max(place.values(), key=lambda there: (seconds[one][there], there))

    def nearer(there: int) -> int:
        return seconds[one][there] - seconds[other][there]

    ordered = sorted(visits, key=lambda visit: (nearer(place[visit]), visit))
    crews = sorted(technicians, key=lambda crew: (nearer(instance.shifts[crew[0]].start_place), crew[0]))
    half, half_crews = len(ordered) // 2, len(crews) // 2
    near = [shift for crew in crews[:half_crews] for shift in crew]
    far = [shift for crew in crews[half_crews:] for shift in crew]
    return clusters(instance, ordered[:half], sorted(near)) + clusters(instance, ordered[half:], sorted(far))


def _by_technician(instance: Instance, shifts: list[int]) -> list[list[int]]:
    def technician(shift: int) -> str:
        return instance.problem.shifts[shift].technician

    return [list(crew) for _, crew in groupby(sorted(shifts, key=lambda shift: (technician(shift), shift)), technician)]
