"""A sealed report proves itself: unchanged, whole, whose, what was signed. Anything else handed in gets an answer."""

import io
import os
import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import msgspec
import pypdf
import pypdf.generic as objects
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyhanko.keys import load_certs_from_pemder_data
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko_certvalidator import ValidationContext

from backend.forms.canonical import sha256_hex
from backend.forms.report import render_report
from backend.forms.sealing import VALID_FOR, SealKey, new_seal_key, read_seal_key, seal
from backend.forms.verify import MAX_PDF_BYTES, SealCheck, verify_sealed
from tests.forms.samples import NOW, PHOTO_NAMES, PHOTOS, shown, signatures

KEY = read_seal_key(new_seal_key("安和智能系统服务有限公司", now=NOW))
STRANGER = read_seal_key(new_seal_key("安和智能系统服务有限公司", now=NOW))
DOCUMENT = shown()
SIGNED = signatures(DOCUMENT)


def make(document: bytes = DOCUMENT, key: SealKey = KEY) -> bytes:
    signed = signatures(document)
    images = dict(zip(PHOTO_NAMES, PHOTOS, strict=True))
    report = render_report(document, signed, verify_reference="D7-000123", now=NOW, images=images)
    return seal(report, key, reason="服务报告", location="上海", now=NOW + timedelta(minutes=5))


SEALED = make()


def codes(check: SealCheck) -> list[str]:
    return [problem.code for problem in check.problems]


def verify(pdf: bytes) -> SealCheck:
    return verify_sealed(pdf, now=NOW)


@pytest.mark.rule("A102")
def test_a_sealed_report_is_intact_whole_and_binds_what_was_signed() -> None:
    check = verify(SEALED)
    assert check.good
    assert (check.sealed, check.intact, check.whole, check.bound) == (True, True, True, True)
    assert check.coverage == "ENTIRE_FILE"
    assert check.sealed_at == NOW + timedelta(minutes=5)
    assert check.sealed_by == "CN=安和智能系统服务有限公司,O=安和智能系统服务有限公司"
    assert check.certificate_sha256 == KEY.certificate_sha256
    assert (check.reason, check.location) == ("服务报告", "上海")
    assert (check.shown, check.shown_sha256) == (DOCUMENT, sha256_hex(DOCUMENT))
    assert check.signatures == SIGNED
    assert check.form is not None
    assert check.form.customer.name == "云桥物业"


def test_its_signer_is_unknown_until_trusted() -> None:
    assert not verify(SEALED).trusted
    for certificate in (KEY.certificate_pem, KEY.certificate_der):
        assert verify_sealed(SEALED, now=NOW, trusted_certs=[certificate]).trusted
    both = [STRANGER.certificate_pem, KEY.certificate_pem]
    assert verify_sealed(SEALED, now=NOW, trusted_certs=both).trusted


def test_another_key_of_the_same_name_is_not_trusted() -> None:
    forged = make(key=STRANGER)
    check = verify_sealed(forged, now=NOW, trusted_certs=[KEY.certificate_pem])
    assert (check.intact, check.trusted) == (True, False)
    assert check.sealed_by == verify(SEALED).sealed_by


def test_trust_ends_with_the_certificate() -> None:
    late = NOW + VALID_FOR + timedelta(days=2)
    check = verify_sealed(SEALED, now=late, trusted_certs=[KEY.certificate_pem])
    assert (check.intact, check.trusted) == (True, False)


def test_pyhanko_itself_says_the_same() -> None:
    signature = PdfFileReader(io.BytesIO(SEALED)).embedded_regular_signatures[0]
    roots = list(load_certs_from_pemder_data(KEY.certificate_pem))
    trusting = ValidationContext(trust_roots=roots, allow_fetching=False, moment=NOW + timedelta(hours=1))
    status = validate_pdf_signature(signature, signer_validation_context=trusting)
    assert status.bottom_line
    assert (status.intact, status.valid, status.trusted) == (True, True, True)
    assert status.coverage is not None
    assert status.coverage.name == "ENTIRE_FILE"


needs_pdfsig = pytest.mark.skipif(
    shutil.which("pdfsig") is None,
    reason="pdfsig is not installed (Debian and Ubuntu: poppler-utils), so NSS's opinion of the seal was not asked",
)


def pdfsig(pdf: bytes, folder: Path) -> str:
    path = folder / "report.pdf"
    path.write_bytes(pdf)
    nowhere = {"PATH": os.environ["PATH"], "HOME": str(folder)}  # no certificates of whoever runs the tests
    return subprocess.run(["pdfsig", str(path)], capture_output=True, text=True, check=False, env=nowhere).stdout


@needs_pdfsig
def test_pdfsig_says_valid_over_the_whole_document_by_an_unknown_issuer(tmp_path: Path) -> None:
    told = pdfsig(SEALED, tmp_path)
    assert "Signature is Valid." in told
    assert "Total document signed" in told
    assert "Not total document signed" not in told
    assert "Certificate issuer is unknown." in told
    assert "ETSI.CAdES.detached" in told
    assert "Signing Hash Algorithm: SHA-256" in told


@needs_pdfsig
def test_pdfsig_notices_a_changed_byte_and_an_addition(tmp_path: Path) -> None:
    assert "Digest Mismatch" in pdfsig(_flipped(SEALED, len(SEALED) // 3), tmp_path)
    assert "Not total document signed" in pdfsig(_added(SEALED), tmp_path)


def _flipped(pdf: bytes, position: int) -> bytes:
    changed = bytearray(pdf)
    changed[position] ^= 0x01
    return bytes(changed)


def _added(pdf: bytes) -> bytes:
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    writer.root["/Added"] = generic.pdf_string("later")
    writer.update_root()
    made = io.BytesIO()
    writer.write(made)
    return made.getvalue()


def _sealed_range(pdf: bytes) -> tuple[int, int, int, int]:
    found = re.findall(rb"/ByteRange\s*\[\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s*\]", pdf)[-1]
    start, length, second, rest = map(int, found)
    return start, length, second, rest


@settings(max_examples=60)
@given(st.data())
def test_no_byte_of_the_sealed_range_can_change_unnoticed(data: st.DataObject) -> None:
    start, length, second, rest = _sealed_range(SEALED)
    assert (start, second + rest) == (0, len(SEALED))
    position = data.draw(st.one_of(st.integers(0, length - 1), st.integers(second, len(SEALED) - 1)))
    check = verify(_flipped(SEALED, position))
    assert not check.good
    assert not (check.intact and check.whole)


def test_a_changed_word_is_called_changed() -> None:
    check = verify(_flipped(SEALED, SEALED.index(b"stream") + 40))
    assert codes(check)[0] == "changed"
    assert (check.sealed, check.intact) == (True, False)


def test_a_signature_that_was_tampered_with_is_called_invalid() -> None:
    _, length, second, _ = _sealed_range(SEALED)
    signature = SEALED[length + 1 : second - 1].rstrip(b"0")
    last = length + len(signature)  # the end of the ECDSA value, the last thing in the container
    digit = b"1" if SEALED[last : last + 1] != b"1" else b"2"
    check = verify(SEALED[:last] + digit + SEALED[last + 1 :])
    assert codes(check) == ["invalid_seal"]
    assert (check.sealed, check.intact, check.whole) == (True, False, True)


def test_an_appended_revision_is_not_covered() -> None:
    check = verify(_added(SEALED))
    assert codes(check) == ["not_whole"]
    assert (check.intact, check.whole, check.coverage) == (True, False, "ENTIRE_REVISION")


def test_bytes_after_the_end_are_not_covered() -> None:
    assert codes(verify(SEALED + b"\n% a note")) == ["not_whole"]


def test_a_document_swapped_by_an_appended_revision_does_not_speak_for_the_seal() -> None:
    other = shown("en")
    writer = IncrementalPdfFileWriter(io.BytesIO(SEALED))
    stream = writer.root["/AF"][0]["/EF"]["/F"]
    stream._data, stream._encoded_data = other, None
    writer.update_container(stream)
    made = io.BytesIO()
    writer.write(made)
    check = verify(made.getvalue())
    assert check.shown == DOCUMENT
    assert not check.good


def test_a_report_without_a_seal_says_so() -> None:
    report = render_report(DOCUMENT, SIGNED, verify_reference="x", now=NOW)
    assert codes(verify(report)) == ["not_sealed"]


def test_a_seal_without_our_document_says_so() -> None:
    blank = io.BytesIO()
    writer = pypdf.PdfWriter()
    writer.add_blank_page(100, 100)
    writer.write(blank)
    check = verify(seal(blank.getvalue(), KEY, reason="", location="", now=NOW))
    assert codes(check) == ["no_document"]
    assert (check.sealed, check.intact, check.whole, check.bound) == (True, True, True, False)


def _with_files(**files: bytes) -> bytes:
    """A sealed PDF whose associated files are these: what a careless or hostile sealer could make."""
    blank = io.BytesIO()
    writer = pypdf.PdfWriter()
    writer.add_blank_page(100, 100)
    listed = objects.ArrayObject()
    for name, raw in files.items():
        stream = objects.DecodedStreamObject()
        stream.set_data(raw)
        specification = objects.DictionaryObject()
        named = objects.TextStringObject(f"{name}.json")
        specification[objects.NameObject("/UF")] = named
        inside = objects.DictionaryObject()
        inside[objects.NameObject("/F")] = writer._add_object(stream)
        specification[objects.NameObject("/EF")] = inside
        listed.append(writer._add_object(specification))
    writer.root_object[objects.NameObject("/AF")] = listed
    writer.write(blank)
    return seal(blank.getvalue(), KEY, reason="", location="", now=NOW)


def test_signatures_must_bind_the_document_inside() -> None:
    good = msgspec.json.encode(SIGNED)
    assert codes(verify(_with_files(shown=DOCUMENT, signatures=good))) == []
    assert codes(verify(_with_files(shown=shown("en"), signatures=good))) == ["signature_elsewhere"]
    assert codes(verify(_with_files(shown=DOCUMENT))) == ["no_signatures"]
    assert codes(verify(_with_files(shown=DOCUMENT, signatures=b'[{"role":1}]'))) == ["no_signatures"]
    assert codes(verify(_with_files(shown=b" " + DOCUMENT, signatures=b"[]"))) == ["document_unreadable"]
    assert codes(verify(_with_files(signatures=good))) == ["no_document"]


def test_the_document_asked_for_is_compared() -> None:
    assert verify_sealed(SEALED, now=NOW, expected_sha256=sha256_hex(DOCUMENT)).good
    assert codes(verify_sealed(SEALED, now=NOW, expected_sha256=sha256_hex(shown("en")))) == ["other_document"]


@pytest.mark.parametrize(
    ("pdf", "code"),
    [
        (b"", "unreadable"),
        (b"%PDF-1.7\n", "unreadable"),
        (b"GIF89a", "unreadable"),
        (SEALED[: len(SEALED) // 2], "unreadable"),
        (b"\0" * (MAX_PDF_BYTES + 1), "too_large"),
    ],
    ids=["empty", "header only", "a picture", "half of it", "too much of it"],
)
def test_whatever_is_handed_in_gets_an_answer(pdf: bytes, code: str) -> None:
    check = verify(pdf)
    assert codes(check) == [code]
    assert check.problems[0].told.zh
    assert check.problems[0].told.en
    assert not check.good


@settings(max_examples=60)
@given(st.binary(max_size=200), st.integers(0, len(SEALED)), st.integers(0, 400))
def test_mangled_files_get_an_answer_too(noise: bytes, position: int, cut: int) -> None:
    check = verify(SEALED[:position] + noise + SEALED[position + cut :])
    assert check.good is (SEALED[position : position + cut] == noise)


def test_a_certificate_that_is_none_is_the_callers_mistake_and_told() -> None:
    check = verify_sealed(SEALED, now=NOW, trusted_certs=[b"not a certificate"])
    assert codes(check) == ["unreadable"]
