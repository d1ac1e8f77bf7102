"""Files that were really signed, read before and after by the C2PA project's own reader."""

import io
import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from PIL import Image

from demoire.imaging.guard import decode_guarded, encode_verified
from demoire.imaging.images import open_image
from demoire.reasons import Reason
from tests.demoire.imaging.derived.camera_files import picture

c2pa = pytest.importorskip("c2pa")
x509 = pytest.importorskip("cryptography.x509")

FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "TIFF": "image/tiff", "WEBP": "image/webp"}
CAPTURED = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"


def signer() -> "c2pa.Signer":
    """One whose certificate is issued by an authority of the test's own."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def name(text: str) -> "x509.Name":
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    root_key = ec.generate_private_key(ec.SECP256R1())
    leaf_key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    certificates = []
    for subject, key, is_root in (("leaf", leaf_key, False), ("root", root_key, True)):
        usage = x509.KeyUsage(
            digital_signature=not is_root,
            key_cert_sign=is_root,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            crl_sign=is_root,
            encipher_only=False,
            decipher_only=False,
        )
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("root"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(authority, critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        )
        if not is_root:
            mail = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
            builder = builder.add_extension(mail, critical=True)
        certificate = builder.sign(root_key, hashes.SHA256())
        certificates.append(certificate.public_bytes(serialization.Encoding.PEM))
    private = leaf_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    info = c2pa.C2paSignerInfo(b"es256", b"".join(certificates), private, None)
    return c2pa.Signer.from_info(info)


def signed(form: str) -> bytes:
    plain = io.BytesIO()
    Image.fromarray(picture(stripes=True)).save(plain, form)
    plain.seek(0)
    created = {"action": "c2pa.created", "digitalSourceType": CAPTURED}
    manifest = {
        "claim_generator_info": [{"name": "a test"}],
        "title": "a picture",
        "assertions": [{"label": "c2pa.actions", "data": {"actions": [created]}}],
    }
    out = io.BytesIO()
    c2pa.Builder(json.dumps(manifest)).sign(signer(), FORMATS[form], plain, out)
    return out.getvalue()


def manifest_of(form: str, data: bytes) -> str | None:
    """What the reader makes of a file; None where it finds no manifest."""
    try:
        return str(c2pa.Reader(FORMATS[form], io.BytesIO(data)).json())
    except c2pa.C2paError as error:
        assert "ManifestNotFound" in f"{type(error).__name__} {error}", error
        return None


@pytest.mark.parametrize("form", FORMATS)
def test_a_signed_file_is_copied_or_comes_out_without_any_manifest(form: str) -> None:
    file = signed(form)
    assert "a picture" in (manifest_of(form, file) or "")
    opened = decode_guarded(open_image(file))
    assert opened.obstacle == Reason.SIGNED

    clean = encode_verified(opened.without_signature(), picture()).data

    assert manifest_of(form, clean) is None
    difference = np.asarray(Image.open(io.BytesIO(clean)), dtype=float) - picture()
    assert np.abs(difference).mean() < 3
