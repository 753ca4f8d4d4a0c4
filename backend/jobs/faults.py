"""What can be refused about work orders and visits."""

from typing import Final

from backend.core.errors import Fault
from backend.jobs.rules import VisitState

STATE_NAMES: Final[dict[str, tuple[str, str]]] = {
    VisitState.UNPLANNED: ("未排", "unplanned"),
    VisitState.PLANNED: ("已排", "planned"),
    VisitState.ASSIGNED: ("已派", "assigned"),
    VisitState.CONTACTED: ("已联系", "contacted"),
    VisitState.DEPARTED: ("已出发", "on the way"),
    VisitState.ARRIVED: ("已到场", "arrived"),
    VisitState.STARTED: ("施工中", "working"),
    VisitState.PAUSED: ("已暂停", "paused"),
    VisitState.FINISHED: ("已结束", "finished"),
    VisitState.CANCELLED: ("已取消", "cancelled"),
}
"""Words for a visit's states."""

VISIT_STATE = Fault(
    "visit_state", 409, "上门当前为“{state_zh}”(由{mover}更改),不能这样做。",
    "The visit is {state_en} (moved by {mover_en}), so this cannot be done.",
    "请重新读取上门记录;误点的步骤请先撤销(revert)。",
    "Read the visit again; take back a mistaken step with `revert` first.",
)  # fmt: skip
VISIT_TAKEN = Fault(
    "visit_taken", 409, "此上门已不归您:当前为“{state_zh}”(由{mover}更改)。",
    "The visit is no longer yours: it is {state_en} (moved by {mover_en}).",
    "请联系调度;已到场、已完成的情况仍会作为迟到报告保存。",
    "Speak to the dispatcher; arrivals and completions are still kept as late reports.",
)  # fmt: skip
VISIT_BEGUN = Fault(
    "visit_begun", 409, "上门已经开始(“{state_zh}”,由{mover}更改),不能改派。",
    "The visit has begun ({state_en}, moved by {mover_en}) and cannot be taken away.",
    "如确需改派,请注明原因并确认(even_begun)。", "If it must be reassigned, say why and confirm with `even_begun`.",
)  # fmt: skip
NOT_UNDER_WAY = Fault(
    "not_under_way", 409, "上门当前为“{state_zh}”,只有进行中的上门才能预计结束时间。",
    "The visit is {state_en}; only one under way has an expected end.",
    "请在出发或到场之后再报告预计结束时间。", "Report it once somebody is on the way or at the site.",
)  # fmt: skip
CORRECTION_TARGET = Fault(
    "correction_target", 422, "找不到要更正的记录,或它不能再更正。",
    "There is no such event to correct, or it cannot be corrected.",
    "请选择本人在此次上门中未被撤销的一步。",
    "Choose an event of the same person on this visit that was not taken back.",
)  # fmt: skip
CORRECTION_ORDER = Fault(
    "correction_order", 422, "更正后各步骤的先后顺序不成立。", "After this correction the steps would be out of order.",
    "时间须在前一步与后一步之间;撤销须从最后一步开始。",
    "The time must lie between the steps before and after; take back the latest step first.",
)  # fmt: skip
CONTINUED = Fault(
    "continued", 409, "续办的上门已经开始,不能再撤销。",
    "The visit that continues this one has begun, so this cannot be taken back.",
    "请在续办的上门中说明。", "Report what happened on the continuing visit.",
)  # fmt: skip
VISIT_CLOSED = Fault(
    "visit_closed", 409, "上门已结束或已取消。", "The visit is finished or cancelled.",
    "如需再次上门,请在工单下新建一次上门。", "Add another visit to the work order instead.",
)  # fmt: skip
ORDER_CLOSED = Fault(
    "order_closed", 409, "工单已完成或已取消。", "The work order is completed or cancelled.",
    "请新建工单。", "Open a new work order.",
)  # fmt: skip
NOT_APPROVED = Fault(
    "not_approved", 409, "此类工单须经部长审批后才能派工。",
    "Work of this kind is assigned only after the head has approved it.",
    "请部长在工单上审批。", "Ask the head to approve the work order.",
)  # fmt: skip
NO_WINDOW = Fault(
    "no_window", 409, "尚未约定上门时间,不能标记为已告知客户。",
    "There is no window yet that the customer could be told.",
    "请先设定上门时间段。", "Set the window first.",
)  # fmt: skip
NO_CREW = Fault(
    "no_crew", 409, "此上门未派给您带领的小组。", "The visit is not assigned to a crew you lead.",
    "请调度把上门派给小组。", "Ask the dispatcher to assign it to your crew.",
)  # fmt: skip
QUOTE_STATE = Fault(
    "quote_state", 409, "报价当前为“{state}”,不能这样做。", "The quote is `{state}`, so this cannot be done.",
    "需要修改时请新建一版报价。", "Make a new version of the quote to change it.",
)  # fmt: skip
RECEIPT_GIVEN = Fault(
    "receipt_given", 409, "这笔款项已开收据。", "A receipt was already given for this payment.",
    "请使用已开的收据。", "Use the receipt that was given.",
)  # fmt: skip
