"""The organisation's electronic seal on a report: PAdES baseline B-B (ETSI EN 319 142-1) with a key of its own.

The key is made on first use: EC P-256, self-signed, in a PKCS#12 file only its owner may read. Readers show "signature
valid, issuer unknown" until somebody trusts the certificate; an organisation with a certificate from an authority puts
that PKCS#12 file in its place. Runs in worker threads: a seal takes about 20 ms and shares nothing that changes.
"""

from __future__ import annotations

import hashlib
import io
import stat
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.misc import PdfReadError
from pyhanko.pdf_utils.writer import BasePdfFileWriter
from pyhanko.sign.fields import MDPPerm, SigSeedSubFilter
from pyhanko.sign.signers import PdfSignatureMetadata, PdfSigner, SimpleSigner
from pyhanko.sign.signers.pdf_signer import PdfSigningSession

from backend.core.errors import Fault, Problem
from backend.core.secret_files import write_once

KEY_FILE: Final = "organisation-seal.p12"
"""The key's file, in the folder given."""
CERTIFICATE_FILE: Final = "organisation-seal.pem"
"""The certificate beside it, to hand to whoever is to trust the seal."""
FIELD: Final = "OrganisationSeal"
"""The name of the signature field."""
VALID_FOR: Final = timedelta(days=25 * 365)
"""Longer than any form is kept: B-B has no time stamp, so a seal is not worth more than its certificate."""
CLOCK_TOLERANCE: Final = timedelta(days=1)
RESERVED_BYTES: Final = 16 * 1024
"""Room for the signature container, twice the bytes of its DER form; a certificate chain of three fits."""
MAX_NAME_BYTES: Final = 64
"""X.520 limits a common or organisation name to 64; the library counts bytes of UTF-8, about 21 Chinese characters."""

SEAL_KEY_UNUSABLE: Final = Fault(
    code="seal_key_unusable",
    status=500,
    zh="电子封印的密钥无法使用：{cause}",
    en="The seal's key cannot be used: {cause}",
    todo_zh="请检查密钥文件及其口令；文件权限应为 0600。",
    todo_en="Check the key file and its passphrase; its permissions should be 0600.",
)
SEAL_NOT_MADE: Final = Fault(
    code="seal_not_made",
    status=500,
    zh="无法为此文件加盖电子封印：{cause}",
    en="This file could not be sealed: {cause}",
    todo_zh="请确认它是未加封的 PDF。",
    todo_en="Make sure that it is a PDF without a seal.",
)


@dataclass(frozen=True)
class SealKey:
    """A key ready to seal, with its certificate."""

    signer: SimpleSigner
    certificate: x509.Certificate

    @property
    def certificate_der(self) -> bytes:
        """The certificate, DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def certificate_pem(self) -> bytes:
        """The certificate, PEM: what customers import to trust the seal."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def certificate_sha256(self) -> str:
        """The certificate's fingerprint."""
        return hashlib.sha256(self.certificate_der).hexdigest()


def new_seal_key(organisation: str, *, now: datetime, passphrase: bytes | None = None) -> bytes:
    """A new key with a self-signed certificate for `organisation`, as PKCS#12.

    No extended key usage: with id-kp-documentSigning (RFC 9336) alone, NSS, and with it pdfsig, reports a broken
    certificate instead of an unknown issuer.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    short = organisation.encode()[:MAX_NAME_BYTES].decode(errors="ignore")
    name = x509.Name([x509.NameAttribute(oid, short) for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_TOLERANCE)
        .not_valid_after(now + VALID_FOR)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    secrecy = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return pkcs12.serialize_key_and_certificates(b"organisation-seal", key, certificate, None, secrecy)


def _key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def read_seal_key(raw: bytes, *, passphrase: bytes | None = None) -> SealKey:
    """The key in a PKCS#12 file. Raises Problem `seal_key_unusable` for a wrong passphrase, damage or no key."""
    try:
        key, certificate, _ = pkcs12.load_key_and_certificates(raw, passphrase)
    except ValueError as error:
        raise Problem(SEAL_KEY_UNUSABLE, cause=str(error)) from error
    if key is None or certificate is None:
        raise Problem(SEAL_KEY_UNUSABLE, cause="no key or no certificate in the file")
    signer = SimpleSigner.load_pkcs12_data(raw, other_certs=[], passphrase=passphrase)
    return SealKey(signer=signer, certificate=certificate)


def load_seal_key(folder: Path, organisation: str, *, now: datetime, passphrase: bytes | None = None) -> SealKey:
    """The organisation's key from `folder`, made there on first use.

    Safe when several processes start at once: all use the key that came first. Raises Problem
    `seal_key_unusable` for a file others may read, a wrong passphrase, or a certificate that is not valid at `now`.
    """
    path = folder / KEY_FILE
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_once(path, new_seal_key(organisation, now=now, passphrase=passphrase))
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise Problem(SEAL_KEY_UNUSABLE, cause=f"{path.name} can be read by others; set it to 0600")
    key = read_seal_key(path.read_bytes(), passphrase=passphrase)
    if not key.certificate.not_valid_before_utc <= now <= key.certificate.not_valid_after_utc:
        raise Problem(SEAL_KEY_UNUSABLE, cause=f"its certificate is not valid on {now:%Y-%m-%d}")
    beside = folder / CERTIFICATE_FILE
    if not beside.exists() or beside.read_bytes() != key.certificate_pem:
        beside.write_bytes(key.certificate_pem)
    return key


class _Writer(IncrementalPdfFileWriter):
    """Adds the seal and nothing else: the report keeps its own dates instead of the moment of the system's clock."""

    def _update_meta(self) -> None:
        return


class _Sealer(PdfSigner):
    """A PDF signer that takes the time instead of reading the system's clock."""

    sealed_at: datetime

    def init_signing_session(
        self,
        pdf_out: BasePdfFileWriter,
        existing_fields_only: bool = False,  # noqa: FBT001, FBT002 - pyHanko's own signature
    ) -> PdfSigningSession:
        """Begin as pyHanko does, at the time given."""
        session = super().init_signing_session(pdf_out, existing_fields_only=existing_fields_only)
        session.system_time = self.sealed_at
        return session


def seal(pdf: bytes, key: SealKey, *, reason: str, location: str, now: datetime) -> bytes:
    """`pdf` with the organisation's seal over the whole of it, as a certification that forbids any change.

    The original bytes stay as they are, the seal is appended. `now` is the time the seal claims. Raises Problem
    `seal_not_made` for what is no PDF, or one that is sealed already. Call it from a thread, not from an event loop.
    """
    metadata = PdfSignatureMetadata(
        field_name=FIELD,
        md_algorithm="sha256",
        subfilter=SigSeedSubFilter.PADES,
        certify=True,
        docmdp_permissions=MDPPerm.NO_CHANGES,
        reason=reason,
        location=location,
        name=key.signer.subject_name,
    )
    sealer = _Sealer(metadata, signer=key.signer)
    sealer.sealed_at = now
    sealed = io.BytesIO()
    try:
        writer = _Writer(io.BytesIO(pdf))
        sealer.sign_pdf(  # pyright: ignore[reportUnknownMemberType] - pyHanko leaves a default untyped
            writer, bytes_reserved=RESERVED_BYTES, output=sealed
        )
    except (PdfReadError, ValueError) as error:
        raise Problem(SEAL_NOT_MADE, cause=str(error)) from error
    return sealed.getvalue()
