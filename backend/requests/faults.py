"""What is refused about a Case, and what to do instead."""

from backend.core.errors import Fault, Finding, Problem
from backend.requests.models import ServiceRequest
from backend.requests.rules import OPEN_STATES, Move, RequestState, offered_moves

ILLEGAL_MOVE = Fault(
    "illegal_move", 409, "服务请求处于 {state},现在不能 {move}。", "The Case is {state}; {move} is not possible now.",
    "请重新读取;现在可做的操作见 findings。", "Read it again; what is possible now is in the findings.",
)  # fmt: skip
NOT_OPEN = Fault(
    "case_not_open", 409, "服务请求处于 {state},已结束。", "The Case is {state}: it has ended.",
    "如问题仍在,请先重新打开(POST /requests/{id}/reopen)。",
    "If the problem persists, reopen it first (POST /requests/{id}/reopen).",
)  # fmt: skip
CHAIN_EXHAUSTED = Fault(
    "chain_exhausted", 409, "升级链 {chain} 的每一级都已通知。", "Everybody in the chain {chain} has been asked.",
    "请直接联系已通知的人,或换一条升级链。", "Talk to those who were asked, or choose another chain.",
)  # fmt: skip
NO_OFFER = Fault(
    "no_offer", 409, "没有等待您答复的移交。", "No hand-over is waiting for your answer.",
    "请重新读取;可能已被接受或撤回。", "Read the Case again; it may have been accepted or taken back.",
)  # fmt: skip


def must_be_open(request: ServiceRequest) -> None:
    """Refuse a Case that has ended; raises case_not_open."""
    if RequestState(request.state) not in OPEN_STATES:
        raise Problem(NOT_OPEN, state=request.state)


def refuse(request: ServiceRequest, move: Move) -> Problem:
    """The refusal of a move, with what is possible instead."""
    possible = ", ".join(one.value for one in offered_moves(RequestState(request.state)))
    finding = Finding(
        "state",
        f"可做:{possible}" if possible else "没有可做的操作",
        f"possible: {possible}" if possible else "nothing is",
    )
    return Problem(ILLEGAL_MOVE, finding, state=request.state, move=move.value)
