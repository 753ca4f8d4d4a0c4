"""What can be refused about forms, their templates and their reports.

Whoever files a form has it signed already: what is refused of it is set aside for a dispatcher, never thrown away
(backend/devices/handlers.py says so to the phone).
"""

from backend.core.errors import Fault

TEMPLATE_UNKNOWN = Fault(
    "template_unknown", 422, "没有这个表单版本。", "There is no such version of a form template.",
    "请先同步,再用服务器下发的表单填写。", "Sync first, then fill in a template the server sent.",
)  # fmt: skip
TEMPLATE_UNFIT = Fault(
    "template_unfit", 422, "这种表单不属于此类工单。", "This template belongs to another kind of work.",
    "请用工单所列的表单;如工单类型有误,请调度更正。",
    "Use a form of this work order; if its kind is wrong, have the dispatcher correct it.",
)  # fmt: skip
FORM_NOT_AS_TEMPLATE = Fault(
    "form_not_as_template", 422, "签字内容与表单模板不一致。", "What was signed does not match its template.",
    "请更新应用后重新填写。", "Update the app and fill the form in again.",
)  # fmt: skip
FORM_INCOMPLETE = Fault(
    "form_incomplete", 422, "表单未填写完整。", "The form is not complete.",
    "请按 findings 逐项补填,另填新单签字。", "Fill in each of the findings on a new form and have it signed.",
)  # fmt: skip
FORM_OF_OTHER_WORK = Fault(
    "form_of_other_work", 422, "签字内容写的不是这次上门。", "What was signed is about other work than this visit.",
    "请在所写的工单下提交,或另填新单。", "File it under the work it names, or fill in a new form.",
)  # fmt: skip
FORM_NUMBER_FOREIGN = Fault(
    "form_number_foreign", 422, "表单编号不是这台手机的编号。", "The form's number is not one of this phone's.",
    "请更新应用;编号须以本机前缀开头。", "Update the app; a number begins with the prefix of the phone that prints it.",
)  # fmt: skip
SIGNATURE_UNFIT = Fault(
    "signature_unfit", 422, "签名不能证明这份表单。", "A signature does not stand for this form.",
    "请在同一份表单上重新签字。", "Have the same form signed again.",
)  # fmt: skip
SIGNER_MISSING = Fault(
    "signer_missing", 422, "还缺现场签字。", "A signature on site is missing.",
    "请签字人签字;拒签也是一种签字,请记录原因。", "Have them sign; a refusal counts too, with its reason.",
)  # fmt: skip
FORM_ID_TAKEN = Fault(
    "form_id_taken", 409, "这个表单编号已用于另一份内容。", "This form id or number is taken by other content.",
    "请作为新表单重新提交。", "File it again as a new form.",
)  # fmt: skip
FORM_NOT_CORRECTED = Fault(
    "form_not_corrected", 422, "它不能更正所指的表单。", "It cannot correct the form it names.",
    "只能更正同一次上门、尚未被更正的表单,且单上须印有原单编号。",
    "A correction is of a form of the same visit that nothing corrects yet, and it shows that form's number.",
)  # fmt: skip
TEMPLATE_INVALID = Fault(
    "template_invalid", 422, "表单模板有误。", "The template is not right.",
    "请按 findings 逐项改正。", "Correct each of the findings.",
)  # fmt: skip
ALREADY_VOIDED = Fault(
    "already_voided", 409, "这份表单已作废。", "This form is void already.",
    "无需再次作废。", "There is nothing more to do.",
)  # fmt: skip
REPORT_DAMAGED = Fault(
    "report_damaged", 500, "存放的报告缺失,或已不是当初加封的文件,因此不予提供。",
    "The stored report is missing or no longer the file that was sealed, so it is not handed out.",
    "请管理员从备份恢复此文件;签字内容仍在表单记录中。",
    "Have an administrator restore the file from a backup; what was signed is still in the form's record.",
)  # fmt: skip
