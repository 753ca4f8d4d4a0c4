"""The organisation's key is made once and kept secret; its seal covers the whole file at the time given."""

import io
import multiprocessing
import stat
import threading
from datetime import timedelta
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pypdf
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from pyhanko.pdf_utils.reader import PdfFileReader

from backend.core.errors import Problem
from backend.forms.report import render_report
from backend.forms.sealing import (
    CERTIFICATE_FILE,
    FIELD,
    KEY_FILE,
    VALID_FOR,
    SealKey,
    load_seal_key,
    new_seal_key,
    read_seal_key,
    seal,
)
from backend.forms.verify import verify_sealed
from tests.forms.samples import NOW, shown, signatures

ORGANISATION = "安和智能系统服务有限公司"
KEY = read_seal_key(new_seal_key(ORGANISATION, now=NOW))
REPORT = render_report(shown(), signatures(shown()), verify_reference="D7-000123", now=NOW)


def sealed(pdf: bytes = REPORT, key: SealKey = KEY) -> bytes:
    return seal(pdf, key, reason="服务报告 D7-000123", location="上海", now=NOW)


def test_the_key_is_made_on_first_use_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "seal"
    first = load_seal_key(folder, ORGANISATION, now=NOW)
    again = load_seal_key(folder, "另一家公司", now=NOW + timedelta(days=365))
    assert again.certificate_sha256 == first.certificate_sha256
    assert sorted(path.name for path in folder.iterdir()) == sorted([KEY_FILE, CERTIFICATE_FILE])
    assert stat.S_IMODE((folder / KEY_FILE).stat().st_mode) == 0o600
    assert (folder / CERTIFICATE_FILE).read_bytes() == first.certificate_pem
    assert b"PRIVATE" not in first.certificate_pem


def test_the_certificate_says_whose_seal_it_is_and_what_for() -> None:
    certificate = KEY.certificate
    assert certificate.subject.rfc4514_string() == f"CN={ORGANISATION},O={ORGANISATION}"
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert usage.value.content_commitment
    assert not usage.value.key_cert_sign
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.not_valid_before_utc < NOW < certificate.not_valid_after_utc


def test_a_long_name_fits_the_certificate() -> None:
    key = read_seal_key(new_seal_key("某" * 200, now=NOW))
    assert key.certificate.subject.rfc4514_string() == f"CN={'某' * 21},O={'某' * 21}"


def test_a_passphrase_protects_the_key(tmp_path: Path) -> None:
    kept = load_seal_key(tmp_path, ORGANISATION, now=NOW, passphrase=b"cheng-nuo")
    again = load_seal_key(tmp_path, ORGANISATION, now=NOW, passphrase=b"cheng-nuo")
    assert again.certificate_sha256 == kept.certificate_sha256
    for wrong in (None, b"", b"guess"):
        with pytest.raises(Problem) as caught:
            load_seal_key(tmp_path, ORGANISATION, now=NOW, passphrase=wrong)
        assert caught.value.fault.code == "seal_key_unusable"


def _refused(folder: Path, days: int = 0) -> str:
    with pytest.raises(Problem) as caught:
        load_seal_key(folder, ORGANISATION, now=NOW + timedelta(days=days))
    assert caught.value.fault.code == "seal_key_unusable"
    return str(caught.value.facts["cause"])


def test_a_key_others_may_read_is_not_used(tmp_path: Path) -> None:
    load_seal_key(tmp_path, ORGANISATION, now=NOW)
    (tmp_path / KEY_FILE).chmod(0o640)
    assert "0600" in _refused(tmp_path)


def test_a_key_outside_its_time_is_not_used(tmp_path: Path) -> None:
    load_seal_key(tmp_path, ORGANISATION, now=NOW)
    assert "not valid" in _refused(tmp_path, days=VALID_FOR.days + 1)
    assert "not valid" in _refused(tmp_path, days=-2)


def test_a_damaged_or_empty_key_file_is_not_used_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / KEY_FILE
    only_certificate = pkcs12.serialize_key_and_certificates(
        b"x", None, KEY.certificate, None, serialization.NoEncryption()
    )
    for content in (b"", b"nonsense", new_seal_key(ORGANISATION, now=NOW)[:200], only_certificate):
        path.write_bytes(content)
        path.chmod(0o600)
        assert _refused(tmp_path)
        assert path.read_bytes() == content


def _load(folder: str, start: Barrier, found: "Queue[str]") -> None:
    start.wait()
    found.put(load_seal_key(Path(folder), ORGANISATION, now=NOW).certificate_sha256)


def test_processes_that_start_together_share_one_key(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    start, found = spawn.Barrier(3), spawn.Queue()
    workers = [spawn.Process(target=_load, args=(str(tmp_path), start, found)) for _ in range(3)]
    for worker in workers:
        worker.start()
    names = {found.get(timeout=60) for _ in workers}
    for worker in workers:
        worker.join(timeout=60)
    assert names == {load_seal_key(tmp_path, ORGANISATION, now=NOW).certificate_sha256}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([KEY_FILE, CERTIFICATE_FILE])


def test_the_seal_is_appended_and_the_report_stays_as_it_is() -> None:
    made = sealed()
    assert made.startswith(REPORT)
    before, after = pypdf.PdfReader(io.BytesIO(REPORT)), pypdf.PdfReader(io.BytesIO(made))
    assert [page.extract_text() for page in after.pages] == [page.extract_text() for page in before.pages]
    assert after.attachments == before.attachments


def test_it_is_pades_baseline_b_at_the_time_given() -> None:
    signature = PdfFileReader(io.BytesIO(sealed())).embedded_regular_signatures[0]
    facts = signature.sig_object
    assert signature.field_name == FIELD
    assert facts["/SubFilter"] == "/ETSI.CAdES.detached"
    assert facts["/M"] == "D:20261121024100Z"
    assert (facts["/Reason"], facts["/Location"]) == ("服务报告 D7-000123", "上海")
    named = {attribute["type"].native for attribute in signature.signer_info["signed_attrs"]}
    assert {"content_type", "message_digest", "signing_certificate_v2"} <= named
    assert "signing_time" not in named  # EN 319 142-1 §6.3: the time stands in the dictionary, not here
    assert signature.self_reported_timestamp == NOW
    assert signature.md_algorithm == "sha256"


def test_nothing_of_the_systems_clock_gets_into_the_file() -> None:
    info = pypdf.PdfReader(io.BytesIO(sealed())).metadata
    assert info is not None
    assert (info.creation_date, info.modification_date) == (NOW, NOW)


@pytest.mark.parametrize("pdf", [b"", b"no pdf", REPORT[:500], REPORT[:-200]], ids=["empty", "text", "head", "cut"])
def test_what_is_no_pdf_cannot_be_sealed(pdf: bytes) -> None:
    with pytest.raises(Problem) as caught:
        sealed(pdf)
    assert caught.value.fault.code == "seal_not_made"


def test_a_report_is_sealed_once() -> None:
    with pytest.raises(Problem) as caught:
        sealed(sealed())
    assert caught.value.fault.code == "seal_not_made"


def test_threads_seal_at_the_same_time() -> None:
    made: list[bytes] = []
    threads = [threading.Thread(target=lambda: made.append(sealed())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert all(verify_sealed(pdf, now=NOW).good for pdf in made)


def test_a_certificate_from_elsewhere_takes_the_place_of_our_own(tmp_path: Path) -> None:
    bought = new_seal_key("上海某认证机构签发", now=NOW, passphrase=b"from-the-authority")
    (tmp_path / KEY_FILE).write_bytes(bought)
    (tmp_path / KEY_FILE).chmod(0o600)
    key = load_seal_key(tmp_path, ORGANISATION, now=NOW, passphrase=b"from-the-authority")
    assert "上海某认证机构签发" in verify_sealed(sealed(key=key), now=NOW).sealed_by
