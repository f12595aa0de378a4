# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates by the openssl program: judge given files, or keep an internal authority. Python 3.8 and later."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import shutil
import ssl
import tempfile
import time
import typing as t

Run = t.Callable[[t.List[str]], t.Tuple[int, str, str]]

CA_DAYS = 3650
#: Apple's clients refuse a leaf of a private authority that is valid for longer than 825 days.
LEAF_DAYS = 820

_CA_EXTENSIONS = (
    "basicConstraints=critical,CA:TRUE,pathlen:0",
    "keyUsage=critical,keyCertSign,cRLSign",
    "subjectKeyIdentifier=hash",
)


class TlsError(Exception):
    """A certificate that cannot serve. The text says which file, why, and what to do."""


class Files(t.NamedTuple):
    """The files of an internal authority and of the one certificate it signed for a host."""

    ca_key: str
    ca: str
    key: str
    certificate: str


def authority_files(directory: str, host: str) -> Files:
    """Where the internal authority in a directory keeps its files."""
    name = re.sub(r"[^a-z0-9.-]", "_", host)
    return Files(*(f"{directory}/{entry}" for entry in ("ca.key", "ca.pem", f"{name}.key", f"{name}.pem")))


def openssl(run: Run, *arguments: str) -> str:
    """The output of an openssl command. Raises TlsError with what it said."""
    code, out, err = run(["openssl", *arguments])
    if code != 0:
        raise TlsError(f"openssl {arguments[0]} failed: {(err or out).strip()}")
    return out


def _fits(run: Run, certificate: str, *check: str) -> bool:
    code, out, __ = run(["openssl", "x509", "-noout", "-in", certificate, *check])
    return code == 0 and "does NOT match" not in out


def _begin(run: Run, certificate: str) -> str:
    """Since when it is valid, in openssl's words; -checkend looks at the other end only."""
    return openssl(run, "x509", "-noout", "-in", certificate, "-startdate").strip().partition("=")[2]


def host_check(host: str) -> t.Tuple[str, str]:
    """The openssl option that compares a certificate with a host name or an address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return ("-checkhost", host)
    return ("-checkip", host)


def judge_given(run: Run, certificate: str, key: str, host: str) -> None:
    """Refuse given files that a proxy could not serve, or that clients would not accept. Raises TlsError."""
    for variable, path in (("certificate", certificate), ("key", key)):
        try:
            with open(path, "rb") as stream:
                stream.read(1)
        except OSError as exc:
            raise TlsError(
                f"reverse_proxy_tls_{variable} is {path}, which cannot be read on this host: {exc.strerror}. "
                f"Put the file there, or leave both variables empty for an internal authority."
            ) from exc
    if not _fits(run, certificate):
        raise TlsError(f"reverse_proxy_tls_certificate: {certificate} holds no certificate in PEM form.")
    if not _fits(run, certificate, "-checkend", "0"):
        raise TlsError(f"reverse_proxy_tls_certificate: {certificate} has expired. Renew it first.")
    begin = _begin(run, certificate)
    if ssl.cert_time_to_seconds(begin) > time.time():
        raise TlsError(
            f"reverse_proxy_tls_certificate: {certificate} is not valid before {begin}, so clients would refuse it. "
            f"Give one that is valid by now, or set the clock of this host, which says "
            f"{time.strftime('%b %e %H:%M:%S %Y GMT', time.gmtime())}."
        )
    if not _fits(run, certificate, *host_check(host)):
        if _is_further_down(run, certificate, host):
            raise TlsError(
                f"reverse_proxy_tls_certificate: {certificate} has the certificate for {host}, but not as its first, "
                f"and proxies serve the first as their own. Put it first, then those that signed it, each after the "
                f"one it signed."
            )
        raise TlsError(
            f"reverse_proxy_tls_certificate: {certificate} is for another name than {host}, so clients would refuse "
            f"it. Get one whose subject alternative names hold {host}."
        )
    public = _public_part(run, key)
    if not public:
        raise TlsError(f"reverse_proxy_tls_key: {key} holds no private key in PEM form that is free of a passphrase.")
    if not _belongs(run, public, certificate):
        raise TlsError(f"reverse_proxy_tls_key: {key} does not belong to {certificate}. Give the pair that fits.")


def _public_part(run: Run, key: str) -> str:
    """The public key that belongs to a private one; empty where the file holds none."""
    # An empty passphrase fails at once on an encrypted key instead of asking for one.
    code, out, __ = run(["openssl", "pkey", "-in", key, "-pubout", "-passin", "pass:"])
    return out.strip() if code == 0 else ""


def _belongs(run: Run, public: str, certificate: str) -> bool:
    return public == openssl(run, "x509", "-noout", "-in", certificate, "-pubkey").strip()


def _is_further_down(run: Run, certificate: str, host: str) -> bool:
    """Whether a file has the host's certificate after another; openssl looks at the first only."""
    with open(certificate, encoding="utf-8", errors="replace") as stream:
        blocks = re.findall(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", stream.read(), re.DOTALL)
    for block in blocks[1:]:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as single:
            single.write(block + "\n")
            single.flush()
            if _fits(run, single.name, *host_check(host)):
                return True
    return False


def authority_needs(run: Run, files: Files, host: str, renew_days: int) -> t.Tuple[bool, bool]:
    """``(make the authority, sign a certificate)``: what is missing, damaged, expiring or for another name."""
    if not (os.path.exists(files.ca) and os.path.exists(files.ca_key)):
        return True, True
    seconds = str(renew_days * 86400)
    if not _fits(run, files.ca, "-checkend", seconds):
        return True, True
    # Made while the clock was ahead: clients refuse all that it signs until that time comes.
    if ssl.cert_time_to_seconds(_begin(run, files.ca)) > time.time():
        return True, True
    good = (
        os.path.exists(files.key)
        and os.path.exists(files.certificate)
        and _fits(run, files.certificate, "-checkend", seconds)
        and _fits(run, files.certificate, *host_check(host))
        and run(["openssl", "verify", "-CAfile", files.ca, files.certificate])[0] == 0
        and _belongs(run, _public_part(run, files.key), files.certificate)
    )
    # An authority that has lost its key is none, once something has to be signed.
    lost = not good and not _belongs(run, _public_part(run, files.ca_key), files.ca)
    return lost, not good


def make_authority(run: Run, files: Files) -> None:
    """A new authority: an elliptic-curve key that only root reads, and its certificate.

    A key that is there is used again: clients that trust its old certificate then trust what it signs from now on.
    """
    with _workspace(files.ca) as folder:
        key, certificate = f"{folder}/ca.key", f"{folder}/ca.pem"
        if os.path.exists(files.ca_key) and _public_part(run, files.ca_key):
            shutil.copyfile(files.ca_key, key)
        else:
            _new_key(run, key)
        extensions = [word for line in _CA_EXTENSIONS for word in ("-addext", line)]
        openssl(
            run, "req", "-x509", "-new", "-key", key, "-sha256", "-days", str(CA_DAYS), "-subj",
            "/CN=vaultwire internal authority", *extensions, "-out", certificate,
        )  # fmt: skip
        _put(key, files.ca_key, 0o600)
        _put(certificate, files.ca, 0o644)


def sign_certificate(run: Run, files: Files, host: str) -> None:
    """A new key and certificate for a host, signed by the authority."""
    with _workspace(files.certificate) as folder:
        key, request, certificate, text = (f"{folder}/{name}" for name in ("leaf.key", "csr", "leaf.pem", "ext"))
        _new_key(run, key)
        openssl(run, "req", "-new", "-key", key, "-subj", f"/CN={host[:64]}", "-out", request)
        kind = "IP" if host_check(host)[0] == "-checkip" else "DNS"
        with open(text, "w", encoding="ascii") as stream:
            stream.write(
                f"subjectAltName={kind}:{host}\nbasicConstraints=critical,CA:FALSE\n"
                f"keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
                f"subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
            )
        openssl(
            run, "x509", "-req", "-in", request, "-CA", files.ca, "-CAkey", files.ca_key, "-set_serial",
            f"0x{os.urandom(16).hex()}", "-sha256", "-days", str(LEAF_DAYS), "-extfile", text, "-out", certificate,
        )  # fmt: skip
        _put(key, files.key, 0o600)
        _put(certificate, files.certificate, 0o644)


@contextlib.contextmanager
def _workspace(path: str) -> t.Iterator[str]:
    """A folder only root enters, on the file system of the file it is for. What a crash left of one goes first."""
    folder = os.path.join(os.path.dirname(path), ".vaultwire-work")
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder, 0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _new_key(run: Run, path: str) -> None:
    openssl(run, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)


def _put(source: str, target: str, mode: int) -> None:
    os.chmod(source, mode)
    os.replace(source, target)
