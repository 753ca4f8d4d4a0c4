"""The presets an organisation starts from: complete, in both languages, true to the rules they cite, and consistent."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import date, time, timedelta
from pathlib import Path

import msgspec
import pytest

from backend.forms.authoring import validate_template
from backend.forms.template import Template
from tests.presets_data import FORM_FILES, FORMS, PRESET, PRESETS, SETS, Table, of, read, tables

CJK = re.compile(r"[\u4e00-\u9fff]")
CHINESE_WRITING = re.compile(r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]")
RULE = re.compile(r"A(\d{3})")
LAST_RULE = 289
KEY = re.compile(r"[a-z][a-z0-9_]{0,39}|P[1-4]")
ENTRIES = [(kind, entry) for kind, entries in PRESET.items() for entry in entries]


def clocks(policy: str) -> dict[str, Table]:
    """The clocks of a policy by kind."""
    return {clock["kind"]: clock for clock in of("clock_policy")[policy]["clock"]}


def text_pairs(value: object) -> Iterator[tuple[str, object, object]]:
    """(name, Chinese, English) of every text; a missing half is None."""
    for table in tables(value):
        names = {name[:-2] for name in table if name in {"zh", "en"} or name.endswith(("_zh", "_en"))}
        for name in names:
            yield name, table.get(f"{name}zh"), table.get(f"{name}en")


# --- every file ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*SETS, *FORM_FILES, PRESETS / "demo.toml"], ids=lambda path: path.stem)
def test_every_text_is_written_in_chinese_and_in_english(path: Path) -> None:
    pairs = list(text_pairs(read(path)))
    assert pairs
    for name, zh, en in pairs:
        assert isinstance(zh, str), f"{name}zh beside {en!r}"
        assert isinstance(en, str), f"{name}en beside {zh!r}"
        assert CJK.search(zh), f"not Chinese: {zh!r}"
        assert re.search("[A-Za-z]", en), f"empty: {en!r}"
        assert not CHINESE_WRITING.search(en), f"not English: {en!r}"
        assert zh == zh.strip()
        assert en == en.strip()


def test_every_entry_has_a_stable_key_and_a_version() -> None:
    for kind, entry in ENTRIES:
        assert KEY.fullmatch(entry["key"]), (kind, entry["key"])
        assert entry["version"] == 1, (kind, entry["key"])
        assert {"zh", "en"} <= entry.keys(), (kind, entry["key"])
    assert max(len(kind) for kind in PRESET) <= 40


def test_keys_are_unique_within_their_kind() -> None:
    kinds = [kind for path in SETS for kind in read(path)]
    assert len(kinds) == len(set(kinds))
    twice = [name for name, times in Counter((kind, entry["key"]) for kind, entry in ENTRIES).items() if times > 1]
    assert twice == []


def test_every_entry_cites_its_rules_or_says_that_it_is_ours() -> None:
    for kind, entry in ENTRIES:
        assert entry.get("rests_on") or entry.get("ours") is True, (kind, entry["key"])


def test_cited_rules_exist() -> None:
    cited = {rule for _, entry in ENTRIES for table in tables(entry) for rule in table.get("rests_on", [])}
    cited |= {rule for form in FORMS.values() for table in tables(form) for rule in table.get("sources", [])}
    numbers = {int(match[1]) if (match := RULE.fullmatch(rule)) else 0 for rule in cited}
    assert len(numbers) > 100
    assert min(numbers) >= 1
    assert max(numbers) <= LAST_RULE


# --- time commitments ------------------------------------------------------------------------------------------------


@pytest.mark.rule("A029", "A030", "A031")
def test_the_default_policy_is_two_twenty_four_forty_eight_hours() -> None:
    assert [key for key, policy in of("clock_policy").items() if policy["default"]] == ["std"]
    std = clocks("std")
    assert [std[kind]["minutes"] for kind in ("respond", "answer", "arrive")] == [2 * 60, 24 * 60, 48 * 60]


@pytest.mark.rule("A032", "A033")
def test_the_fast_policy_responds_within_one_hour() -> None:
    assert clocks("fast")["respond"]["minutes"] == 60
    assert clocks("fast")["answer"]["minutes"] == 24 * 60


@pytest.mark.rule("A036")
def test_the_same_day_policy_arrives_on_the_day_of_the_report() -> None:
    assert clocks("same_day")["arrive"]["rule"] == "end_of_reporting_day"


@pytest.mark.rule("A034", "A035")
def test_the_desk_responds_within_a_day_and_to_emergencies_within_two_hours() -> None:
    respond = clocks("desk")["respond"]
    assert respond["minutes"] == 24 * 60
    assert respond["override"] == [{"priority": "P1", "minutes": 120, "hours": "calendar", "rests_on": ["A035"]}]
    assert of("priority")["P1"]["respond_minutes"] == 120


@pytest.mark.rule("A047")
def test_an_enquiry_is_answered_the_same_day_and_then_daily() -> None:
    respond = clocks("enquiry")["respond"]
    assert (respond["rule"], respond["then_every"]) == ("end_of_reporting_day", "day")


@pytest.mark.rule("A280", "A281")
def test_hand_over_begins_a_month_before_and_ends_two_weeks_after() -> None:
    handover = clocks("handover")
    assert (handover["respond"]["rule"], handover["respond"]["months"]) == ("before_acceptance", 1)
    assert (handover["solve"]["rule"], handover["solve"]["days"]) == ("after_acceptance", 14)


@pytest.mark.rule("A037", "A038", "A104")
def test_a_fault_is_solved_on_the_day_of_arrival_or_else_as_promised() -> None:
    for policy in ("std", "fast", "same_day"):
        solve = clocks(policy)["solve"]
        assert (solve["rule"], solve["or_else"]) == ("end_of_arrival_day", "promise")
        assert solve["stop_event"] == "customer_confirmed"


def test_every_clock_has_one_limit_known_words_and_calendar_hours_for_emergencies() -> None:
    for key, policy in of("clock_policy").items():
        assert policy["warn_percent"] == [50, 80]
        assert policy["calendar"] in of("working_calendar")
        assert policy.get("appointment_rule", "std") in of("appointment_rule")
        for kind, clock in clocks(key).items():
            assert ("minutes" in clock) != ("rule" in clock), (key, kind)
            assert clock["hours"] in {"calendar", "service"}
            assert clock.get("rule", "promise") in of("clock_rule")
            assert clock["stop_event"] in of("clock_stop_event")
            assert clock.get("also_stored", "case_opened") in of("clock_stop_event")
            assert kind != "arrive" or clock["hours"] == "calendar"
            overrides = clock.get("override", [])
            assert all(change["priority"] == "P1" and change["hours"] == "calendar" for change in overrides)
            assert bool(overrides) == (clock["hours"] == "service"), (key, kind)


@pytest.mark.rule("A069", "A070")
def test_arriving_five_to_ten_minutes_early_and_leaving_decided_an_hour_ahead() -> None:
    rule = of("appointment_rule")["std"]
    assert rule["arrive_early_minutes"] == [5, 10]
    assert (rule["depart_lead_minutes"], rule["depart_lead_mode"]) == (60, "decide_ahead")


@pytest.mark.rule("A036", "A058", "A072")
def test_only_the_customer_can_move_the_deadline() -> None:
    rule = of("appointment_rule")["std"]
    assert rule["moved_by_customer"] == "promise_replaces_policy"
    assert rule["moved_by_us"] == "both_count"


# --- calendars -------------------------------------------------------------------------------------------------------


@pytest.mark.rule("A043")
def test_the_service_phone_is_staffed_from_nine_to_ten_every_day() -> None:
    calendar = of("working_calendar")["cn"]
    assert (calendar["service_opens"], calendar["service_closes"]) == (time(9), time(22))
    assert calendar["service_weekdays"] == [1, 2, 3, 4, 5, 6, 7]
    assert calendar["follows"] == list(of("public_holidays"))


@pytest.mark.rule("A046")
@pytest.mark.parametrize("key", ["cn_2026", "cn_2027"])
def test_holidays_hold_the_thirteen_statutory_days_and_make_up_days_are_weekend_days(key: str) -> None:
    year = of("public_holidays")[key]
    days = [day["date"] for day in year["holidays"]]
    makeups = [day["date"] for day in year["makeup_workdays"]]
    assert days == sorted(set(days))
    assert {day.year for day in days + makeups} == {year["year"]}
    assert sum(day["statutory"] for day in year["holidays"]) == 13
    assert not set(days) & set(makeups)
    assert all(day.isoweekday() >= 6 for day in makeups)


def test_the_published_year_has_248_working_days_and_the_coming_one_is_marked_provisional() -> None:
    years = of("public_holidays")
    assert not years["cn_2026"]["provisional"]
    assert years["cn_2027"]["provisional"]
    assert years["cn_2027"]["makeup_workdays"] == []
    assert all(day["statutory"] for day in years["cn_2027"]["holidays"])
    closed = {day["date"] for day in years["cn_2026"]["holidays"]}
    opened = {day["date"] for day in years["cn_2026"]["makeup_workdays"]}
    whole_year = [date(2026, 1, 1) + timedelta(days=number) for number in range(365)]
    working = [day for day in whole_year if day in opened or (day.isoweekday() <= 5 and day not in closed)]
    assert len(working) == 248


# --- work orders, causes, reasons ------------------------------------------------------------------------------------


def test_work_order_kinds_refer_to_forms_queues_policies_and_roles_that_exist() -> None:
    for key, kind in of("work_order_kind").items():
        used = [form for step in ("before", "on_site", "after") for form in kind["forms"][step]]
        used += [form for other in kind.get("forms_for", []) for form in other["on_site"]]
        assert set(used) <= FORMS.keys(), key
        assert kind["queue"] in of("work_order_queue")
        assert kind.get("clock_policy", "std") in of("clock_policy")
        assert kind["needs_approval"] == ("approved_by" in kind)
        assert kind.get("approved_by", "head") in of("role")
        assert kind.get("notice_text", "change_notice") in of("text")
        assert 15 <= kind["duration_minutes"] <= 480
        asset_types = {name for other in kind.get("forms_for", []) for name in other["asset_types"]}
        assert asset_types <= of("asset_type").keys()
        assert all(FORMS[form]["gate"] == "depart" for form in kind["forms"]["before"])


def test_every_form_has_its_use() -> None:
    kinds = PRESET["work_order_kind"]
    used = {form for kind in kinds for step in kind["forms"].values() for form in step}
    used |= {form for kind in kinds for other in kind.get("forms_for", []) for form in other["on_site"]}
    used |= {reason["form"] for reason in PRESET["visit_reason"] if "form" in reason}
    assert used == FORMS.keys()


@pytest.mark.rule("A146")
def test_inspections_maintenance_and_tours_are_active_what_was_asked_for_is_passive() -> None:
    active = {key for key, kind in of("work_order_kind").items() if kind["origin"] == "active"}
    assert active == {"inspect_m", "inspect_q", "maintain_h", "tour"}


@pytest.mark.rule("A130", "A133", "A135", "A138")
def test_care_comes_monthly_quarterly_and_half_yearly_and_counts_separately() -> None:
    periodic = {key: kind for key, kind in of("work_order_kind").items() if "recurrence" in kind}
    assert {key: kind["recurrence"] for key, kind in periodic.items()} == {
        "inspect_m": "FREQ=MONTHLY",
        "inspect_q": "FREQ=MONTHLY;INTERVAL=3",
        "maintain_h": "FREQ=MONTHLY;INTERVAL=6",
    }
    assert all(kind["satisfies"] == [] for kind in periodic.values())


@pytest.mark.rule("A055")
def test_installation_work_is_approved_by_the_head_before_dispatch() -> None:
    approved = {key for key, kind in of("work_order_kind").items() if kind["needs_approval"]}
    assert approved == {"install", "commission"}


@pytest.mark.rule("A148", "A149", "A150")
def test_the_cause_decides_the_fee_before_the_date_does() -> None:
    causes = of("cause")
    for cause in causes.values():
        assert {cause["in_warranty"], cause["out_of_warranty"]} <= of("fee_decision").keys()
        assert cause["out_of_warranty"] != "free"
    assert [causes[key]["in_warranty"] for key in ("manufacture", "assembly", "material")] == ["free"] * 3
    assert causes["misuse"]["in_warranty"] == "quote"
    assert [key for key, cause in causes.items() if cause["in_warranty"] == "quote"] == ["misuse"]
    assert of("fee_decision")["quote"]["needs_acceptance"]


def test_quotes_move_only_between_known_states() -> None:
    states = of("quote_state")
    assert all(set(state["next"]) <= states.keys() for state in states.values())
    assert states["disputed"]["goes_to_role"] in of("role")
    assert list(of("quote_line")) == ["parts", "travel", "labour"]


def test_resolutions_name_known_needs_and_only_unsolved_ones_stay_open() -> None:
    for key, resolution in of("resolution").items():
        assert set(resolution["needs"]) <= of("resolution_need").keys(), key
        assert resolution["closes"] or not resolution["solved"], key
    needed = {need for resolution in PRESET["resolution"] for need in resolution["needs"]}
    assert needed == of("resolution_need").keys()
    staying_open = {key for key, resolution in of("resolution").items() if not resolution["closes"]}
    assert staying_open == {"pulled_in", "workaround"}


def test_visit_reasons_name_known_needs_and_the_clock_follows_the_side() -> None:
    for key, reason in of("visit_reason").items():
        assert {"note", "next_step"} <= set(reason["needs"]) <= of("visit_need").keys(), key
        assert reason["side"] in {"customer", "us", "policy"}
        assert (reason["side"] == "policy") == ("side_rule" in reason), key
        assert reason.get("side_rule", "nobody") in of("visit_side_rule")
        expected = {"customer": {"pauses"}, "us": {"runs"}, "policy": {"pauses", "runs"}}[reason["side"]]
        assert reason["solve_clock"] in expected, key
        assert reason.get("escalation_chain", "fault") in of("escalation_chain")


@pytest.mark.rule("A074", "A075")
def test_only_reasons_met_away_from_the_right_site_leave_the_arrive_clock_running() -> None:
    running = {key for key, reason in of("visit_reason").items() if not reason["stops_arrive"]}
    assert running == {"wrong_address", "late", "weather"}


@pytest.mark.rule("A082")
def test_nobody_there_needs_the_photographed_note_slip_and_a_call() -> None:
    assert {"note_slip_photo", "call"} <= set(of("visit_reason")["no_one"]["needs"])


def test_asset_types_need_known_skills_and_belong_to_known_systems() -> None:
    for asset_type in PRESET["asset_type"]:
        assert set(asset_type["skills"]) <= of("skill").keys()
        assert asset_type["system"] in of("system_type")
    assert {asset_type["system"] for asset_type in PRESET["asset_type"]} == of("system_type").keys()


@pytest.mark.rule("A209")
def test_skills_that_need_a_certificate_name_it() -> None:
    for key, skill in of("skill").items():
        assert skill["certificate"] == ("certificate_zh" in skill), key
    assert of("skill")["elevator"]["certificate"]


# --- forms -----------------------------------------------------------------------------------------------------------


def items(form: str) -> dict[str, Table]:
    return {item["key"]: item for section in FORMS[form]["sections"] for item in section["items"]}


@pytest.mark.parametrize("path", FORM_FILES, ids=lambda path: path.stem)
def test_every_form_is_a_template_its_author_has_nothing_to_correct_in(path: Path) -> None:
    template = msgspec.toml.decode(path.read_bytes(), type=Template)
    assert validate_template(template) == []
    assert (template.key, template.version) == (path.stem, 1)


def test_forms_name_asset_types_and_roles_that_exist() -> None:
    for key, form in FORMS.items():
        asset_types = {name for section in form["sections"] for name in section.get("asset_types", [])}
        assert asset_types <= of("asset_type").keys(), key
        people = {party["role"] for party in form.get("signers", []) + form.get("deliver_to", [])}
        assert people <= of("role").keys(), key


@pytest.mark.rule("A081")
def test_nobody_departs_without_the_floor_cloth() -> None:
    kit = items("departure_kit")
    assert [key for key, item in kit.items() if item.get("blocking")] == ["floor_cloth"]
    assert {"tools", "parts", "receipts", "price_list", "note_slips", "work_card"} <= kit.keys()


@pytest.mark.rule("A075", "A076", "A084", "A097")
def test_the_call_before_leaving_confirms_facts_fee_place_and_access() -> None:
    expected = {"address", "model", "symptom", "warranty_told", "price_told", "place_of_repair", "access_rules"}
    assert expected <= items("departure_call").keys()


@pytest.mark.rule("A132", "A116", "A108")
def test_the_monthly_sheet_asks_for_functions_effect_and_hazards_and_the_customer_signs() -> None:
    assert {"functions", "effect", "hazards", "layout_posted", "rules_posted"} <= items("inspect_m").keys()
    assert [signer["role"] for signer in FORMS["inspect_m"]["signers"]] == ["customer"]


@pytest.mark.rule("A135", "A109", "A136")
def test_the_quarterly_sheet_holds_the_monthly_items_and_both_sides_sign_in_order() -> None:
    monthly = {key for key in items("inspect_m") if key != "customer_opinion"}
    assert monthly <= items("inspect_q").keys()
    assert [signer["role"] for signer in FORMS["inspect_q"]["signers"]] == ["customer_leader", "head"]
    assert [party["role"] for party in FORMS["inspect_q"]["deliver_to"]] == ["customer_leader", "vice_president"]


@pytest.mark.rule("A134", "A275")
def test_half_yearly_care_of_cameras_has_the_five_named_items_and_tells_of_upgrades() -> None:
    care = items("maintain_h_camera")
    assert {"dome", "lens", "aim", "device_clean", "camera_upgrade"} <= care.keys()
    assert care["camera_notice_given"]["only_if"] == {"item": "camera_upgrade", "values": ["upgraded"]}
    assert [signer["role"] for signer in FORMS["maintain_h_camera"]["signers"]] == ["technician", "customer"]


@pytest.mark.rule("A085", "A087", "A089", "A090", "A102", "A104", "A105")
def test_the_repair_confirmation_asks_what_the_rules_ask() -> None:
    asked = items("repair_confirmation")
    wanted = {"symptom", "diagnosis", "consent_by", "steps", "old_part_to", "verified", "retested", "effect"}
    assert wanted <= asked.keys()
    assert {asked["solved"]["kind"], asked["satisfaction"]["kind"]} == {"solved", "satisfaction"}
    assert [option["key"] for option in asked["cause"]["options"]] == list(of("cause"))
    assert FORMS["repair_confirmation"]["prices"] == "optional"


@pytest.mark.rule("A103", "A111")
def test_the_head_reviews_the_opinion_sheet_within_three_working_days() -> None:
    customer, head = FORMS["repair_opinion"]["signers"]
    assert customer["role"] == "customer"
    assert (head["role"], head["when"], head["within_working_days"]) == ("head", "later", 3)
    assert of("notice_rule")["opinion_review"]["within_working_days"] == 3


@pytest.mark.rule("A110", "A164")
def test_the_quality_feedback_is_signed_by_customer_returns_production_and_quality() -> None:
    signers = FORMS["quality_feedback"]["signers"]
    assert [signer["role"] for signer in signers] == ["customer", "returns", "production", "quality"]
    assert {"returned_quantity", "returned_size", "purchased_on"} <= items("quality_feedback").keys()


@pytest.mark.rule("A117", "A152", "A272", "A283", "A284")
def test_hand_over_lists_drawings_boundaries_contacts_and_left_over_problems() -> None:
    left_over = next(section for section in FORMS["handover"]["sections"] if section["key"] == "left_over")
    assert left_over["opens_order"]
    drawings = {"schematic", "wiring", "layout", "pipes", "splices"}
    boundary = {"external_boundary", "internal_boundary", "after_maintenance"}
    further = {"accounts_changed", "faq", "contact_phone"}
    assert drawings | boundary | further <= items("handover").keys()
    assert {signer["side"] for signer in FORMS["handover"]["signers"]} == {"customer", "us"}
