"""``python -m routing.travel``: answer one question about a road network, within bounded memory, and end."""

import sys
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from routing import memory
from routing.travel.asking import RoadAnswer, RoadRefusal, RoadRequest, packed
from routing.travel.osm import RoadFileError, load_roads
from routing.travel.roads import RoadLegs, RoadRouter

BYTES_A_MB: Final = 1024 * 1024


def main() -> None:
    """Read a request from standard input, write the answer to standard output."""
    request = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=RoadRequest)
    try:
        memory.bound(request.address_space_bytes)
        answer = answered(request)
    except RoadFileError as error:
        answer = refused(error)
    except (MemoryError, ImportError) as error:
        if not memory.was_lacking(error):
            raise
        megabytes = memory.allowed(request.address_space_bytes) // BYTES_A_MB
        answer = refused(RoadFileError("roads_out_of_memory", name=Path(request.file).name, megabytes=megabytes))
    sys.stdout.buffer.write(msgspec.msgpack.encode(answer))


def refused(error: RoadFileError) -> RoadAnswer:
    """Return the answer that says why there is none."""
    return RoadAnswer(refusal=RoadRefusal(code=error.code, zh=error.zh, en=error.en))


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
