"""The people of the tests: each has a name, a role and a place, so that a test reads like a day at work."""

from typing import Final

import msgspec

PASSWORD: Final = "cheng-nuo-48"


class Persona(msgspec.Struct, frozen=True):
    """Somebody who signs in. `unit` is `service` or `north`; `role` a key of backend/presets/roles.toml.

    `grant_unit` is where the role holds, `company` for both units.
    """

    name: str
    employee_number: str
    phone: str
    role: str
    unit: str = "service"
    grant_unit: str = ""
    language: str = "zh"
    skills: tuple[str, ...] = ()

    @property
    def email(self) -> str:
        """An address of e-mail made from the employee number."""
        return f"{self.employee_number.lower()}@paigong.example"


LI_WEI = Persona("李伟", "T001", "+8613800000001", "technician", skills=("cctv", "elevator"))
"""Technician of the service department, in crew 一组; may work on lifts."""
ZHOU_TAO = Persona("周涛", "T002", "+8613800000002", "technician", language="en", skills=("cctv", "network"))
"""Another technician of the same department, in no crew; reads English."""
WU_GANG = Persona("吴刚", "T003", "+8613800000003", "crew_leader", skills=("cctv",))
"""Leads crew 一组."""
SUN_LEI = Persona("孙磊", "N001", "+8613800000004", "technician", unit="north", skills=("cctv",))
"""Technician of the northern outlet."""
WANG_FANG = Persona("王芳", "D001", "+8613800000005", "repair_dispatcher")
"""Dispatcher of the service department."""
MA_CHAO = Persona("马超", "D002", "+8613800000006", "repair_dispatcher", unit="north")
"""Dispatcher of the northern outlet."""
HE_LI = Persona("何丽", "O001", "+8613800000007", "operator")
"""Operator on the telephone."""
CHEN_JING = Persona("陈静", "M001", "+8613800000008", "head", grant_unit="company")
"""Head of the department, over both units."""
LIN_LI = Persona("林立", "A001", "+8613800000009", "admin", grant_unit="company")
"""Administrator (管理员): sees people and roles, no customer content."""
TANG_MIN = Persona("唐敏", "Q001", "+8613800000010", "quality", grant_unit="company")
"""Quality specialist: reads, writes nothing."""
GAO_JIE = Persona("高洁", "P001", "+8613800000011", "case_monitor", grant_unit="company")
"""Case monitor: reads every Case and may reopen one."""
XU_HUI = Persona("徐慧", "S001", "+8613800000012", "quoting", grant_unit="company")
"""Sales (营销中心): quotes and makes service contracts."""

EVERYBODY: Final = (
    LI_WEI,
    ZHOU_TAO,
    WU_GANG,
    SUN_LEI,
    WANG_FANG,
    MA_CHAO,
    HE_LI,
    CHEN_JING,
    LIN_LI,
    TANG_MIN,
    GAO_JIE,
    XU_HUI,
)

CUSTOMER_CONTACT: Final = "赵敏"
"""Of the customer 云桥物业; signs forms."""
