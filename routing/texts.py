"""Every sentence of the planner, Chinese and English, made from a code and its facts, in one place."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

Language: TypeAlias = Literal["en", "zh"]
Facts: TypeAlias = dict[str, int | str | list[str]]
"""Named facts behind an error or a reason; sentences are made from them, in any language."""


class Text(NamedTuple):
    """One sentence in both languages, with facts in braces."""

    en: str
    zh: str


PROBLEM_TEXTS: Final[Mapping[str, Text]] = {
    "wrong_type": Text("{where}: {detail}. Correct the value.", "{where}：{detail}。请更正该值。"),
    "too_many": Text(
        "{where}: {found} given, {limit} is the most. Split the problem or leave some out.",
        "{where}：给出 {found} 个，上限为 {limit} 个。请拆分或减少。",
    ),
    "empty_id": Text("{where} has an empty id. Give it one.", "{where} 的编号为空。请填写编号。"),
    "duplicate_id": Text(
        "{where}: this id occurs more than once. Ids must be unique.", "{where}：编号重复。编号必须唯一。"
    ),
    "place_unknown": Text(
        "{where} names the place '{place}', which is not in the list. Add the place.",
        "{where} 引用的地点“{place}”不在地点表中。请补充该地点。",
    ),
    "place_without_coordinates": Text(
        "{where} has no coordinates, and travel is to be estimated from them. Pin it on the map or give a table.",
        "{where} 没有坐标，无法估算路程。请在地图上标注，或提供路程表。",
    ),
    "coordinates_out_of_range": Text(
        "{where}: latitude must be a number from -90 to 90 and longitude one from -180 to 180. Correct them.",
        "{where}：纬度须在 -90 到 90 之间，经度须在 -180 到 180 之间。请更正。",
    ),
    "travel_scale": Text(
        "{where}: overhead must be 0 to {limit} s and scale a number above 0, at most 100. Correct it.",
        "{where}：固定时间须为 0 到 {limit} 秒，系数须大于 0 且不超过 100。请更正。",
    ),
    "travel_shape": Text(
        "{where} must have {places} rows of {places} numbers, in the order of the places. Correct the table.",
        "{where} 须为 {places} 行、每行 {places} 个数，顺序与地点一致。请更正路程表。",
    ),
    "travel_value": Text(
        "{where}: every value must be 0 to {limit}, and 0 from a place to itself. Correct the table.",
        "{where}：数值须在 0 到 {limit} 之间，同一地点之间为 0。请更正路程表。",
    ),
    "time_out_of_range": Text(
        "{where} is {found} s; instants lie within {limit} s of the horizon start. Correct the time.",
        "{where} 为 {found} 秒；时刻须在计划起点前后 {limit} 秒以内。请更正时间。",
    ),
    "window_inverted": Text(
        "{where} ends ({end}) before it starts ({start}). Exchange or correct the two.",
        "{where} 的结束（{end}）早于开始（{start}）。请更正。",
    ),
    "shift_inverted": Text(
        "{where} must end after it starts (start {start}, end {end}). Correct the shift.",
        "{where} 的结束须晚于开始（开始 {start}，结束 {end}）。请更正班次。",
    ),
    "shift_outside_horizon": Text(
        "{where} must lie between 0 and {limit} s, overtime included. Cut it to what is still ahead.",
        "{where}（含加班）须在 0 到 {limit} 秒之间。请只保留尚未开始的部分。",
    ),
    "overtime_negative": Text(
        "{where}: overtime allowed is {found} s. Give 0 or more.", "{where}：允许加班为 {found} 秒。请填 0 或正数。"
    ),
    "shifts_overlap": Text(
        "{where}: {technician} is on the shift '{other}' at that time already (overtime included). Correct one.",
        "{where}：{technician} 在该时间已有班次“{other}”（含加班）。请更正其中之一。",
    ),
    "break_inverted": Text(
        "{where}: a break needs earliest <= latest and a duration above 0. Correct it.",
        "{where}：休息的最早时间不得晚于最迟时间，时长须大于 0。请更正。",
    ),
    "break_outside_shift": Text(
        "{where} does not fit into its shift. Move it inside, or leave out a break that is over.",
        "{where} 不在班次时间内。请移入班次，或去掉已过去的休息。",
    ),
    "breaks_overlap": Text(
        "{where} may begin before the break ahead of it has ended. List breaks in order and apart.",
        "{where} 可能在前一次休息结束前开始。请按先后排列并错开。",
    ),
    "duration_out_of_range": Text(
        "{where}: the duration is {found} s. Give 0 to {limit} s.", "{where}：时长为 {found} 秒。请填 0 到 {limit} 秒。"
    ),
    "crew_size": Text(
        "{where} needs {found} technicians. Give 1 to {limit}.",
        "{where} 需要 {found} 名技术员。请填 1 到 {limit}。",
    ),
    "crew_frozen": Text(
        "{where} needs several technicians and is frozen. Give each technician's part as a visit of its own.",
        "{where} 需多名技术员且已冻结。请将每名技术员的部分作为单独的上门。",
    ),
    "load_out_of_range": Text(
        "{where}: the load is {found}. Give 0 to {limit}.", "{where}：载量为 {found}。请填 0 到 {limit}。"
    ),
    "part_twice": Text(
        "{where} names a part twice. Name each part once, with its quantity.",
        "{where}：配件重复。每种配件只列一次并写明数量。",
    ),
    "zone_factor": Text(
        "{where}: a zone's factor must be a number above 0, at most 100. Correct it.",
        "{where}：区域系数须大于 0 且不超过 100。请更正。",
    ),
    "capacity_out_of_range": Text(
        "{where}: the van's capacity is {found}. Give 0 to {limit}, or none.",
        "{where}：车辆载量上限为 {found}。请填 0 到 {limit}，或不填。",
    ),
    "quantity_out_of_range": Text(
        "{where}: the quantity must be above 0 (in stock: 0 or more) and at most {limit}. Correct it.",
        "{where}：数量须大于 0（库存可为 0）且不超过 {limit}。请更正。",
    ),
    "follows_unknown": Text(
        "{where}: the visit '{visit}' it is to follow is not in the list. Add it, or remove the relation.",
        "{where}：要跟随的上门“{visit}”不在列表中。请补充或取消先后关系。",
    ),
    "follows_in_a_circle": Text(
        "{where}: going back from visit to visit leads to '{visit}' again. Break the circle.",
        "{where}：先后关系绕回到“{visit}”。请断开循环。",
    ),
    "follows_gap_impossible": Text(
        "{where}: the gap must be 0 or more and its most ({most}) no less than its least ({least}). Correct it.",
        "{where}：间隔须为 0 或正数，且最长（{most}）不得小于最短（{least}）。请更正。",
    ),
    "pace_hours": Text(
        "{where}: {found} hours given; 1 to {limit} are possible. Correct the list.",
        "{where}：给出 {found} 个小时，须为 1 到 {limit} 个。请更正。",
    ),
    "pace_out_of_range": Text(
        "{where}: every hour's pace lies between {least} and {limit} per mille. Correct it.",
        "{where}：每小时的速度须在千分之 {least} 到 {limit} 之间。请更正。",
    ),
    "most_changes_out_of_range": Text(
        "{where} is {found}. Give 0 to {limit}, or none.", "{where} 为 {found}。请填 0 到 {limit}，或不填。"
    ),
    "change_budget_too_small": Text(
        "{where}: after what has happened we found no plan with fewer than {needed} changed visits; {allowed} are"
        " allowed. Allow more.",
        "{where}：就目前情况，未找到改动少于 {needed} 次上门的计划；允许 {allowed} 次。请放宽限制。",
    ),
    "pin_empty": Text(
        "{where} names neither a shift nor a technician. Name one.", "{where} 未指定班次或技术员。请指定。"
    ),
    "pin_unknown_shift": Text(
        "{where}: there is no shift '{shift}'. Pin to a shift that is planned, or remove the pin.",
        "{where}：没有班次“{shift}”。请改为计划内的班次，或取消固定。",
    ),
    "pin_technician_mismatch": Text(
        "{where}: the shift '{shift}' is {worker}'s, not {technician}'s. Change the shift or the technician.",
        "{where}：班次“{shift}”属于 {worker}，而非 {technician}。请更改班次或技术员。",
    ),
    "pin_outside_shift": Text(
        "{where}: service at {start} s for {duration} s does not lie in the shift '{shift}' ({begin} to {end} s,"
        " overtime included). Change the time or the shift.",
        "{where}：{start} 秒开始、{duration} 秒的服务不在班次“{shift}”内"
        "（{begin} 至 {end} 秒，含加班）。请更改时间或班次。",
    ),
    "pin_without_skill": Text(
        "{where}: {worker} on the shift '{shift}' lacks the skills {skills}. Pin to somebody who has them.",
        "{where}：班次“{shift}”的 {worker} 缺少技能 {skills}。请固定给具备技能的人。",
    ),
    "pin_not_allowed": Text(
        "{where}: {worker} on the shift '{shift}' is excluded by the visit's list of people. Change one of the two.",
        "{where}：班次“{shift}”的 {worker} 不在该上门的允许名单内。请更改名单或固定。",
    ),
    "pin_outside_windows": Text(
        "{where}: the time pinned ({start} s) is outside the visit's own windows. Change the pin or the windows.",
        "{where}：固定的时间（{start} 秒）不在该上门的时间窗内。请更改固定或时间窗。",
    ),
    "frozen_without_previous": Text(
        "{where} is frozen but has no place in the plan in force on a shift that is planned. Unfreeze it.",
        "{where} 已冻结，但现行计划中没有其可用班次。请解除冻结。",
    ),
    "frozen_contradicts_pin": Text(
        "{where} is frozen on the shift '{shift}' and pinned elsewhere. Remove one of the two.",
        "{where} 冻结在班次“{shift}”，却固定在别处。请去掉其一。",
    ),
    "price_out_of_range": Text("{where} is {found}. Give 0 to {limit}.", "{where} 为 {found}。请填 0 到 {limit}。"),
    "stop_limit": Text(
        "{where}: give seconds or a number of solutions, above 0 and at most {limit}.",
        "{where}：请给出秒数或解的数量，大于 0 且不超过 {limit}。",
    ),
    "visit_unknown": Text(
        "{where}: there is no such visit in the problem. Add it first.", "{where}：没有该上门。请先加入。"
    ),
    "visit_planned": Text(
        "{where} already has its place in the plan. Take it out first.", "{where} 已在计划中。请先移出。"
    ),
    "plan_contradicts_problem": Text(
        "{where}: the plan does not belong to this problem ({detail}). Plan again.",
        "{where}：该计划与问题不符（{detail}）。请重新计划。",
    ),
    "request_unreadable": Text("{where}: {detail}. Send one line of JSON.", "{where}：{detail}。请发送一行 JSON。"),
    "request_too_large": Text(
        "{where}: the request is longer than {limit} bytes. Split the problem.",
        "{where}：请求超过 {limit} 字节。请拆分问题。",
    ),
    "out_of_memory": Text(
        "{where}: the planner met its memory limit of {limit} bytes. Split the problem or raise the limit.",
        "{where}：计划程序达到内存上限 {limit} 字节。请拆分问题或提高上限。",
    ),
    "plan_refused": Text(
        "{where}: the referee refused what was found ({detail}). Plan again with another seed, and report this.",
        "{where}：裁判程序否决了所得计划（{detail}）。请换一个种子重新计划，并报告此错误。",
    ),
}
"""Errors: what is wrong and what to do about it."""

REASON_TEXTS: Final[Mapping[str, Text]] = {
    "no_technicians": Text("Nobody works in the time planned.", "计划时段内无人上班。"),
    "no_skill": Text(
        "None of the {shifts} shifts has somebody with all skills needed: {skills}.",
        "{shifts} 个班次中没有人具备全部所需技能：{skills}。",
    ),
    "not_allowed": Text(
        "Everybody with the skills ({skilled} shifts) is excluded by the customer's or the office's list of people.",
        "具备技能的人员（{skilled} 个班次）均不在允许名单内。",
    ),
    "pinned_away": Text(
        "It is pinned to {pinned}, who has no shift in the plan that may take it.",
        "已固定给 {pinned}，但其在计划内没有可承担的班次。",
    ),
    "too_long": Text(
        "It takes {duration} on site; the longest shift that may take it is {longest}, overtime included.",
        "现场需 {duration}；可承担的最长班次（含加班）仅 {longest}。",
    ),
    "no_shift_in_window": Text(
        "None of the {candidates} shifts that may take it works when its service may start and still end in time.",
        "可承担的 {candidates} 个班次均不在允许上门的时间内，或无法按时结束。",
    ),
    "unreachable": Text(
        "Even as the only visit, none of the {candidates} shifts that may take it can reach it and be back in time.",
        "即使只安排这一次上门，可承担的 {candidates} 个班次也无法及时到达并返回。",
    ),
    "no_common_start": Text(
        "We found no time at which {needed} of the {able} technicians who may take it could start together.",
        "未找到可承担的 {able} 名技术员中 {needed} 名能同时开始的时间。",
    ),
    "no_room_after": Text(
        "We found no room for it after '{followed}', wherever we put that.",
        "无论“{followed}”排在何处，均未找到其后的空档。",
    ),
    "follows_unplanned": Text(
        "It may only follow '{followed}', which is not planned itself.",
        "只能在“{followed}”之后进行，而后者本身未排入计划。",
    ),
    "no_room": Text(
        "We found no room: {tried} insertions into {shifts} shifts were tried and all broke a rule of the day"
        " ({late_back} end too late, {window_missed} miss the window, {later_visit_missed} miss that of a later visit,"
        " {no_break} leave no time for a break, {van_full} do not fit into the van).",
        "未找到空档：在 {shifts} 个班次中尝试了 {tried} 种插入，均违反当日规则（{late_back} 种收工过晚，"
        "{window_missed} 种错过时间窗，{later_visit_missed} 种使后面的上门错过时间窗，{no_break} 种无休息时间，"
        "{van_full} 种超出车辆载量）。",
    ),
    "costs_more": Text(
        "We found room only where it costs the rest of the plan (driving, overtime, visits late) more than leaving it"
        " out does: {tried} insertions tried, of which the cheapest makes {made_late} other visits late.",
        "仅找到对整个计划的代价（行车、加班、晚到）高于不排的空档：尝试 {tried} 种插入，"
        "其中代价最低的使另外 {made_late} 次上门超时。",
    ),
    "not_settled": Text(
        "Room was found ({feasible} of {tried} insertions tried), but planning stopped before using it. Plan again.",
        "已找到空档（尝试 {tried} 种插入，其中 {feasible} 种可行），但计划提前停止。请重新计划。",
    ),
    "not_looked_at": Text(
        "No rule excludes it, but so many others had to be explained that time ran out before it was tried anywhere."
        " Look at its fixes, or plan again for longer or for fewer at once.",
        "没有规则排除它，但需说明的上门太多，时间用完前未能尝试任何位置。请查看其办法，或延长时间、分单位重排。",
    ),
    "no_turn": Text(
        "No rule excludes it, but planning stopped before it had its turn. Plan again, for longer or for fewer at"
        " once.",
        "没有规则排除它，但还没轮到它，计划就已停止。请重新计划，或延长时间、分单位重排。",
    ),
    "overdue": Text(
        "Its commitment ran out {overdue} before planning began; it is planned as soon as we found possible.",
        "其时限在计划开始前 {overdue}已过；已尽早安排。",
    ),
    "due_before_reachable": Text(
        "Nobody who may take it can be there before {earliest}; its commitment runs out at {due}.",
        "可承担的人员最早 {earliest} 到达；其时限为 {due}。",
    ),
    "no_earlier_room": Text(
        "We found no plan that arrives by {due} and is better as a whole: {tried} insertions tried,"
        " {feasible} possible by then but at a higher price.",
        "未找到在 {due} 前到达且整体更优的方案：尝试 {tried} 种插入，其中 {feasible} 种能按时但代价更高。",
    ),
    "no_earlier_as_bound": Text(
        "We found no plan that arrives by {due} and is better as a whole; it was moved together with what it is bound"
        " to: all its technicians, and the visits before and after it.",
        "未找到在 {due} 前到达且整体更优的方案；已连同与其关联的全部技术员及前后上门一起尝试移动。",
    ),
    "promise_before_reachable": Text(
        "Nobody who may take it can be there before {earliest}; its appointment ends at {due}.",
        "可承担的人员最早 {earliest} 到达；其约定时间到 {due} 为止。",
    ),
    "no_room_as_promised": Text(
        "We found no plan that arrives within its appointment, which ends at {due}, and is better as a whole: {tried}"
        " insertions tried, {feasible} possible by then but at a higher price.",
        "未找到在约定时间（到 {due} 为止）内到达且整体更优的方案：尝试 {tried} 种插入，其中 {feasible} 种能按时"
        "但代价更高。",
    ),
    "parts_missing": Text(
        "It needs {parts}: no van of somebody who may take it has all of it, and it is not at hand before their shifts"
        " are over.",
        "需要{parts}：可承担人员的车上均不齐备，且在其班次结束前不会到货。",
    ),
    "van_too_small": Text(
        "It needs room for {load}; the largest van of somebody who may take it has room for {largest}.",
        "需要载量 {load}；可承担人员中最大的车辆载量仅 {largest}。",
    ),
    "crew_too_small": Text(
        "It needs {needed} technicians at once; at no time when it may be done do more than {most} work who may take"
        " it.",
        "需要 {needed} 名技术员同时到场；在可上门的时间内，能承担的人员同时在班的最多 {most} 名。",
    ),
    "change_budget": Text(
        "We found room only by changing more visits of the plan in force than the {allowed} allowed: {tried} insertions"
        " tried, {over} of them change more.",
        "只有改动超过允许的 {allowed} 次现行上门才有空档：尝试 {tried} 种插入，其中 {over} 种超出限制。",
    ),
    "change_budget_in_time": Text(
        "We found no plan that arrives by {due} and changes no more visits of the plan in force than the {allowed}"
        " allowed: {tried} insertions tried, {over} of them possible by then but changing more.",
        "未找到在 {due} 前到达且改动不超过允许的 {allowed} 次现行上门的方案：尝试 {tried} 种插入，"
        "其中 {over} 种能按时但超出限制。",
    ),
    "late_even_so": Text(
        "It still comes after its commitment or its appointment with what gives way here; {tried} places were priced.",
        "即使如此放宽，仍晚于其时限或约定时间；共评估 {tried} 个位置。",
    ),
}
"""Why a visit is unplanned or late."""
SECONDS: Final = frozenset({"duration", "longest", "overdue", "earliest", "due"})
"""Facts of reasons in seconds: lengths, and moments since planning began. Who knows clocks gives words instead."""


FIX_TEXTS: Final[Mapping[str, Text]] = {
    "overtime": Text("{technician} works {minutes} min more overtime", "{technician} 多加班 {minutes} 分钟"),
    "shift_earlier": Text("{technician} begins {minutes} min earlier", "{technician} 提前 {minutes} 分钟上班"),
    "shift_added": Text(
        "{technician} works an additional shift from {opens} to {closes}",
        "{technician} 加一个班次（{opens} 至 {closes}）",
    ),
    "skill": Text("{technician} gets the skills it needs: {skills}", "{technician} 取得所需技能：{skills}"),
    "allowed": Text("the customer accepts {technician} at {visit}", "客户同意 {technician} 到 {visit} 上门"),
    "pin": Text("{visit} is unpinned and goes to {technician}", "取消 {visit} 的固定，改由 {technician} 上门"),
    "window": Text(
        "{visit} accepts a visit that begins between {opens} and {closes}",
        "{visit} 同意在 {opens} 至 {closes} 之间上门",
    ),
    "promise": Text(
        "the appointment at {visit} moves to {opens} – {closes}", "{visit} 的约定时间改为 {opens} 至 {closes}"
    ),
    "deadline": Text("the commitment to {visit} moves to {at}", "{visit} 的时限改为 {at}"),
    "earliest": Text("{visit} may begin from {at} on", "{visit} 可从 {at} 起上门"),
    "part_ready": Text("{parts} for {visit} is at hand by {at}", "{visit} 所需的{parts}在 {at} 前备齐"),
    "part_van": Text(
        "{technician}'s van gets {parts} from another or from stock", "从他车或仓库调{parts}给 {technician}"
    ),
    "van": Text("{technician} takes a van with room for {amount}", "{technician} 换用载量 {amount} 的车辆"),
    "changes": Text("up to {amount} visits of the plan in force may change", "允许改动现行计划中的 {amount} 次上门"),
}
"""What would have to give way for a visit to have a place."""


def _filled(text: Text, facts: Mapping[str, int | str | list[str]], language: Language) -> str:
    shown = {key: ", ".join(value) if isinstance(value, list) else value for key, value in facts.items()}
    return (text.en if language == "en" else text.zh).format_map(shown)


def problem_text(code: str, where: str, facts: Facts, language: Language) -> str:
    """Return what is wrong with the element `where`, and what to do, as one sentence or two."""
    return _filled(PROBLEM_TEXTS[code], {"where": where, **facts}, language)


def reason_text(code: str, facts: Facts, language: Language) -> str:
    """Return the sentence for a reason why a visit is unplanned or late; a number of seconds says that it is one."""
    unit = "s" if language == "en" else "秒"
    said = {key: f"{fact} {unit}" if key in SECONDS and isinstance(fact, int) else fact for key, fact in facts.items()}
    return _filled(REASON_TEXTS[code], said, language)
