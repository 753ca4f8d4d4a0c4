"""The yardstick: the same week dispatched first-come to the nearest technician who is free, without a planner.

Requests are served in the order they came. Whenever a request arrives, a job ends or a shift begins, the queue is
walked from the oldest: a request goes to the nearest technician who is free, on shift, skilled, and done before the
shift's end. Travel and on-site times are those of the planner.
"""

import heapq
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from backend.dispatch.outages import Outage
from bench.acceptance.week import TechnicianShift, Week
from routing.problem import EstimatedTravel, Place
from routing.travel.estimate import CoordinateEstimate

ARRIVE_WITHIN: Final = timedelta(hours=48)
DEPOT: Final = "depot"


@dataclass
class _Worker:
    shift: TechnicianShift
    place: str = DEPOT
    free_at: datetime | None = None


@dataclass(frozen=True)
class NearestFirst:
    """What first-come to the nearest free technician achieves."""

    arrived_48h: int
    arrived: int

    def share(self, requests: int) -> float:
        """Part of all requests reached within 48 hours."""
        return self.arrived_48h / requests


def dispatch_nearest_first(week: Week) -> NearestFirst:
    """Serve the week's outages first-come to the nearest free technician; return how many were reached in time."""
    travel = _Travel(week)
    moments = [outage.received_at for outage in week.outages] + [shift.starts_at for shift in week.shifts]
    heapq.heapify(moments)
    waiting: list[Outage] = []
    arrivals = sorted(week.outages, key=lambda outage: outage.received_at)
    workers = [_Worker(shift) for shift in week.shifts]
    reached = in_time = 0
    while moments:
        now = heapq.heappop(moments)
        while arrivals and arrivals[0].received_at <= now:
            waiting.append(arrivals.pop(0))
        for outage in list(waiting):
            sent = _send_nearest(outage, workers, travel, now)
            if sent is None:
                continue
            arrived_at, done_at = sent
            waiting.remove(outage)
            heapq.heappush(moments, done_at)
            reached += 1
            in_time += arrived_at <= outage.received_at + ARRIVE_WITHIN
    return NearestFirst(arrived_48h=in_time, arrived=reached)


def _send_nearest(
    outage: Outage, workers: list[_Worker], travel: "_Travel", now: datetime
) -> tuple[datetime, datetime] | None:
    able = [worker for worker in workers if _is_free(worker, outage, now)]
    able.sort(key=lambda worker: travel.seconds(worker.place, outage.station_code))
    for worker in able:
        arrived_at = now + timedelta(seconds=travel.seconds(worker.place, outage.station_code))
        done_at = arrived_at + outage.on_site
        if done_at <= worker.shift.ends_at:
            worker.place, worker.free_at = outage.station_code, done_at
            return arrived_at, done_at
    return None


def _is_free(worker: _Worker, outage: Outage, now: datetime) -> bool:
    on_shift = worker.shift.starts_at <= now < worker.shift.ends_at
    skilled = worker.shift.elevator or outage.skill != "elevator"
    return on_shift and skilled and (worker.free_at is None or worker.free_at <= now)


class _Travel:
    """The planner's own travel estimate between the stations and the depot."""

    def __init__(self, week: Week) -> None:
        spots = {DEPOT: week.depot} | {outage.station_code: (outage.lat, outage.lon) for outage in week.outages}
        places = [Place(id=name, latitude=lat, longitude=lon) for name, (lat, lon) in spots.items()]
        self._index = {place.id: index for index, place in enumerate(places)}
        self._seconds = np.asarray(CoordinateEstimate(EstimatedTravel()).table(places).seconds)

    def seconds(self, origin: str, destination: str) -> int:
        """Travel time in seconds."""
        return int(self._seconds[self._index[origin], self._index[destination]])
