"""Why something set aside cannot be settled as asked, and what a phone that is wiped may not say."""

from backend.core.errors import Fault

CONFLICT_DECIDED = Fault(
    "conflict_decided", 409, "这条冲突已由{name}处理({decision})。", "{name} has decided this already ({decision}).",
    "请查看结果;若仍需修改,请直接编辑该记录。", "Look at the outcome; if it is still wrong, edit the record itself.",
)  # fmt: skip
NOT_RESTORABLE = Fault(
    "not_restorable", 409, "该记录已删除且无法恢复。", "The record is gone and cannot be restored.",
    "请保留删除(take: theirs),需要时新建记录。",
    "Let it stay deleted (take: theirs); make a new record if one is needed.",
)  # fmt: skip
STILL_IN_USE = Fault(
    "still_in_use", 409, "此记录仍被其他内容使用({uses_zh}),未删除。",
    "Other records still refer to this ({uses_en}), so it was not removed.",
    "请先移走或删除它们;不再使用的设备请由办公端报废。",
    "Move or remove those first; equipment that is out of use is retired in the office.",
)  # fmt: skip
QUARANTINE_SETTLED = Fault(
    "quarantine_settled", 409, "这项内容已有另一种处理。", "This was settled the other way already.",
    "请查看处理结果;若仍需办理,请在办公端直接录入。",
    "Look at how it was settled; if it is still needed, enter it at the desk.",
)  # fmt: skip
NOT_REVOKED = Fault(
    "not_revoked", 409, "此手机仍在使用,没有被要求清除。", "This phone is in use; it was not told to wipe itself.",
    "只有已停用的手机才能报告已清除。", "Only a phone that was revoked can say that it has wiped itself.",
)  # fmt: skip
FILE_NOT_NAMED = Fault(
    "file_not_named", 404, "这台手机的工作没有提到这个文件。", "No work of this phone names this file.",
    "请先提交相关工作。", "Hand over the work that names it first.",
)  # fmt: skip
