"""Forms from the phone to the sealed report: what is kept or set aside, who may read it, what the seal is worth."""

import asyncio
import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pypdf
import pytest
from cryptography import x509
from msgspec import structs
from sqlalchemy import select

from backend.attachments.places import FolderPlace
from backend.devices.models import QuarantinedMutation
from backend.forms.models import CompletionForm
from backend.forms.rules import FilledForm
from backend.forms.sealing import CERTIFICATE_FILE
from backend.forms.seals import SEAL_FOLDER
from backend.forms.shown import Customer, FormFacts, Organisation, Site, Worker
from backend.forms.signing import Signature
from backend.forms.template import Template
from backend.forms.verify import verify_sealed
from backend.jobs.models import JobNote, PartUse
from backend.people.models import Unit
from bench.acceptance.paperwork import fill, photo_png, sign
from sync.client.disk import Disk
from sync.client.phone import Line, Phone, enrol
from sync.client.transport import HttpTransport
from sync.protocol import EnrolRequest, Result
from sync.replica import Replica
from sync.work import command
from tests.cases import count
from tests.make import Desk, Office
from tests.personas import CHEN_JING, LI_WEI, LIN_LI, MA_CHAO, WANG_FANG, ZHOU_TAO, Persona
from tests.work import give, ok, opened, refused, walk

PHOTO = photo_png(Random(5))  # noqa: S311 - the same picture in every run
PHOTO_NAME = hashlib.sha256(PHOTO).hexdigest()


@dataclass
class Pocket:
    """李伟 on site with his phone: what he fills in, and how the server answers."""

    office: Office
    desk: Desk
    phone: Phone
    visit_id: str
    random: Random = field(default_factory=lambda: Random(7))  # noqa: S311 - the same answers in every run

    @property
    def order(self) -> dict[str, Any]:
        """The order of his visit, as his phone shows it."""
        visit = self.phone.replica.shown().get("visit", self.visit_id)
        assert visit is not None
        return dict(self.phone.replica.shown().get("work_order", visit["work_order_id"]) or {})

    def facts(self) -> FormFacts:
        """What stands around the answers, by the ids the phone knows."""
        shown, order = self.phone.replica.shown(), self.order
        site = shown.get("site", order["site_id"]) or {}
        customer = shown.get("customer", site["customer_id"]) or {}
        return FormFacts(
            number=self.phone.replica.next_number(), language="zh", zone=site["time_zone"],
            organisation=Organisation(name="云桥服务"), customer=Customer(name=customer["name"], id=customer["id"]),
            site=Site(name=site["name"], id=site["id"], address=site["address"]),
            technicians=(Worker(name=LI_WEI.name, number=LI_WEI.employee_number),),
            times=(("finished", self.office.now),), shown_at=self.office.now, order_number=order["number"],
        )  # fmt: skip

    def paper(
        self, *, key: str = "repair_confirmation", facts: Callable[[FormFacts], FormFacts] = lambda facts: facts,
        filled: Callable[[FilledForm], FilledForm] = lambda filled: filled, **args: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """A form filled in, shown and signed, as the arguments of `form.file`; `facts` and `filled` change it first."""
        versions = self.phone.replica.shown().all("checklist_template_version").values()
        version = max((one for one in versions if one["key"] == key), key=lambda one: one["version"])
        template = msgspec.convert(version["body"], Template)
        answers = filled(fill(template, [], PHOTO_NAME, now=self.office.now, random=self.random))
        document, signatures = sign(template, answers, facts(self.facts()), self.random)
        return {
            "id": str(uuid4()), "template_version_id": version["id"], "shown": document.decode(),
            "signatures": msgspec.to_builtins(signatures), "claimed_at": self.office.now.isoformat(), **args,
        }  # fmt: skip

    async def send(self, name: str, entity: str, row: str, args: dict[str, Any]) -> Result:
        """Do one thing on the phone, deliver it, and return how it ended."""
        item = self.phone.do(
            lambda replica: command(replica, name, entity, row, args, mutation_id=str(uuid4()), now=self.office.now)
        )
        await self.phone.contact()
        result = self.phone.replica.outbox.items[item.id].result
        assert result is not None
        return result

    async def file(self, args: dict[str, Any], visit_id: str = "") -> Result:
        """File a form on his visit, or on another."""
        return await self.send("form.file", "visit", visit_id or self.visit_id, args)


async def phone_of(office: Office, persona: Persona, folder: Path) -> tuple[Desk, Phone]:
    """Register a phone of somebody's own and sign in on it."""
    desk, signed_in = await office.sign_in_for_long(persona), await office.sign_in(persona)

    async def no_sleep(_: float) -> None:
        return

    async def sign_in_again() -> bool:
        signed_in.tokens = (await office.sign_in(persona, UUID(identity.device))).tokens
        return True

    transport = HttpTransport(office.client, lambda: signed_in.tokens["access_token"], lambda: office.now, lambda: 1.0)
    line = Line(transport, no_sleep, sign_in_again)
    code = ok(await desk.post(f"/people/{office.house.id_of(persona)}/enrolment-codes"), 201)["code"]
    key = base64.urlsafe_b64encode(bytes(32)).decode().rstrip("=")
    identity = await enrol(line, EnrolRequest(code, key, "phone", "test", 1))
    await sign_in_again()
    phone = Phone(
        Replica.fresh(identity), Disk(folder / f"{persona.employee_number}.db"), line, lambda: office.now, _id
    )
    return desk, phone


def _id() -> str:
    return str(uuid4())


async def on_site(office: Office, folder: Path, kind: str = "repair") -> Pocket:
    """李伟 has arrived at 云桥大厦, and the job is on his phone."""
    wang_fang = await office.sign_in_for_long(WANG_FANG)
    desk, phone = await phone_of(office, LI_WEI, folder)
    visit_id = await another_visit(office, wang_fang, desk, kind)
    await phone.contact()
    return Pocket(office, desk, phone, visit_id)


async def another_visit(office: Office, wang_fang: Desk, li_wei: Desk, kind: str = "repair") -> str:
    """One more visit that 李伟 has arrived at."""
    visit_id = (await opened(wang_fang, office, kind=kind))["visits"][0]["id"]
    await give(wang_fang, office, visit_id, LI_WEI)
    await walk(office, li_wei, visit_id, "arrive")
    return visit_id


async def sealed(office: Office, pocket: Pocket) -> str:
    """A form filed with its photos and sealed; return its id."""
    args = pocket.paper()
    assert (await pocket.file(args)).status == "applied"
    photo = await pocket.desk.ask("PUT", f"/blobs/{PHOTO_NAME}", content=PHOTO)
    assert photo.status_code in {200, 201}, photo.text
    await office.work()
    return args["id"]


def is_kept(result: Result, code: str, field_named: str = "") -> bool:
    """Set aside under this code, and both languages say that it is kept and what is wrong."""
    assert (str(result.status), result.code) == ("quarantined", code), result
    assert result.text is not None
    assert "保留给调度" in result.text.zh
    assert "kept for a dispatcher" in result.text.en
    assert field_named in result.text.zh
    assert field_named in result.text.en
    return True


# --- kept or set aside ------------------------------------------------------------------------------------------------


WRONG: dict[str, tuple[str, str, Callable[[Pocket], dict[str, Any]]]] = {
    "another order": ("form_of_other_work", "order_number", lambda pocket: pocket.paper(
        facts=lambda facts: structs.replace(facts, order_number="WO-999"))),
    "no order": ("form_of_other_work", "order_number", lambda pocket: pocket.paper(
        facts=lambda facts: structs.replace(facts, order_number=""))),
    "another site": ("form_of_other_work", "site.id", lambda pocket: pocket.paper(
        facts=lambda facts: structs.replace(facts, site=Site(name="云桥", id=str(pocket.office.house.north_site))))),
    "another customer": ("form_of_other_work", "customer.id", lambda pocket: pocket.paper(
        facts=lambda facts: structs.replace(
            facts, customer=Customer(name="云桥物业", id=str(pocket.office.house.north_customer))))),
    "a site that is none": ("form_of_other_work", "site.id", lambda pocket: pocket.paper(
        facts=lambda facts: structs.replace(facts, site=Site(name="云桥大厦", id="云桥大厦")))),
    "a form of other work": ("template_unfit", "", lambda pocket: pocket.paper(key="inspect_m")),
    "a template nobody has": ("template_unknown", "", lambda pocket: pocket.paper(template_version_id=str(uuid4()))),
    "another phone's number": ("form_number_foreign", "", lambda pocket: pocket.paper(
        facts=lambda facts: structs.replace(facts, number="ZZZZ-00001"))),
    "the same signer twice": ("signature_unfit", "signatures.customer", lambda pocket: _twice(pocket.paper())),
    "no signature": ("signer_missing", "signers.customer", lambda pocket: pocket.paper(signatures=[])),
    "an answer missing": ("form_incomplete", "answers", lambda pocket: pocket.paper(
        filled=lambda filled: structs.replace(filled, answers=filled.answers[1:]))),
    "a correction of nothing": ("form_not_corrected", "supersedes_id", lambda pocket: pocket.paper(
        supersedes_id=str(uuid4()))),
    "a correction only in words": ("form_not_corrected", "supersedes", lambda pocket: pocket.paper(
        facts=lambda facts: structs.replace(facts, supersedes="F-1"))),
    "a signature without a zone": ("unreadable_mutation", "", lambda pocket: _signed_at(
        pocket.paper(), "2026-03-02T09:00:00")),
    "the year one": ("shown_unreadable", "", lambda pocket: _in_the_year_one(pocket.paper())),
}  # fmt: skip


def _twice(args: dict[str, Any]) -> dict[str, Any]:
    return args | {"signatures": args["signatures"] * 2}


def _signed_at(args: dict[str, Any], at: str) -> dict[str, Any]:
    return args | {"signatures": [{**signature, "signed_at": at} for signature in args["signatures"]]}


def _in_the_year_one(args: dict[str, Any]) -> dict[str, Any]:
    west = args["shown"].replace('"zone":"Asia/Shanghai"', '"zone":"America/New_York"')
    return args | {"shown": west.replace('"at":"2026-03-02T', '"at":"0001-01-01T')}


async def test_a_signed_form_that_cannot_be_taken_is_kept_for_a_dispatcher(
    sqlite_office: Office, tmp_path: Path
) -> None:
    pocket = await on_site(sqlite_office, tmp_path)
    for name, (code, field_named, wrong) in WRONG.items():
        assert is_kept(await pocket.file(wrong(pocket)), code, field_named), name
    assert await count(sqlite_office, CompletionForm) == 0
    assert await count(sqlite_office, QuarantinedMutation) == len(WRONG)


@pytest.mark.rule("A109")
async def test_who_signs_before_their_turn_does_not_sign(sqlite_office: Office, tmp_path: Path) -> None:
    pocket = await on_site(sqlite_office, tmp_path, "maintain_h")
    args = pocket.paper(key="maintain_h")
    assert [one["role"] for one in args["signatures"]] == ["technician", "customer"]
    assert is_kept(
        await pocket.file(args | {"signatures": args["signatures"][::-1]}), "signature_unfit", "signatures.customer"
    )
    assert (await pocket.file(args)).status == "applied"


async def test_what_the_office_changed_meanwhile_refuses_no_signed_form(sqlite_office: Office, tmp_path: Path) -> None:
    """Site renamed and sold, customer merged into another: the phone that knew nothing of it was right when it was."""
    office = sqlite_office
    pocket = await on_site(office, tmp_path)
    before, sold, merged = pocket.paper(), pocket.paper(), pocket.paper()
    house, chen_jing = office.house, await office.sign_in_for_long(CHEN_JING)
    wang_fang = await office.sign_in_for_long(WANG_FANG)
    ok(await wang_fang.edit(f"/sites/{house.site}", {"name": "云桥新大厦"}))
    assert (await pocket.file(before)).status == "applied"
    async with office.database.read() as session:
        unit_id = str((await session.execute(select(Unit.id).where(Unit.id == house.service))).scalar_one())
    buyer = ok(await wang_fang.post("/customers", {"name": "新业主", "kind": "organisation", "unit_id": unit_id}), 201)
    ok(await chen_jing.edit(f"/sites/{house.site}", {"customer_id": buyer["id"]}))
    assert (await pocket.file(sold)).status == "applied"
    ok(await chen_jing.post(f"/customers/{house.customer}/merge", {"into_id": str(house.north_customer)}), 200)
    await office.work()
    assert (await pocket.file(merged)).status == "applied"


async def test_a_form_sent_again_is_the_same_form_and_another_under_its_id_is_told_so(
    office: Office, tmp_path: Path
) -> None:
    pocket = await on_site(office, tmp_path)
    elsewhere = await another_visit(office, await office.sign_in_for_long(WANG_FANG), pocket.desk)
    await pocket.phone.contact()
    args = pocket.paper()
    for _ in range(2):
        assert (await pocket.file(args)).status == "applied"
    forged = [{**signature, "name": "别人"} for signature in args["signatures"]]
    others = (
        args | {"signatures": forged},
        args | {"signatures": []},
        args | {"supersedes_id": args["id"]},
        args | {"template_version_id": pocket.paper(key="departure_kit")["template_version_id"]},
        args | {"shown": pocket.paper()["shown"]},
        pocket.paper() | {"shown": args["shown"], "signatures": args["signatures"]},
    )
    for other in others:
        assert is_kept(await pocket.file(other), "form_id_taken")
    assert is_kept(await pocket.file(args, elsewhere), "form_id_taken")
    kept = ok(await pocket.desk.get(f"/forms/{args['id']}"))
    assert [one["name"] for one in kept["signatures"]] == [one["name"] for one in args["signatures"]]
    assert await count(office, CompletionForm) == 1


@pytest.mark.rule("A103")
async def test_a_correction_names_one_form_of_the_same_visit_and_there_is_one(office: Office, tmp_path: Path) -> None:
    pocket = await on_site(office, tmp_path)
    elsewhere = await another_visit(office, await office.sign_in_for_long(WANG_FANG), pocket.desk)
    await pocket.phone.contact()
    first = pocket.paper()
    assert (await pocket.file(first)).status == "applied"
    number = msgspec.json.decode(first["shown"])["number"]

    def correction(shown: str = number) -> dict[str, Any]:
        return pocket.paper(facts=lambda facts: structs.replace(facts, supersedes=shown), supersedes_id=first["id"])

    assert is_kept(await pocket.file(correction("F-999")), "form_not_corrected", "supersedes")
    foreign = Pocket(office, pocket.desk, pocket.phone, elsewhere)
    of_elsewhere = foreign.paper(
        facts=lambda facts: structs.replace(facts, supersedes=number), supersedes_id=first["id"]
    )
    assert is_kept(await foreign.file(of_elsewhere), "form_not_corrected", "supersedes_id")
    assert ok(await pocket.desk.get(f"/forms/{first['id']}"))["superseded_by_id"] is None
    second = correction()
    assert (await pocket.file(second)).status == "applied"
    assert ok(await pocket.desk.get(f"/forms/{first['id']}"))["superseded_by_id"] == second["id"]
    assert is_kept(await pocket.file(correction()), "form_not_corrected", "supersedes_id")
    assert await count(office, CompletionForm) == 2


async def test_a_note_or_a_part_under_a_known_id_says_the_same_or_is_refused(
    sqlite_office: Office, tmp_path: Path
) -> None:
    pocket = await on_site(sqlite_office, tmp_path)
    note = {"id": str(uuid4()), "text": "门禁卡在前台", "visit_id": pocket.visit_id}
    order_id = pocket.order["id"]
    for _ in range(2):
        assert (await pocket.send("note.add", "work_order", order_id, note)).status == "applied"
    result = await pocket.send("note.add", "work_order", order_id, note | {"text": "另一句话"})
    assert (str(result.status), result.code) == ("rejected", "record_id_taken")
    assert await count(sqlite_office, JobNote) == 1
    wang_fang = await sqlite_office.sign_in_for_long(WANG_FANG)
    new_part = {"number": "F-1", "name_zh": "光模块", "name_en": "SFP"}
    part = ok(await wang_fang.post("/parts", new_part), 201)
    use = {"id": str(uuid4()), "part_id": part["id"], "quantity": 1}
    for _ in range(2):
        assert (await pocket.send("part.use", "visit", pocket.visit_id, use)).status == "applied"
    result = await pocket.send("part.use", "visit", pocket.visit_id, use | {"quantity": 2})
    assert (str(result.status), result.code) == ("rejected", "record_id_taken")
    assert await count(sqlite_office, PartUse) == 1


# --- the proof --------------------------------------------------------------------------------------------------------


@pytest.mark.rule("A102")
async def test_a_form_is_sealed_once_its_photos_are_here_in_the_organisations_name(
    office: Office, tmp_path: Path
) -> None:
    pocket = await on_site(office, tmp_path)
    args = pocket.paper()
    assert (await pocket.file(args)).status == "applied"
    await office.work()
    waiting = ok(await pocket.desk.get(f"/forms/{args['id']}"))
    assert (waiting["photos_expected"], waiting["photos_received"], waiting["reports"]) == (1, 0, [])
    refused(await pocket.desk.get(f"/forms/{args['id']}/report.pdf"), "not_found")
    refused(await office.client.get(f"/verify/{waiting['shown_sha256']}"), "not_found")
    assert (await pocket.desk.ask("PUT", f"/blobs/{PHOTO_NAME}", content=PHOTO)).is_success
    await office.work()
    form = ok(await pocket.desk.get(f"/forms/{args['id']}"))
    answer = await pocket.desk.get(f"/forms/{args['id']}/report.pdf")
    assert answer.headers["Content-Type"] == "application/pdf"
    assert answer.headers["ETag"] == f'"{form["reports"][0]["pdf_sha256"]}"'
    check = await asyncio.to_thread(verify_sealed, answer.content, now=office.now, expected_sha256=form["shown_sha256"])
    assert check.good
    assert check.shown.decode() == args["shown"]
    assert check.signatures == tuple(msgspec.convert(args["signatures"], list[Signature]))
    pem = (office.settings.data_dir / SEAL_FOLDER / CERTIFICATE_FILE).read_bytes()
    names = {one.value for one in x509.load_pem_x509_certificate(pem).subject}
    assert names == {"Company"}, "the root of the form's unit, not of the settings"
    assert check.location == "Company"
    ok(await office.client.get(f"/verify/{form['shown_sha256']}"))


async def test_without_a_public_address_the_report_says_its_code(sqlite_office: Office, tmp_path: Path) -> None:
    form_id = await sealed(sqlite_office, pocket := await on_site(sqlite_office, tmp_path))
    path = tmp_path / "report.pdf"
    path.write_bytes((await pocket.desk.get(f"/forms/{form_id}/report.pdf")).content)
    text = "".join("".join(page.extract_text().split()) for page in pypdf.PdfReader(path).pages)
    form = ok(await pocket.desk.get(f"/forms/{form_id}"))
    assert "核验码：" + form["shown_sha256"] in text.replace("\u200b", "")
    assert "扫码核验" not in text


async def test_damaged_bytes_are_neither_served_nor_vouched_for(office: Office, tmp_path: Path) -> None:
    form_id = await sealed(office, pocket := await on_site(office, tmp_path))
    form = ok(await pocket.desk.get(f"/forms/{form_id}"))
    verify, report = f"/verify/{form['shown_sha256']}", f"/forms/{form_id}/report.pdf"
    told = ok(await office.client.get(verify))
    assert told["state"] == "valid"
    assert told["sentence_en"].startswith("Signature valid; unchanged since 2026-03-02")
    path = FolderPlace(office.settings.blob_dir).path(form["reports"][0]["pdf_sha256"])
    whole = path.read_bytes()
    for damage in (whole[:-1], whole.replace(b"/Title", b"/Titel", 1), None):
        if damage is None:
            path.unlink()
        else:
            path.write_bytes(damage)
        answer = await pocket.desk.get(report)
        assert answer.status_code == 500
        assert refused(answer, "report_damaged")["todo"]
        assert "ETag" not in answer.headers
        told = ok(await office.client.get(verify))
        assert told["state"] == "invalid"
        assert "cannot be vouched for" in told["sentence_en"]
        assert "不能证明" in told["sentence_zh"]
    path.write_bytes(whole)
    assert (await pocket.desk.get(report)).content == whole
    assert ok(await office.client.get(verify))["state"] == "valid"


async def test_a_report_whose_seal_binds_another_document_is_not_vouched_for(
    sqlite_office: Office, tmp_path: Path
) -> None:
    """The bytes are as recorded, but somebody changed what the record says was signed."""
    form_id = await sealed(sqlite_office, pocket := await on_site(sqlite_office, tmp_path))
    form = ok(await pocket.desk.get(f"/forms/{form_id}"))
    assert ok(await sqlite_office.client.get(f"/verify/{form['shown_sha256']}"))["state"] == "valid"
    async with sqlite_office.database.write() as session:
        (await session.get_one(CompletionForm, UUID(form_id))).shown_sha256 = "ab" * 32
    told = ok(await sqlite_office.client.get(f"/verify/{'ab' * 32}"))
    assert told["state"] == "invalid"
    assert "not the one that was asked for" in told["sentence_en"]


@pytest.mark.rule("A253", "A254")
async def test_each_sees_the_forms_of_their_own_and_only_the_head_voids_one(office: Office, tmp_path: Path) -> None:
    form_id = await sealed(office, pocket := await on_site(office, tmp_path))
    desks = {one: await office.sign_in_for_long(one) for one in (ZHOU_TAO, WANG_FANG, MA_CHAO, CHEN_JING, LIN_LI)}
    path = f"/forms/{form_id}"
    visible = {LI_WEI: pocket.desk, WANG_FANG: desks[WANG_FANG], CHEN_JING: desks[CHEN_JING]}
    for desk in visible.values():
        (listed,) = ok(await desk.get("/forms"))["items"]
        assert (listed["id"], listed["sealed"], listed["template_key"]) == (form_id, True, "repair_confirmation")
        assert len(ok(await desk.get(f"/forms?subject_id={pocket.visit_id}"))["items"]) == 1
        assert ok(await desk.get(f"/forms?subject_id={uuid4()}"))["items"] == []
        assert ok(await desk.get(path))["id"] == form_id
        assert (await desk.get(f"{path}/report.pdf")).content.startswith(b"%PDF")
    for stranger in (ZHOU_TAO, MA_CHAO):
        assert ok(await desks[stranger].get("/forms"))["items"] == []
        refused(await desks[stranger].get(path), "not_found")
        refused(await desks[stranger].get(f"{path}/report.pdf"), "not_found")
    for address in ("/forms", path, f"{path}/report.pdf"):
        refused(await desks[LIN_LI].get(address), "forbidden")
        assert (await office.client.get(address)).status_code == 401
    for other in (pocket.desk, desks[WANG_FANG], desks[LIN_LI]):
        refused(await other.post(f"{path}/void", {"reason": "x"}), "forbidden")
    shown = ok(await pocket.desk.get(path))["shown_sha256"]
    assert ok(await desks[CHEN_JING].post(f"{path}/void", {"reason": "填错了工单"}))["voided_at"]
    refused(await desks[CHEN_JING].post(f"{path}/void", {"reason": "x"}), "already_voided")
    told = ok(await office.client.get(f"/verify/{shown}"))
    assert (told["state"], "voided or corrected" in told["sentence_en"]) == ("valid", True)
    assert set(told) == {"state", "sealed_at", "shown_sha256", "sentence_zh", "sentence_en"}, "and nothing else"
    assert (await pocket.desk.get(f"{path}/report.pdf")).status_code == 200, "it stays, with its seal"
