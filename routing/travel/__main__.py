"""``python -m routing.travel``: answer one question about a road network and end."""

import sys
from pathlib import Path

import msgspec
import numpy as np

from routing.travel.asking import RoadAnswer, RoadRefusal, RoadRequest, packed
from routing.travel.osm import RoadFileError, load_roads
from routing.travel.roads import RoadLegs, RoadRouter


def main() -> None:
    """Read a request from standard input, write the answer to standard output."""
    request = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=RoadRequest)
    try:
        answer = answered(request)
    except RoadFileError as error:
        answer = RoadAnswer(refusal=RoadRefusal(code=error.code, zh=error.zh, en=error.en))
    sys.stdout.buffer.write(msgspec.msgpack.encode(answer))


def answered(request: RoadRequest) -> RoadAnswer:
    """Answer a request; raises RoadFileError."""
    network = load_roads(Path(request.file))
    router = RoadRouter(network)
    places = router.put_on_roads(np.array(request.latitudes), np.array(request.longitudes), request.limit_metres)
    origins, destinations = np.array(request.origins, np.intp), np.array(request.destinations, np.intp)
    if request.paired:
        starts, row = np.unique(origins, return_inverse=True)
        goals, column = np.unique(destinations, return_inverse=True)
        whole = router.legs(places, starts, goals)
        legs = RoadLegs(whole.seconds[row, column], whole.metres[row, column])
    else:
        legs = router.legs(places, origins, destinations)
    seconds, metres = packed(legs)
    return RoadAnswer(name=network.name, version=network.version, seconds=seconds, metres=metres)


if __name__ == "__main__":
    main()
