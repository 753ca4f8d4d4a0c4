"""What forms tell people to do about a finding, in both languages. `{label}` is the item or section concerned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from backend.forms.template import Bilingual

_TODO: Final[dict[str, tuple[str, str]]] = {
    # A filled form.
    "missing": ("请填写“{label}”。", "Please answer “{label}”."),
    "blocking": ("★“{label}”必须合格才能继续。", "★ “{label}” must be in order before you can go on."),
    "not_an_option": ("“{label}”只能选：{options}。", "“{label}” must be one of: {options}."),
    "not_a_tick": ("“{label}”只能勾选或不勾选。", "“{label}” is either ticked or not."),
    "not_text": ("“{label}”应填文字。", "“{label}” must be text."),
    "text_too_short": ("“{label}”至少 {limit} 个字。", "“{label}” needs at least {limit} characters."),
    "text_too_long": (
        "“{label}”最多 {limit} 个字，请缩短。",
        "“{label}” may have at most {limit} characters; shorten it.",
    ),
    "not_a_number": ("“{label}”应填数字，如 12.5。", "“{label}” must be a number such as 12.5."),
    "too_many_decimals": ("“{label}”最多 {limit} 位小数。", "“{label}” may have at most {limit} decimals."),
    "out_of_range": ("“{label}”应在 {low} 到 {high} 之间。", "“{label}” must lie between {low} and {high}."),
    "not_money": ("“{label}”应为整数分。", "“{label}” must be an amount in whole fen."),
    "not_a_date": ("“{label}”应为日期，如 2026-11-21。", "“{label}” must be a date such as 2026-11-21."),
    "not_an_instant": (
        "“{label}”应为带时区的时间，如 2026-11-21T10:41:00+08:00。",
        "“{label}” must be a time with its offset, such as 2026-11-21T10:41:00+08:00.",
    ),
    "photo_has_value": ("“{label}”只收照片。", "“{label}” takes photos only."),
    "abnormal_note": ("“{label}”异常：请写明情况。", "“{label}” is abnormal: describe what you found."),
    "abnormal_photo": ("“{label}”异常：请拍照。", "“{label}” is abnormal: take a photo."),
    "option_note": ("“{label}”选了此项须附说明。", "“{label}”: this choice needs a note."),
    "unsolved_note": ("未完全解决：请写明还有什么问题。", "Not entirely solved: write down what is left."),
    "note_too_long": (
        "“{label}”的说明最多 {limit} 个字。",
        "The note of “{label}” may have at most {limit} characters.",
    ),
    "too_many_photos": ("“{label}”最多 {limit} 张照片。", "“{label}” may have at most {limit} photos."),
    "bad_photo_hash": (
        "“{label}”的照片编号无效，请重新上传。",
        "“{label}” names a photo that cannot exist; attach it again.",
    ),
    "photo_forbidden": (
        "此现场禁止拍照：请删除“{label}”的照片。",
        "This site forbids photos: remove those of “{label}”.",
    ),
    "waiver_missing": (
        "此现场禁止拍照：请记录免拍原因和批准人。",
        "This site forbids photos: record why there is none and who agreed.",
    ),
    "waiver_not_needed": ("此现场允许拍照，免拍说明不生效。", "This site allows photos; the waiver has no effect."),
    "unknown_item": ("表单模板中没有“{item}”。请更新模板。", "The template has no item “{item}”. Update the template."),
    "not_asked": (
        "按前面的回答不需要填“{item}”，此回答不显示。",
        "“{item}” is not asked after the earlier answers; it is not shown.",
    ),
    "duplicate_answer": ("“{item}”有两个回答，以第一个为准。", "“{item}” is answered twice; the first one counts."),
    "too_few_rows": ("“{label}”至少 {limit} 行。", "“{label}” needs at least {limit} rows."),
    "too_many_rows": ("“{label}”最多 {limit} 行。", "“{label}” may have at most {limit} rows."),
    "rows_not_numbered": ("“{label}”的行号应从 1 连续编号。", "The rows of “{label}” must be numbered 1, 2, 3, …"),
    "prices_missing": ("请填写费用（免费也要写 0.00）。", "Enter the charges (0.00 where the work is free)."),
    "prices_not_asked": ("此表单不含费用，请删除。", "This form carries no charges; remove them."),
    "too_many_lines": ("费用最多 {limit} 行。", "There may be at most {limit} price lines."),
    "bad_quantity": ("第 {line} 行数量无效。", "The quantity of line {line} is not a number above zero."),
    "wrong_amount": ("第 {line} 行金额应为 {amount} 分。", "The amount of line {line} must be {amount} fen."),
    "wrong_total": ("合计应为 {amount} 分。", "The total must be {amount} fen."),
    "amount_too_large": ("第 {line} 行金额过大。", "The amount of line {line} is too large."),
    "bad_currency": ("货币应为三个大写字母，如 CNY。", "The currency must be three capital letters such as CNY."),
    # Signing.
    "unknown_signer": ("模板中没有签字人“{role}”。", "The template has no signer “{role}”."),
    "already_signed": ("“{label}”已签过。", "“{label}” has signed already."),
    "not_your_turn": ("请先由“{label}”签字。", "“{label}” signs first."),
    "wrong_document": (
        "签的不是这份内容（sha256 不符）。请重新出示并重新签字。",
        "This signature binds another document (sha256 differs). Show the form again and sign again.",
    ),
    "method_not_allowed": ("“{label}”不能用这种方式签字。", "“{label}” may not sign in this way."),
    "name_missing": ("请填写签字人姓名。", "Enter the signer's name."),
    "reason_missing": ("拒签请写明原因。", "A refusal needs its reason."),
    "drawing_missing": ("没有笔迹，请重新签名。", "There is no drawing; sign again."),
    "drawing_too_large": ("笔迹数据过多，请重新签名。", "The drawing has too many points; sign again."),
    "image_missing": ("请拍下签字盖章的纸质件。", "Photograph the signed paper with its seal."),
    "assistant_missing": ("请填写协助签名的人。", "Enter who helped to sign."),
    "unprintable_text": (
        "签字人的文字中有无法打印的字符，请重新填写。",
        "What was written about the signer cannot be printed; write it again.",
    ),
    "phone_too_long": (
        "签字人电话最多 {limit} 个字符：只填一个号码，其余写在职务一栏。",
        "The signer's phone may have at most {limit} characters: one number only; write the rest under title.",
    ),
    "time_impossible": (
        "签字时间不可能，请校准手机时钟后重新签字。",
        "The time of signing is impossible; set the phone's clock and sign again.",
    ),
    "signed_before_shown": (
        "签字时间早于出示时间，请核对手机时钟。",
        "Signed before it was shown; check the phone's clock.",
    ),
    # A template.
    "bad_key": (
        "“{key}”不能作为键：用小写字母开头，最多 40 个小写字母、数字或下划线。",
        "“{key}” is no key: start with a small letter, then at most 40 small letters, digits or underscores.",
    ),
    "key_taken": ("键“{key}”用了两次。", "The key “{key}” is used twice."),
    "bad_version": ("版本号应从 1 起。", "Versions start at 1."),
    "empty_text": ("中文和英文都要填。", "Give both the Chinese and the English text."),
    "long_text": ("文字太长，最多 {limit} 个字。", "The text is too long, at most {limit} characters."),
    "empty_list": ("至少要有一项。", "There must be at least one."),
    "long_list": ("最多 {limit} 项。", "There may be at most {limit}."),
    "bad_range": ("下限和上限不合理。", "Minimum and maximum do not make a range."),
    "bad_decimal": ('界限应为十进制数字串,如 "0.5"。', 'Limits are decimal strings such as "0.5".'),
    "too_few_options": ("至少要有两个选项。", "There must be at least two options."),
    "bad_condition": (
        "条件应指向前面的可选项，且选项值存在。",
        "A condition must name an earlier item that offers these values, in this section or one that is not repeated.",
    ),
    "twice": ("“{kind}”在一个模板中只能有一个。", "A template may have only one “{kind}”."),
    "only_once_section": ("“{kind}”只能放在不重复的部分。", "“{kind}” belongs in a section that is not repeated."),
    "out_of_place": ("“{field}”在这里没有作用，请删除。", "“{field}” has no effect here; remove it."),
    "signer_order": ("现场签字人应排在事后签字人之前。", "Those who sign on site come before those who sign later."),
    "cannot_refuse": (
        "客户必须可以拒签（加上 refused），否则现场无法结束。",
        "A customer must be able to refuse (add refused), or the visit could never end.",
    ),
    "optional_star": ("★项必须是必填项。", "A ★ item must be required."),
}

TODO_CODES: Final = frozenset(_TODO)


def todo(code: str, label: Bilingual | None = None, facts: Mapping[str, str | int] | None = None) -> Bilingual:
    """What to do about the finding `code`, naming the item or section `label` in each language.

    Raises KeyError for a code without a sentence: a finding nobody can act on must not exist.
    """
    zh, en = _TODO[code]
    shown = label or Bilingual(zh="", en="")
    known = facts or {}
    return Bilingual(zh=zh.format(label=shown.zh, **known), en=en.format(label=shown.en, **known))
