# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's SSH key, its certificate authority, and certificates signed by it."""

from __future__ import annotations

import ipaddress
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab.paths import CA_CERT, CA_KEY, CERTIFICATES, SSH_KEY
from lab.recipes import digest
from lab.shell import LabError, run, say

AUTHORITY_DAYS = 3650
LEAF_DAYS = 800  # browsers refuse certificates that live longer than 825 days
RENEW_BEFORE = 30 * 86400
PUBLIC = ("ssh-key.pub", "ca.crt")
CURVE = ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


@contextmanager
def _private_files() -> Iterator[None]:
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def shared_files() -> dict[str, Path]:
    """What every clone on this machine must have alike: name in the registry's container -> file."""
    return {"ssh-key": SSH_KEY, "ssh-key.pub": SSH_KEY.with_suffix(".pub"), "ca.crt": CA_CERT, "ca.key": CA_KEY}


def fingerprint() -> str:
    """Identify this clone's keys; empty when it has none."""
    paths = list(shared_files().values())
    return digest([], paths) if all(path.exists() for path in paths) else ""


def adopt(folder: Path) -> None:
    """Take over the keys of a lab that another clone set up, so that both can use its hosts."""
    for name, path in shared_files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, path)
        path.chmod(0o644 if name in PUBLIC else 0o600)
    say("keys: taken over from the lab that is already there")


def ensure_ssh_key() -> None:
    """Make the key that every host accepts for root and deploy."""
    if SSH_KEY.exists() and SSH_KEY.with_suffix(".pub").exists():
        return
    SSH_KEY.parent.mkdir(parents=True, exist_ok=True)
    SSH_KEY.unlink(missing_ok=True)
    with _private_files():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "vaultwire-lab", "-f", str(SSH_KEY)])
    say("SSH key: made")


def ensure_authority() -> None:
    """Make the authority that every host trusts."""
    if CA_CERT.exists() and CA_KEY.exists() and _is_current(CA_CERT):
        return
    CA_CERT.parent.mkdir(parents=True, exist_ok=True)
    with _private_files():
        _openssl("req", "-x509", "-newkey", *CURVE, "-nodes", "-days", str(AUTHORITY_DAYS),
                 "-subj", "/O=vaultwire lab/CN=vaultwire lab authority", "-keyout", str(CA_KEY), "-out", str(CA_CERT),
                 "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
    CA_CERT.chmod(0o644)
    say("certificate authority: made")


def ensure_certificate(name: str, subjects: Sequence[str]) -> tuple[Path, Path]:
    """Return certificate and key for these names and addresses, signed by the lab's authority."""
    if not CA_KEY.exists():
        raise LabError("The lab has no certificate authority yet. Run: python3 -m lab setup")
    certificate, key = CERTIFICATES / f"{name}.crt", CERTIFICATES / f"{name}.key"
    wanted = CERTIFICATES / f"{name}.names"
    alternatives = ",".join(f"{_kind(subject)}:{subject}" for subject in subjects)
    complete = all(path.exists() for path in (certificate, key, wanted))
    if complete and wanted.read_text() == alternatives and _is_current(certificate) and _is_ours(certificate):
        return certificate, key
    CERTIFICATES.mkdir(parents=True, exist_ok=True)
    _sign(subjects[0], alternatives, certificate, key)
    wanted.write_text(alternatives)
    say(f"certificate for {name}: made")
    return certificate, key


def _sign(subject: str, alternatives: str, certificate: Path, key: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, _private_files():
        request, extensions = Path(folder, "request"), Path(folder, "extensions")
        extensions.write_text(
            f"subjectAltName={alternatives}\nbasicConstraints=critical,CA:FALSE\n"
            "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
            "authorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
        )
        _openssl("req", "-new", "-newkey", *CURVE, "-nodes", "-subj", f"/CN={subject}",
                 "-keyout", str(key), "-out", str(request))  # fmt: skip
        _openssl("x509", "-req", "-in", str(request), "-CA", str(CA_CERT), "-CAkey", str(CA_KEY),
                 "-days", str(LEAF_DAYS), "-extfile", str(extensions), "-out", str(certificate))  # fmt: skip
    certificate.chmod(0o644)


def _openssl(*arguments: str) -> None:
    run(["openssl", *arguments])


def _kind(subject: str) -> str:
    try:
        ipaddress.ip_address(subject)
    except ValueError:
        return "DNS"
    return "IP"


def _is_current(certificate: Path) -> bool:
    argv = ["openssl", "x509", "-noout", "-in", str(certificate), "-checkend", str(RENEW_BEFORE)]
    return run(argv, check=False).returncode == 0


def _is_ours(certificate: Path) -> bool:
    return run(["openssl", "verify", "-CAfile", str(CA_CERT), str(certificate)], check=False).returncode == 0
