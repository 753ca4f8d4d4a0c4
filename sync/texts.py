"""The sentences sync says to people, by code, in Chinese and English."""

from collections.abc import Mapping
from typing import Final

import msgspec


class Text(msgspec.Struct, frozen=True):
    """One sentence in both languages."""

    zh: str
    en: str


TEXTS: Final[Mapping[str, Text]] = {
    # Refusals of a whole request.
    "unreadable": Text("无法读取这个请求,请检查格式。", "The request cannot be read; check its format."),
    "not_consecutive": Text("一批修改的编号必须连续。", "The mutations of a batch must have consecutive numbers."),
    "too_many_mutations": Text("一批修改太多,请分批发送。", "Too many mutations in one batch; send fewer at a time."),
    "bad_cookie": Text("同步位置无效,请重新完整下载。", "The cookie is not one of ours; pull everything again."),
    "bad_code": Text(
        "注册码无效、已用过或已过期,请向调度索取新码。",
        "The code is wrong, used or expired; ask a dispatcher for a new one.",
    ),
    "too_many_devices": Text(
        "此人员的手机已达上限,请先停用一台。", "This person has the most phones allowed; have one revoked first."
    ),
    "too_many_incarnations": Text("这台手机重置过多,请重新注册。", "This phone was reset too often; register it anew."),
    "unknown_device": Text("此手机未注册。", "This phone is not registered."),
    "device_revoked": Text(
        "此手机已被停用;未发送的工作已留给调度处理。",
        "This phone was revoked; its unsent work is kept for a dispatcher.",
    ),
    "bad_signature": Text("签名与此手机登记的密钥不符。", "The signature is not that of this phone's key."),
    "unknown_incarnation": Text("请为此手机申请新的编号序列。", "Ask for a new incarnation of this phone."),
    "gap": Text("缺少之前的修改,请从所示编号开始发送。", "Earlier mutations are missing; send from the number shown."),
    "n_taken": Text(
        "此编号已用于另一项修改,请申请新的编号序列。",
        "The number was used for another mutation; ask for a new incarnation.",
    ),
    "page_expired": Text("此次下载已过期,请重新开始。", "This pull is no longer known; begin it again."),
    "busy": Text(
        "此手机的另一次下载正在进行,请稍后重试。", "Another pull of this phone is under way; try again shortly."
    ),
    "no_prefix": Text("编号前缀已用尽,请联系管理员。", "No number prefix is left; tell an administrator."),
    # Ends of a single mutation.
    "unreadable_mutation": Text(
        "服务器读不懂这项修改,已保留给调度处理。", "The server cannot read this; it is kept for a dispatcher."
    ),
    "unknown_mutation": Text(
        "服务器还不认识这种修改,已保留给调度处理。",
        "The server does not know this kind of change yet; it is kept for a dispatcher.",
    ),
    "newer_schema": Text(
        "此修改来自更新的应用版本,已保留给调度处理。",
        "This comes from a newer app than the server; it is kept for a dispatcher.",
    ),
    "handler_failed": Text(
        "服务器处理此项时出错,已保留给调度处理。", "The server failed on this; it is kept for a dispatcher."
    ),
    "undeliverable": Text(
        "此项过大或无法传送,原件保留在手机上。", "This could not be delivered; the original stays on the phone."
    ),
    "rescued": Text(
        "此项从手机的待发队列中抢救出来,已保留给调度处理。",
        "This was rescued from the phone's queue; it is kept for a dispatcher.",
    ),
    "left_scope": Text(
        "此任务离开您的范围已久,已保留给调度处理。",
        "This left your scope long ago; your edit is kept for a dispatcher.",
    ),
    "perhaps_lost": Text(
        "服务器从备份恢复过,此记录或授权可能已丢失;您的工作已保留给调度处理。",
        "The server was restored from a backup and may have lost this record or your grant; your work is kept for a "
        "dispatcher.",
    ),
    "not_granted": Text("您无权修改此记录,或此记录不存在。", "There is no such record, or you may not change it."),
    "id_taken": Text("此编号已用于另一项内容。", "This id was used for something else."),
    "server_decides": Text(
        "此项由调度决定,手机上不能修改。", "This is decided in the office and cannot be changed on a phone."
    ),
    "append_only": Text("此记录只能新增,不能修改。", "Records of this kind are added, never changed."),
    "sealed": Text(
        "已签字的内容不能修改;请另填新单替代。",
        "What was signed cannot be changed; file a new form that supersedes it.",
    ),
    "partial_group": Text("这些内容必须一起修改。", "These fields must be changed together."),
    "unknown_field": Text(
        "服务器不认识其中一项内容,已保留给调度处理。",
        "The server does not know one of the fields; your edit is kept for a dispatcher.",
    ),
    "no_edit": Text("没有任何修改内容。", "It changes nothing and names no field."),
    "row_gone": Text(
        "此记录已被删除;两种意见都已保留,等待处理。",
        "The record was deleted meanwhile; both are kept until a person decides.",
    ),
    "edited_meanwhile": Text(
        "他人也修改了此项;两种意见都已保留,等待处理。",
        "Someone else changed this too; both are kept until a person decides.",
    ),
    "no_conflict": Text("没有这条冲突。", "There is no such conflict."),
    "conflict_decided": Text(
        "此冲突已由他人处理,您的选择未生效。", "Someone has decided this already; yours was not needed."
    ),
    "conflict_moved": Text(
        "此记录在您比较之后又有变动,请重新比较再决定。",
        "The record changed since you compared; compare again, then decide.",
    ),
    "wrong_values": Text(
        "所填内容须正好是有冲突的各项。", "The values must name exactly the fields people disagree about."
    ),
    "not_restorable": Text(
        "此记录已删除,无法恢复;请新建。", "The record is gone and cannot be restored; make a new one."
    ),
    "not_yours_to_decide": Text(
        "此冲突由他人的修改引起,请由本人或调度决定。", "Someone else's edit opened this; they or a dispatcher decide."
    ),
    "delivered_out_of_scope": Text("已收到;此任务已不在您的范围内。", "Received; this is no longer in your scope."),
}
"""What each code means. A business command brings its own codes and sentences."""
