"""What people call the records and fields phones change, in both languages (docs/glossary.md)."""

from collections.abc import Mapping
from typing import Final

from sync.texts import Text

ENTITY_WORDS: Final[Mapping[str, Text]] = {
    "site": Text("现场", "Site"),
    "position": Text("点位", "Position"),
    "asset": Text("设备", "Asset"),
    "site_contact": Text("现场联系人", "Contact at a site"),
    "contact": Text("联系人", "Contact"),
    "contact_point": Text("联系方式", "Contact point"),
}
FIELD_WORDS: Final[Mapping[str, Text]] = {
    "access_notes": Text("进场须知", "Access notes"),
    "acceptance_on": Text("验收日期", "Acceptance date"),
    "address": Text("地址", "Address"),
    "asset_model_id": Text("型号", "Asset model"),
    "asset_type": Text("设备类型", "Asset type"),
    "connection": Text("连接方式", "Connection"),
    "consent": Text("同意依据", "Consent"),
    "consented_at": Text("同意时间", "Consented at"),
    "contact_id": Text("联系人", "Contact"),
    "description": Text("说明", "Description"),
    "function": Text("职能", "Function"),
    "kind": Text("类别", "Kind"),
    "language": Text("语言", "Language"),
    "lat": Text("纬度", "Latitude"),
    "lon": Text("经度", "Longitude"),
    "name": Text("名称", "Name"),
    "note": Text("备注", "Note"),
    "parent_id": Text("上级点位", "Position above"),
    "position_confidence": Text("定位可信度", "Confidence of the location"),
    "position_source": Text("定位来源", "Source of the location"),
    "primary": Text("首选联系人", "First to call"),
    "protocol": Text("通信协议", "Protocol"),
    "purchased_on": Text("购买日期", "Purchase date"),
    "quantity": Text("数量", "Quantity"),
    "serial": Text("序列号", "Serial number"),
    "software_version": Text("软件版本", "Software version"),
    "title": Text("职务", "Job title"),
}


def entity_words(entity: str) -> Text:
    """Return what a kind of record is called; one without a word is called by its name in the code."""
    return ENTITY_WORDS.get(entity, Text(entity, entity))


def field_words(name: str) -> Text:
    """Return what a field is called; one without a word is called by its name in the code."""
    return FIELD_WORDS.get(name, Text(name, name))
