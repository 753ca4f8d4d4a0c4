"""What the twin refuses, in both languages."""

from typing import Final

TEXTS: Final = {
    "no_technicians": (
        "没有技术员，无法模拟。请至少给出 1 名技术员。",
        "There are no technicians, so there is nothing to simulate. Give at least 1.",
    ),
    "no_shifts": (
        "没有班次落在所模拟的日期内。请检查排班。",
        "No shift lies within the days to simulate. Check the roster.",
    ),
    "no_calls": (
        "所模拟的日期内没有任何报修。请增加每日报修数或天数，或检查数据文件。",
        "There are no calls within the days to simulate. Raise the calls per day or the days, or check the data.",
    ),
    "out_of_range": (
        "{what} 为 {found}，须在 {least} 到 {most} 之间。请更正。",
        "{what} is {found}; it must lie between {least} and {most}. Correct it.",
    ),
    "bad_call": (
        "报修 {what}：地点、时间或工时不可用（{found}）。请更正该行。",
        "Call {what}: place, time or duration cannot be used ({found}). Correct it.",
    ),
    "unknown_skill": (
        "没有任何报修需要技能“{what}”。已知技能：{found}。",
        "No call asks for the skill '{what}'. Known skills: {found}.",
    ),
}


class TwinError(ValueError):
    """A world that cannot be simulated as given; `code` is stable, `zh` / `en` say what is wrong and what to do."""

    def __init__(self, code: str, **facts: object) -> None:
        """Build the error from its code and the facts in its sentence."""
        self.code = code
        zh, en = TEXTS[code]
        self.zh, self.en = zh.format(**facts), en.format(**facts)
        super().__init__(f"{self.zh} / {self.en}")


def within(what: str, found: float, least: float, most: float) -> None:
    """Raise `TwinError` 'out_of_range' unless ``least <= found <= most``; not-a-number is outside."""
    if not least <= found <= most:
        raise TwinError("out_of_range", what=what, found=found, least=least, most=most)
