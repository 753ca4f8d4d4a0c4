"""The headings and explanations the printed report adds around what was signed, in both languages."""

from __future__ import annotations

from typing import Final

from backend.forms.template import Bilingual, Language

_WORDS: Final[dict[str, tuple[str, str]]] = {
    "number": ("表单编号", "Form no."),
    "order": ("工单号", "Work order"),
    "customer": ("客户", "Customer"),
    "contact": ("联系人", "Contact"),
    "site": ("地点", "Site"),
    "technicians": ("服务人员", "Technicians"),
    "supersedes": ("更正表单", "Corrects form"),
    "times": ("时间", "Times"),
    "reported": ("报修内容", "Reported"),
    "done": ("处理情况", "Work done"),
    "item": ("项目", "Item"),
    "result": ("结果", "Result"),
    "asset": ("设备", "Equipment"),
    "note": ("说明", "Note"),
    "photos": ("照片", "Photos"),
    "photo": ("照片", "Photo"),
    "repair_opened": ("已申请维修", "Repair requested"),
    "none": ("无", "None"),
    "prices": ("费用", "Charges"),
    "kind": ("类别", "Kind"),
    "charge": ("名称", "Description"),
    "quantity": ("数量", "Qty"),
    "unit_price": ("单价", "Unit price"),
    "amount": ("金额", "Amount"),
    "total": ("合计", "Total"),
    "waiver": ("现场禁止拍照", "No photos allowed on site"),
    "granted_by": ("批准人", "agreed by"),
    "photos_received": ("照片：已收到 {got} 张，共 {all} 张。", "Photos: {got} of {all} received."),
    "photos_unshown": (
        "已收到但无法印出的照片：{count} 张（格式或大小），原件可按编号核对。",
        "Received but not printable (format or size): {count}; the originals are kept under their sha256.",
    ),
    "signatures": ("签字", "Signatures"),
    "phone": ("电话", "Phone"),
    "signed_at": ("签字时间", "Signed"),
    "drawn": ("手写签名", "Drawn by hand"),
    "typed": ("键入姓名", "Typed name"),
    "assisted": ("协助签名", "Signed with help"),
    "assisted_by": ("协助人", "helped by"),
    "paper": ("纸质件签字盖章", "Signed and sealed on paper"),
    "paper_kept": ("纸质件照片", "Photo of the paper"),
    "refused": ("拒绝签字", "Refused to sign"),
    "reason": ("原因", "Reason"),
    "not_yet": ("尚未签字", "Not yet signed"),
    "later": ("事后签字", "signs later"),
    "optional": ("可不签", "optional"),
    "verify": ("核验", "Verification"),
    "scan": ("扫码核验", "Scan to verify"),
    "verify_seal": (
        "本文件带有出具单位的电子封印：任何改动都会使封印失效。",
        "This file carries the organisation's electronic seal; any change to it breaks the seal.",
    ),
    "verify_content": (
        "签字人所见内容的原文在附件 shown.json 中，签字与其 SHA-256 绑定；签字记录在附件 signatures.json 中。",
        "What the signers saw is attached as shown.json, bound by its SHA-256; signatures.json has the signatures.",
    ),
    "verify_code": (
        "核验本报告请向出具单位提供核验码：{code}",
        "To have this report verified, give its issuer this code: {code}",
    ),
    "unprintable": (
        "有 {count} 处字符无法印出，以 Unicode 编号代替，原文见附件。",
        "Characters without a glyph: {count}, printed as Unicode numbers; the original text is in the attachment.",
    ),
    "sha": ("签署内容 SHA-256", "SHA-256 of the signed content"),
    "page": ("第 {page} 页，共 {pages} 页", "Page {page} of {pages}"),
    "drawing": ("{name}的签名", "Signature of {name}"),
    "qr": ("核验二维码", "QR code for verification"),
}


def words(language: Language) -> dict[str, str]:
    """Every heading in `language`, by key."""
    return {key: Bilingual(zh=zh, en=en).shown(language) for key, (zh, en) in _WORDS.items()}
