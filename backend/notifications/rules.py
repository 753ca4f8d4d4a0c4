"""Filling in the texts customers and staff get. Pure."""

from collections.abc import Mapping

import msgspec

CHINESE = "zh"


class MessageText(msgspec.Struct, frozen=True):
    """A text of presets/texts.toml in both languages, with the names it needs filled in and the channels to try."""

    key: str
    zh: str
    en: str
    placeholders: tuple[str, ...]
    channels: tuple[str, ...]


def filled_in(message: MessageText, language: str, values: Mapping[str, str]) -> str:
    """Return the text in a language (Chinese for `zh`, else English); raises KeyError for a value left out."""
    text = message.zh if language == CHINESE else message.en
    return text.format_map({name: values[name] for name in message.placeholders})


def first_way(message: MessageText, addresses: Mapping[str, str | None]) -> tuple[str, str] | None:
    """Return the first of the text's channels there is an address for, as (channel, address); None without any."""
    return next(((channel, address) for channel in message.channels if (address := addresses.get(channel))), None)
