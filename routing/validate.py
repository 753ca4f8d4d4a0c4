"""The problem checks itself: the first thing wrong is raised as a `ProblemError`, before anything is computed.

What only makes a visit impossible (a skill nobody has, no shift in its window) is legal: it is explained in the plan.
"""

import math
from collections.abc import Iterator
from itertools import pairwise

import msgspec

from routing import limits
from routing.problem import (
    Break,
    EstimatedTravel,
    GivenTravel,
    PerPriority,
    Place,
    Problem,
    ProblemError,
    Shift,
    Visit,
    Window,
    coupled,
)


def validate(problem: Problem) -> None:
    """Raise `ProblemError` for the first thing in `problem` that cannot be planned as given."""
    _check_types(problem)
    _check_sizes(problem)
    _check_ids(problem)
    _check_prices(problem)
    places = {place.id for place in problem.places}
    for index, shift in enumerate(problem.shifts):
        _check_shift(_where("shifts", index, shift.id), shift, places)
    _check_overlaps(problem.shifts)
    shifts = {shift.id: shift for shift in problem.shifts}
    for index, visit in enumerate(problem.visits):
        where = _where("visits", index, visit.id)
        _check_visit(where, visit, places)
        _check_pin(where, visit, shifts)
        _check_frozen(where, visit, shifts)
    _check_follows(problem)
    _check_stock(problem)
    for index, away in enumerate(problem.away):
        _check_window(_where("away", index, away.technician), Window(start=away.start, end=away.end))
    _check_pace(problem)
    if problem.most_changes is not None and not 0 <= problem.most_changes <= limits.MAX_VISITS:
        _refuse("most_changes_out_of_range", "most_changes", found=problem.most_changes, limit=limits.MAX_VISITS)
    _check_travel(problem)


def _where(kind: str, index: int, name: str) -> str:
    return f"{kind}[{index}] '{name}'"


def _refuse(code: str, where: str, **facts: int | str | list[str]) -> None:
    raise ProblemError(code, where, **facts)


def _check_types(problem: Problem) -> None:
    """Refuse values of a wrong type; structs built in Python are not checked when made, decoded ones are."""
    try:
        msgspec.convert(msgspec.to_builtins(problem), Problem)
    except (msgspec.ValidationError, TypeError, OverflowError) as error:
        _refuse("wrong_type", "problem", detail=str(error))


def _check_count(where: str, found: int, limit: int) -> None:
    if found > limit:
        _refuse("too_many", where, found=found, limit=limit)


def _check_sizes(problem: Problem) -> None:
    in_one = isinstance(problem.travel, GivenTravel) or problem.most_changes is not None
    _check_count("places", len(problem.places), limits.MAX_TABLE_PLACES if in_one else limits.MAX_PLACES)
    _check_count("van_stock", len(problem.van_stock), limits.MAX_STOCK)
    _check_count("away", len(problem.away), limits.MAX_AWAY)
    _check_count("shifts", len(problem.shifts), limits.MAX_SHIFTS)
    bound = coupled(problem)
    _check_count("visits", len(problem.visits), limits.MAX_COUPLED_VISITS if bound else limits.MAX_VISITS)
    if bound or problem.most_changes is not None:
        stays = sum(max(1, visit.technicians) for visit in problem.visits)
        _check_count("visits × technicians", stays, limits.MAX_STAYS_IN_ONE_PIECE)
    for index, shift in enumerate(problem.shifts):
        where = _where("shifts", index, shift.id)
        _check_count(f"{where} .breaks", len(shift.breaks), limits.MAX_BREAKS_PER_SHIFT)
        _check_count(f"{where} .skills", len(shift.skills), limits.MAX_NAMES_PER_LIST)
    for index, visit in enumerate(problem.visits):
        where = _where("visits", index, visit.id)
        _check_count(f"{where} .windows", len(visit.windows), limits.MAX_WINDOWS_PER_VISIT)
        lists = (visit.skills, visit.allowed_technicians or (), visit.forbidden_technicians, visit.parts)
        names = max(map(len, lists))
        _check_count(f"{where} lists of skills and people", names, limits.MAX_NAMES_PER_LIST)


def _check_ids(problem: Problem) -> None:
    for kind, elements in (("places", problem.places), ("shifts", problem.shifts), ("visits", problem.visits)):
        seen: set[str] = set()
        for index, element in enumerate(elements):
            if not element.id:
                _refuse("empty_id", f"{kind}[{index}]")
            if element.id in seen:
                _refuse("duplicate_id", _where(kind, index, element.id))
            seen.add(element.id)


def _check_prices(problem: Problem) -> None:
    for name in problem.prices.__struct_fields__:
        value: int | PerPriority = getattr(problem.prices, name)
        limit = limits.MAX_PRICE_PER_SECOND if name.endswith("_second") else limits.MAX_PRICE
        for price in msgspec.structs.astuple(value) if isinstance(value, PerPriority) else (value,):
            if not 0 <= price <= limit:
                _refuse("price_out_of_range", f"prices.{name}", found=price, limit=limit)


def _check_place_known(where: str, place: str, places: set[str]) -> None:
    if place not in places:
        _refuse("place_unknown", where, place=place)


def _check_shift(where: str, shift: Shift, places: set[str]) -> None:
    if not shift.technician:
        _refuse("empty_id", f"{where} .technician")
    _check_place_known(where, shift.start_place, places)
    _check_place_known(where, shift.end_place, places)
    if shift.end <= shift.start:
        _refuse("shift_inverted", where, start=shift.start, end=shift.end)
    if shift.capacity is not None and not 0 <= shift.capacity <= limits.MAX_LOAD:
        _refuse("capacity_out_of_range", where, found=shift.capacity, limit=limits.MAX_LOAD)
    if shift.overtime_allowed < 0:
        _refuse("overtime_negative", where, found=shift.overtime_allowed)
    if shift.start < 0 or shift.end + shift.overtime_allowed > limits.MAX_HORIZON_SECONDS:
        _refuse("shift_outside_horizon", where, limit=limits.MAX_HORIZON_SECONDS)
    for index, pause in enumerate(shift.breaks):
        _check_break(f"{where} .breaks[{index}]", pause, shift)
    for index, (before, after) in enumerate(pairwise(shift.breaks), start=1):
        if after.earliest < before.latest + before.duration:
            _refuse("breaks_overlap", f"{where} .breaks[{index}]")


def _check_break(where: str, pause: Break, shift: Shift) -> None:
    if pause.duration <= 0 or pause.latest < pause.earliest:
        _refuse("break_inverted", where)
    if pause.earliest < shift.start or pause.latest + pause.duration > shift.end:
        _refuse("break_outside_shift", where)


def _check_overlaps(shifts: tuple[Shift, ...]) -> None:
    by_start = sorted(enumerate(shifts), key=lambda numbered: (numbered[1].technician, numbered[1].start))
    for (_, before), (index, after) in pairwise(by_start):
        if before.technician == after.technician and before.end + before.overtime_allowed > after.start:
            where = _where("shifts", index, after.id)
            _refuse("shifts_overlap", where, technician=after.technician, other=before.id)


def _check_time(where: str, instant: int) -> None:
    if abs(instant) > limits.MAX_TIME_SECONDS:
        _refuse("time_out_of_range", where, found=instant, limit=limits.MAX_TIME_SECONDS)


def _check_window(where: str, window: Window) -> None:
    _check_time(f"{where} .start", window.start)
    _check_time(f"{where} .end", window.end)
    if window.end < window.start:
        _refuse("window_inverted", where, start=window.start, end=window.end)


def _check_weights(where: str, visit: Visit) -> None:
    weights = (
        ("commitment_margin", visit.commitment_margin, limits.MAX_HORIZON_SECONDS),
        ("delay_per_mille", visit.delay_per_mille, limits.MAX_DELAY_PER_MILLE),
    )
    for name, found, limit in weights:
        if not 0 <= found <= limit:
            _refuse("price_out_of_range", f"{where} .{name}", found=found, limit=limit)


def _check_visit(where: str, visit: Visit, places: set[str]) -> None:
    _check_place_known(where, visit.place, places)
    if not 0 <= visit.duration <= limits.MAX_HORIZON_SECONDS:
        _refuse("duration_out_of_range", where, found=visit.duration, limit=limits.MAX_HORIZON_SECONDS)
    if not 1 <= visit.technicians <= limits.MAX_CREW:
        _refuse("crew_size", where, found=visit.technicians, limit=limits.MAX_CREW)
    if not 0 <= visit.load <= limits.MAX_LOAD:
        _refuse("load_out_of_range", where, found=visit.load, limit=limits.MAX_LOAD)
    if len({need.part for need in visit.parts}) < len(visit.parts):
        _refuse("part_twice", where)
    _check_weights(where, visit)
    for need in visit.parts:
        if not 0 < need.quantity <= limits.MAX_QUANTITY:
            _refuse("quantity_out_of_range", f"{where} .parts '{need.part}'", limit=limits.MAX_QUANTITY)
    for index, window in enumerate(visit.windows):
        _check_window(f"{where} .windows[{index}]", window)
    if visit.promise is not None:
        _check_window(f"{where} .promise", visit.promise)
    for name, instant in _instants(visit):
        _check_time(f"{where} .{name}", instant)


def _instants(visit: Visit) -> Iterator[tuple[str, int]]:
    yield "earliest", visit.earliest
    if visit.parts_ready is not None:
        yield "parts_ready", visit.parts_ready
    if visit.commitment_due is not None:
        yield "commitment_due", visit.commitment_due
    if visit.previous is not None:
        yield "previous.start", visit.previous.start
    if visit.pin is not None and visit.pin.start is not None:
        yield "pin.start", visit.pin.start


def _check_pin(where: str, visit: Visit, shifts: dict[str, Shift]) -> None:
    pin = visit.pin
    if pin is None:
        return
    where = f"{where} .pin"
    if pin.start is not None and not _may_start(visit, pin.start):
        _refuse("pin_outside_windows", where, start=pin.start)
    if pin.shift is None:
        if pin.technician is None:
            _refuse("pin_empty", where)
        return
    shift = shifts.get(pin.shift)
    if shift is None:
        raise ProblemError("pin_unknown_shift", where, shift=pin.shift)
    _check_pinned_shift(where, visit, shift)


def _may_start(visit: Visit, start: int) -> bool:
    begin = max(visit.earliest, visit.earliest if visit.promise is None else visit.promise.start)
    inside = not visit.windows or any(window.start <= start <= window.end for window in visit.windows)
    return visit.frozen or (start >= begin and inside)


def _check_pinned_shift(where: str, visit: Visit, shift: Shift) -> None:
    """Refuse a pin to `shift` that no plan can obey; a frozen visit's time, skills and people are settled already."""
    pin, worker = visit.pin, shift.technician
    if pin is None:
        return
    if pin.technician is not None and pin.technician != worker:
        _refuse("pin_technician_mismatch", where, shift=shift.id, worker=worker, technician=pin.technician)
    if visit.frozen:
        return
    last = shift.end + shift.overtime_allowed
    if pin.start is not None and not shift.start <= pin.start <= last - visit.duration:
        _refuse(
            "pin_outside_shift",
            where,
            shift=shift.id,
            start=pin.start,
            duration=visit.duration,
            begin=shift.start,
            end=last,
        )
    lacking = sorted(set(visit.skills) - set(shift.skills))
    if lacking:
        _refuse("pin_without_skill", where, shift=shift.id, worker=worker, skills=lacking)
    allowed = visit.allowed_technicians is None or worker in visit.allowed_technicians
    if not allowed or worker in visit.forbidden_technicians:
        _refuse("pin_not_allowed", where, shift=shift.id, worker=worker)


def _check_follows(problem: Problem) -> None:
    """Refuse relations to nobody, to oneself, round in circles, or with gaps that nothing meets."""
    visits = {visit.id: visit for visit in problem.visits}
    for index, visit in enumerate(problem.visits):
        if visit.follows is None:
            continue
        where = f"{_where('visits', index, visit.id)} .follows"
        gaps = visit.follows.least_gap, visit.follows.most_gap
        most = limits.MAX_HORIZON_SECONDS if gaps[1] is None else gaps[1]
        if not 0 <= gaps[0] <= most <= limits.MAX_HORIZON_SECONDS:
            _refuse("follows_gap_impossible", where, least=gaps[0], most=str(gaps[1]))
        seen: set[str] = set()
        after = visit
        while after.follows is not None:
            if after.follows.visit not in visits:
                _refuse("follows_unknown", where, visit=after.follows.visit)
            if after.id in seen:
                _refuse("follows_in_a_circle", where, visit=after.id)
            seen.add(after.id)
            after = visits[after.follows.visit]


def _check_stock(problem: Problem) -> None:
    for index, stock in enumerate(problem.van_stock):
        if not 0 <= stock.quantity <= limits.MAX_QUANTITY:
            where = f"van_stock[{index}] {stock.technician} '{stock.part}'"
            _refuse("quantity_out_of_range", where, limit=limits.MAX_QUANTITY)


def _check_pace(problem: Problem) -> None:
    pace = problem.pace
    if pace is None:
        return
    if not 0 < len(pace.per_mille) <= limits.MAX_PACE_HOURS:
        _refuse("pace_hours", "pace", found=len(pace.per_mille), limit=limits.MAX_PACE_HOURS)
    if not all(limits.MIN_PACE <= speed <= limits.MAX_PACE for speed in pace.per_mille):
        _refuse("pace_out_of_range", "pace", least=limits.MIN_PACE, limit=limits.MAX_PACE)
    _check_time("pace.begins", pace.begins)


def _check_frozen(where: str, visit: Visit, shifts: dict[str, Shift]) -> None:
    if not visit.frozen:
        return
    if visit.technicians > 1:
        _refuse("crew_frozen", where)
    shift = None if visit.previous is None else shifts.get(visit.previous.shift)
    if shift is None:
        raise ProblemError("frozen_without_previous", where)
    pin = visit.pin
    if pin is not None and (pin.shift not in {None, shift.id} or pin.technician not in {None, shift.technician}):
        _refuse("frozen_contradicts_pin", where, shift=shift.id)


def _check_travel(problem: Problem) -> None:
    travel = problem.travel
    if isinstance(travel, EstimatedTravel):
        in_range = 0 <= travel.overhead_seconds <= limits.MAX_LEG_SECONDS
        if not in_range or not (math.isfinite(travel.scale) and 0 < travel.scale <= 100):  # noqa: PLR2004
            _refuse("travel_scale", "travel", limit=limits.MAX_LEG_SECONDS)
        for index, zone in enumerate(travel.zones):
            if not (math.isfinite(zone.factor) and 0 < zone.factor <= 100):  # noqa: PLR2004
                _refuse("zone_factor", f"travel.zones[{index}] {zone.origin} {zone.destination}")
    else:
        _check_table("travel.seconds", travel.seconds, len(problem.places), limits.MAX_LEG_SECONDS)
        _check_table("travel.metres", travel.metres, len(problem.places), limits.MAX_LEG_METRES)
    for index, place in enumerate(problem.places):
        _check_coordinates(_where("places", index, place.id), place, needed=isinstance(travel, EstimatedTravel))


def _check_coordinates(where: str, place: Place, *, needed: bool) -> None:
    latitude, longitude = place.latitude, place.longitude
    if latitude is None or longitude is None:
        if needed:
            _refuse("place_without_coordinates", where)
        return
    # A comparison with NaN is false, so not-a-number and infinity are refused here too.
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):  # noqa: PLR2004
        _refuse("coordinates_out_of_range", where)


def _check_table(where: str, table: tuple[tuple[int, ...], ...], places: int, limit: int) -> None:
    if len(table) != places or any(len(row) != places for row in table):
        _refuse("travel_shape", where, places=places)
    for index, row in enumerate(table):
        if row[index] != 0 or (row and not 0 <= min(row) <= max(row) <= limit):
            _refuse("travel_value", f"{where}[{index}]", limit=limit)
