"""The promises of the design's list, by number, and how a broken one is told."""

from typing import Final

PROMISES: Final = {
    1: "after healing, the phone holds its scope row for row",
    2: "a complete pull holds every change up to its v",
    4: "nothing outside the scope is ever sent",
    6: "each mutation has one end, for ever",
    7: "a mutation has at most one effect",
    8: "acknowledged is durable, and applied means that the effect committed",
    9: "a repeat gets the same bytes",
    10: "effects of one phone keep their order",
    11: "bad mutations delay nobody",
    12: "edits end as an independent look expects",
    13: "every clash is kept open with all three sides",
    16: "a form is complete when all its photos are there, and they come to be",
    17: "offsets never go back, and a cut costs no more than a piece",
    18: "what a complete pull acknowledges is seen, or has a reason",
    19: "nothing is seen of an unfinished pull",
    20: "checksums agree at completion",
    22: "an answer taken twice equals once",
    23: "hints change nothing",
    24: "no device's clock moves a time beyond its clamp",
    27: "pushes of every shipped schema are taken, and its phones see what they know",
    28: "after revocation no data leaves, and unsent work reaches quarantine",
    29: "what servers lost, phones bring back",
    0: "nothing breaks",
}
"""0 is no number of the design: an error nobody foresaw."""


class Broken(Exception):
    """A promise was broken; `invariant` is its number in the design's list."""

    def __init__(self, invariant: int, what: str = "") -> None:
        super().__init__(f"invariant {invariant}: {PROMISES[invariant]}{f' ({what})' if what else ''}")
        self.invariant = invariant


def keep(invariant: int, kept: object, what: str = "") -> None:
    """Raise Broken unless the promise is kept."""
    if not kept:
        raise Broken(invariant, what)
