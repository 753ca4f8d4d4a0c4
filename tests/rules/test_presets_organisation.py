"""Presets of the organisation: who may do what, who is told, who calls back, how work is scored, and what we write."""

import re
from datetime import time

import pytest

from backend.core.auth import LEVELS, REACHES
from backend.forms.template import HIGHEST, LOWEST, METHODS
from tests.presets_data import PRESET, Table, of

AREAS = {"case", "dispatch", "visit_form", "quote", "parts", "score", "admin"}
PLACEHOLDER = re.compile(r"\{(\w+)\}")


def grant(role: str, area: str) -> Table:
    """What a role may do in an area; nothing where it has no grant."""
    found = [one for one in of("role")[role]["grants"] if one["area"] == area]
    assert len(found) <= 1
    return {"actions": []} | found[0] if found else {"levels": [], "reach": None, "actions": []}


# --- roles -----------------------------------------------------------------------------------------------------------


def test_the_grid_uses_only_levels_and_reaches_that_sign_in_knows() -> None:
    for key, role in of("role").items():
        assert role["side"] in {"field", "office", "customer", "outside"}
        assert role["grants"], key
        for one in role["grants"]:
            assert one["area"] in AREAS, key
            assert set(one["levels"]) <= set(LEVELS), key
            assert one["reach"] in REACHES, key
            assert set(one.get("actions", [])) <= of("role_action").keys(), key
            assert one["levels"] or one["actions"], key


def test_whoever_changes_or_approves_may_also_read() -> None:
    for key, role in of("role").items():
        for one in role["grants"]:
            changing = {"write", "approve", "assist", "comment"} & set(one["levels"])
            assert not changing or one["area"] == "admin" or "read" in one["levels"], (key, one["area"])


@pytest.mark.rule("A253", "A254", "A255", "A256", "A266", "A267")
def test_every_role_of_the_documents_is_there() -> None:
    assert {
        "technician", "crew_leader", "install_dispatcher", "repair_dispatcher", "operator", "call_back", "parts_keeper",
        "expert", "head", "deputy_head", "vice_president", "sales_director", "committee", "data_analyst", "quality",
        "trainer", "information", "customer", "customer_leader", "maker", "case_monitor", "quoting", "returns", "admin",
    } <= of("role").keys()  # fmt: skip


@pytest.mark.rule("A060")
def test_a_technician_proposes_but_does_not_dispatch() -> None:
    assert grant("technician", "dispatch")["levels"] == ["propose"]
    assert "write" in grant("repair_dispatcher", "dispatch")["levels"]


@pytest.mark.rule("A052", "A053", "A054")
def test_the_two_dispatchers_have_queues_apart() -> None:
    roles = of("role")
    install, repair = set(roles["install_dispatcher"]["queues"]), set(roles["repair_dispatcher"]["queues"])
    assert install | repair <= of("work_order_queue").keys()
    assert not install & repair
    assert grant("repair_dispatcher", "dispatch")["reach"] == "kind"
    assert {queue["owner_role"] for queue in PRESET["work_order_queue"]} <= roles.keys()


@pytest.mark.rule("A270", "A271")
def test_field_staff_reach_no_further_than_their_work_and_the_administrator_sees_no_customers() -> None:
    assert {one["reach"] for one in of("role")["technician"]["grants"]} == {"own"}
    assert {one["reach"] for one in of("role")["crew_leader"]["grants"]} == {"crew"}
    assert [one["area"] for one in of("role")["admin"]["grants"]] == ["admin"]
    assert of("role")["admin"]["customer_content"] is False


@pytest.mark.rule("A170", "A111", "A241")
def test_the_monitor_reopens_the_head_approves_forms_and_the_vice_president_approves_scores() -> None:
    assert grant("case_monitor", "case")["actions"] == ["reopen"]
    assert "approve" in grant("head", "visit_form")["levels"]
    assert "approve" in grant("vice_president", "score")["levels"]


# --- escalation and notices ------------------------------------------------------------------------------------------


@pytest.mark.rule("A016", "A188", "A039", "A189", "A193")
def test_chains_climb_in_the_documents_order_and_leave_the_owner() -> None:
    chains = of("escalation_chain")
    assert chains["fault"]["steps"] == ["technician", "expert", "head", "vice_president"]
    assert chains["software"]["steps"] == ["crew_leader", "sales_director", "committee"]
    assert chains["serious"]["mode"] == "in_parallel"
    assert chains["no_responsible_person"]["steps"] == ["crew_leader"]
    assert all(set(chain["steps"]) <= of("role").keys() for chain in chains.values())
    assert all(chains[key]["owner_unchanged"] for key in ("fault", "software", "serious"))
    assert of("priority")["P1"]["escalation_chain"] in chains


def test_notices_go_to_known_roles_with_known_texts() -> None:
    for key, notice in of("notice_rule").items():
        assert set(notice["to"]) <= of("role").keys() | {"owner"}, key
        assert notice["text"] in of("text"), key
        assert {"on", "every", "before"} & notice.keys(), key


@pytest.mark.rule("A038", "A039", "A040", "A151", "A190", "A280")
def test_notices_come_at_the_times_the_rules_say() -> None:
    notices = of("notice_rule")
    assert (notices["unsolved_today"]["at"], notices["unsolved_today"]["to"]) == (time(18), ["sales_director"])
    assert notices["before_breach"]["at_percent"] == 80
    assert notices["maintenance_end"]["months_before"] == 3
    assert notices["complaint_trend"]["rising_months"] == 2
    assert notices["handover_join"]["months_before"] == 1


# --- call-backs ------------------------------------------------------------------------------------------------------


@pytest.mark.rule("A170", "A171", "A173", "A175", "A177")
def test_call_backs_come_within_their_days_and_never_from_the_technician() -> None:
    rules = of("call_back_rule")
    due = {key: rule["within_working_days"] for key, rule in rules.items() if "within_working_days" in rule}
    assert due == {"case_closed": 2, "new_installation": 1, "complaint_solved": 1}
    assert (rules["existing_customers"]["every"], rules["existing_customers"]["split_by"]) == ("quarter", "month")
    assert rules["monthly_evaluation"]["every"] == "month"
    for rule in rules.values():
        assert set(rule["caller_roles"]) <= of("role").keys() - {"technician"}
        assert rule["caller_never"] == "technician_of_the_case"
        assert set(rule["questions"]) <= of("call_back_question").keys()
        assert set(rule.get("work_order_kinds", [])) <= of("work_order_kind").keys()


@pytest.mark.rule("A012", "A233")
def test_an_unsolved_problem_reopens_the_case_and_proposes_a_score() -> None:
    questions = of("call_back_question")
    assert [key for key, question in questions.items() if question["no_reopens_case"]] == ["solved"]
    proposed = {question["no_proposes_score"] for question in questions.values() if "no_proposes_score" in question}
    assert proposed <= of("scoring_rule").keys()
    assert questions["solved"]["no_proposes_score"] == "complaint"


# --- scoring ---------------------------------------------------------------------------------------------------------


@pytest.mark.rule("A226", "A227", "A239")
def test_a_month_starts_at_a_hundred_and_is_scored_before_the_tenth() -> None:
    scheme = of("scoring_scheme")["monthly_points"]
    assert (scheme["base_points"], scheme["finished_before_day"]) == (100, 10)
    assert scheme["bonus_parts_fen"] == [20000, 20000]
    assert [key for key, one in of("scoring_scheme").items() if one["enabled"]] == ["monthly_points"]


@pytest.mark.rule("A228", "A229", "A230", "A231", "A232", "A233", "A234", "A235", "A236", "A237", "A238")
def test_points_are_those_of_the_documents() -> None:
    points = {key: (rule["points_min"], rule["points_max"]) for key, rule in of("scoring_rule").items()}
    assert points == {
        "image": (-2, -2),
        "slack": (-3, -3),
        "disobeying": (-3, -3),
        "no_cooperation": (-3, -3),
        "serious_mistake": (-10, -3),
        "repair_late": (-5, -2),
        "inspection_missing": (-3, -3),
        "complaint": (-5, -2),
        "project_manager": (-5, -2),
        "installation_quality": (-5, -2),
        "installation_late": (-2, -2),
        "rule_violation": (-3, -3),
        "contribution": (3, 10),
    }
    assert {key for key, rule in of("scoring_rule").items() if rule["per"] == "day"} == {"installation_late"}
    assert {rule["proposed_from"] for rule in PRESET["scoring_rule"]} == of("proposal_source").keys()


@pytest.mark.rule("A231", "A236")
def test_lateness_is_scored_only_where_it_was_ours() -> None:
    assert {key for key, rule in of("scoring_rule").items() if rule.get("only_side") == "us"} == {
        "repair_late",
        "installation_late",
    }


@pytest.mark.rule("A242", "A243", "A244", "A245")
def test_crew_awards_are_three_hundred_yuan_and_levies_are_off() -> None:
    awards = of("crew_award")
    assert [awards[key]["amount_fen"] for key in ("installation_excellent", "installation_failed")] == [30000, -30000]
    assert awards["installation_failed"]["flag_leader_after_in_a_row"] == 2
    levy = of("levy")["unanswered_phone"]
    assert (levy["amount_fen"], levy["enabled"], levy["export_only"]) == (5000, False, True)


# --- signing and satisfaction ----------------------------------------------------------------------------------------


@pytest.mark.rule("A102", "A105")
def test_signing_methods_and_the_scale_are_those_that_forms_know() -> None:
    assert list(of("signing_method")) == list(METHODS)
    assert [level["value"] for level in PRESET["satisfaction_level"]] == list(range(LOWEST, HIGHEST + 1))
    assert [level["satisfied"] for level in PRESET["satisfaction_level"]] == [False, False, False, True, True]
    assert of("refusal_reason")["price_disputed"]["opens"] == "quote_dispute"


# --- texts -----------------------------------------------------------------------------------------------------------


def test_both_languages_of_a_text_name_the_same_placeholders() -> None:
    for key, text in of("text").items():
        declared = set(text["placeholders"])
        assert set(PLACEHOLDER.findall(text["zh"])) == declared, key
        assert set(PLACEHOLDER.findall(text["en"])) == declared, key
        assert text["audience"] in {"customer", "staff"}
        assert set(text["channels"]) <= {"sms", "email", "app", "paper"}


@pytest.mark.rule("A020", "A072", "A074", "A082", "A186", "A275")
def test_customers_get_a_receipt_apologies_and_notices() -> None:
    texts = of("text")
    assert {"number", "respond_by"} <= set(texts["request_receipt"]["placeholders"])
    assert {"reason", "window"} <= set(texts["moved_by_us"]["placeholders"])
    assert {"reason", "arrival", "phone"} <= set(texts["running_late"]["placeholders"])
    assert {"follower", "promise"} <= set(texts["complaint_receipt"]["placeholders"])
    assert {"arrangement", "effect", "scope", "window"} <= set(texts["change_notice"]["placeholders"])
    apologies = [texts[key]["zh"] for key in ("moved_by_us", "running_late")]
    assert all("抱歉" in text for text in apologies)
