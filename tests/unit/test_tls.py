# SPDX-License-Identifier: GPL-3.0-or-later
"""The internal authority, and the judgement of given certificates, with the real openssl."""

from __future__ import annotations

import datetime
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.vaultwire.stack.plugins.modules import tls_certificate
from tests.unit.fake_module import run_module

HOST = "vault.example.com"


def run(directory: Path, **arguments: Any) -> dict[str, Any]:
    """Run the module."""
    return run_module(tls_certificate.main, **{"host": HOST, "directory": str(directory), **arguments})


def text_of(certificate: str) -> str:
    """What openssl says of a certificate."""
    command = ["openssl", "x509", "-in", certificate, "-noout", "-text"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def make_pair(folder: Path, *arguments: str) -> tuple[str, str]:
    """A self-signed certificate and its key."""
    key, certificate = f"{folder}/given.key", f"{folder}/given.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-keyout", key, "-out", certificate, "-subj", "/CN=x"]
    subprocess.run([*command, *arguments], capture_output=True, check=True)
    return certificate, key


def make_valid(
    folder: Path, begin: datetime.timedelta, end: datetime.timedelta, old: Path | None = None
) -> tuple[str, str]:
    """A certificate, perhaps of a key that is there, valid between two moments from now; openssl 3.0 makes none."""
    key = ec.generate_private_key(ec.SECP256R1())
    if old:
        loaded = serialization.load_pem_private_key(old.read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        key = loaded
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now + begin)
        .not_valid_after(now + end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    paths = folder / "valid.pem", folder / "valid.key"
    paths[0].write_bytes(certificate.public_bytes(pem))
    paths[1].write_bytes(private)
    return str(paths[0]), str(paths[1])


def given(tmp_path: Path, certificate: str, key: str) -> str:
    """The message with which a given pair is refused; empty when it is taken."""
    return str(run(tmp_path / "tls", certificate=certificate, key=key).get("msg", ""))


@pytest.mark.parametrize(("host", "name"), [(HOST, f"DNS:{HOST}"), ("192.0.2.10", "IP Address:192.0.2.10")])
def test_the_authority_signs_for_the_host(tmp_path: Path, host: str, name: str) -> None:
    """Alternative name, chain, private keys; and a second run changes nothing."""
    done = run(tmp_path, host=host)
    assert done["changed"] is True
    shown = text_of(done["certificate"])
    assert name in shown
    assert "TLS Web Server Authentication" in shown
    verify = ["openssl", "verify", "-CAfile", str(tmp_path / "ca.pem"), done["certificate"]]
    assert subprocess.run(verify, capture_output=True, check=False).returncode == 0
    assert [Path(path).stat().st_mode & 0o777 for path in (done["key"], str(tmp_path / "ca.key"))] == [0o600, 0o600]
    assert done["ca_content"] == (tmp_path / "ca.pem").read_text()
    assert "PRIVATE KEY" not in done["printed"]
    again = run(tmp_path, host=host)
    assert (again["changed"], again["ca_content"]) == (False, done["ca_content"])


def test_the_certificate_is_renewed_in_time_and_the_authority_stays(tmp_path: Path) -> None:
    """Clients that trust it must not be asked again."""
    first = run(tmp_path)
    old = Path(first["certificate"]).read_text()
    second = run(tmp_path, renew_days=900)
    assert second["changed"] is True
    assert second["ca_content"] == first["ca_content"]
    assert Path(second["certificate"]).read_text() != old


def test_a_lost_key_is_replaced(tmp_path: Path) -> None:
    """The pair belongs together afterwards."""
    first = run(tmp_path)
    Path(first["key"]).unlink()
    second = run(tmp_path)
    assert second["changed"] is True
    assert given(tmp_path, second["certificate"], second["key"]) == ""


@pytest.mark.parametrize("damaged", ["key", "certificate"])
def test_half_a_file_is_replaced(tmp_path: Path, damaged: str) -> None:
    """As a crash or a full disk left it; the pair belongs together afterwards, and the authority is the same."""
    first = run(tmp_path)
    path = Path(first[damaged])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    second = run(tmp_path)
    assert (second["changed"], second["ca_content"]) == (True, first["ca_content"])
    assert given(tmp_path, second["certificate"], second["key"]) == ""


def test_half_an_authority_is_made_again_with_its_key(tmp_path: Path) -> None:
    """Clients that trust the certificate it had trust what it signs now."""
    first = run(tmp_path)
    (tmp_path / "ca.pem").write_text(first["ca_content"][:200])
    second = run(tmp_path)
    (tmp_path / "known.pem").write_text(first["ca_content"])
    verify = ["openssl", "verify", "-CAfile", str(tmp_path / "known.pem"), second["certificate"]]
    assert subprocess.run(verify, capture_output=True, check=False).returncode == 0


def test_an_authority_without_its_key_is_replaced_once_something_is_to_be_signed(tmp_path: Path) -> None:
    """Until then its certificate serves."""
    first = run(tmp_path)
    (tmp_path / "ca.key").write_text("half")
    assert run(tmp_path)["changed"] is False
    second = run(tmp_path, renew_days=900)
    assert second["ca_content"] != first["ca_content"]
    assert given(tmp_path, second["certificate"], second["key"]) == ""


def test_an_authority_whose_time_has_not_come_is_made_again_with_its_key(tmp_path: Path) -> None:
    """The first run was made while the clock was ahead."""
    run(tmp_path)
    key = (tmp_path / "ca.key").read_text()
    hour = datetime.timedelta(hours=1)
    Path(make_valid(tmp_path, hour, 9000 * hour, tmp_path / "ca.key")[0]).rename(tmp_path / "ca.pem")
    second = run(tmp_path)
    assert second["changed"] is True
    assert run(tmp_path)["changed"] is False
    assert given(tmp_path, second["certificate"], second["key"]) == ""
    assert (tmp_path / "ca.key").read_text() == key


def test_a_certificate_that_nobody_has_read_is_a_change(tmp_path: Path) -> None:
    """Until the caller says that the proxy has; a folder that a crash left with a key in it goes."""
    marker = tmp_path / "run" / "nginx.certificate"
    left = tmp_path / ".vaultwire-work"
    left.mkdir()
    (left / "leaf.key").write_text("x")
    assert run(tmp_path, marker=str(marker))["changed"] is True
    assert not left.exists()
    assert run(tmp_path, marker=str(marker))["changed"] is True
    marker.unlink()
    assert run(tmp_path, marker=str(marker))["changed"] is False


def test_check_mode_makes_nothing(tmp_path: Path) -> None:
    """And says that it would."""
    done = run(tmp_path / "tls", _ansible_check_mode=True)
    assert done["changed"] is True
    assert not (tmp_path / "tls").exists()


def test_a_given_pair_that_fits_is_taken(tmp_path: Path) -> None:
    """Nothing is changed."""
    pair = make_pair(tmp_path, "-nodes", "-days", "2", "-addext", f"subjectAltName=DNS:*.example.com,DNS:{HOST}")
    done = run(tmp_path / "tls", certificate=pair[0], key=pair[1])
    assert (done["changed"], done["certificate"], done["key"]) == (False, *pair)
    assert not (tmp_path / "tls").exists()


def test_given_pairs_that_cannot_serve_are_refused(tmp_path: Path) -> None:
    """Each with the file and the reason."""
    names = ("-addext", f"subjectAltName=DNS:{HOST}")
    certificate, key = make_pair(tmp_path, "-nodes", "-days", "2", *names)
    other = tmp_path / "other"
    other.mkdir()
    strange = make_pair(other, "-nodes", "-days", "2", "-addext", "subjectAltName=DNS:other.example.com")
    assert "cannot be read" in given(tmp_path, "/nonexistent.pem", key)
    assert "no certificate" in given(tmp_path, key, key)
    assert "another name" in given(tmp_path, *strange)
    assert "does not belong" in given(tmp_path, certificate, strange[1])
    assert "no private key" in given(tmp_path, certificate, certificate)
    assert "go together" in given(tmp_path, certificate, "")
    locked = make_pair(tmp_path, "-passout", "pass:x", "-days", "2", *names)
    assert "passphrase" in given(tmp_path, *locked)


@pytest.mark.parametrize(
    ("begin", "end", "said"),
    [
        (-400, -35, "has expired"),
        (-1, -1 / 86400, "has expired"),
        (1 / 24, 30, "is not valid before"),
        (400, 500, "is not valid before"),
        (0, 30, ""),
        (-1, 1, ""),
    ],
)
def test_a_given_certificate_is_valid_now(tmp_path: Path, begin: float, end: float, said: str) -> None:
    """One that was made in this very second is; days are counted from now."""
    pair = make_valid(tmp_path, datetime.timedelta(days=begin), datetime.timedelta(days=end))
    message = given(tmp_path, *pair)
    assert (said in message) if said else (message == "")
    assert not said or pair[0] in message


@pytest.mark.parametrize("host", [HOST, "192.0.2.10"])
def test_a_chain_in_the_wrong_order_is_told_from_another_name(tmp_path: Path, host: str) -> None:
    """Proxies serve the first certificate of a file."""
    done = run(tmp_path / "own", host=host)
    leaf, authority = Path(done["certificate"]).read_text(), done["ca_content"]
    chain = tmp_path / "chain.pem"
    chain.write_text(leaf + authority, encoding="ascii")
    assert "failed" not in run(tmp_path / "tls", host=host, certificate=str(chain), key=done["key"])
    chain.write_text(authority + leaf, encoding="ascii")
    said = run(tmp_path / "tls", host=host, certificate=str(chain), key=done["key"])["msg"]
    assert "not as its first" in said and "Put it first" in said and str(chain) in said
    other = run(tmp_path / "tls", host="other.example.com", certificate=str(chain), key=done["key"])["msg"]
    assert "another name" in other
