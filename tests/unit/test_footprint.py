# SPDX-License-Identifier: GPL-3.0-or-later
"""What a site leaves behind when it goes: nothing of its own, and everything of others."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vaultwire.stack.plugins.module_utils import _files, _footprint, _proxy
from ansible_collections.vaultwire.stack.plugins.modules import checked_files, site_removal
from tests.unit.fake_module import run_module

ROLE = Path(__file__).resolve().parent.parent.parent / "roles" / "reverse_proxy"
in_every_proxy = pytest.mark.parametrize("provider", sorted(_footprint.FOOTPRINTS))

Files = dict[str, str]


def reader(files: Files) -> Callable[[str], list[tuple[str, str]]]:
    """Files in memory, by pattern."""
    # The star of a shell does not cross folders.
    return lambda pattern: sorted(
        (path, text)
        for path, text in files.items()
        if fnmatch.fnmatchcase(path, pattern) and path.count("/") == pattern.count("/")
    )


def gone(provider: str, site: str, files: Files) -> _footprint.Removal:
    """A removal over files in memory."""
    return _footprint.removal(provider, site, reader(files))


def site_file(provider: str, site: str) -> str:
    """The file that makes a site."""
    return _footprint.FOOTPRINTS[provider].site.format(site=site)


@in_every_proxy
def test_what_a_provider_writes_is_removed(provider: str) -> None:
    """Every path in its tasks is the site's, shared, or known as a file of other hands that stays."""
    text = (ROLE / "tasks" / "providers" / f"{provider}.yml").read_text(encoding="utf-8")
    folder = re.search(r"__reverse_proxy_dir: (\S+)", text)
    text = text.replace("{{ __reverse_proxy_dir }}", folder.group(1) if folder else "")
    paths = re.findall(r"(?m)^ +- path: \"?([^\"\n]+)", text)
    paths += [entry["path"] for entry in _proxy.apache_listen([443])] if provider == "apache" else []
    paths += [entry["path"] for entry in _proxy.caddy_ports([443], [], "X", False)] if provider == "caddy" else []
    mark = _footprint.FOOTPRINTS[provider]
    known = [pattern.format(site="*") for pattern in (mark.site, *mark.own, *mark.shared)]
    known += ["/etc/nginx/nginx.conf", "/etc/caddy/Caddyfile", "/etc/haproxy/haproxy.cfg"]
    known += ["/etc/systemd/system/haproxy.service.d/vaultwire.conf"]
    assert paths
    for path in (re.sub(r"\{\{.*?\}\}", "x", path) for path in paths):
        assert any(fnmatch.fnmatchcase(path, pattern) for pattern in known), path


@in_every_proxy
def test_one_of_two_sites_goes_alone(provider: str) -> None:
    """The other one's files stay, and what both share."""
    mark = _footprint.FOOTPRINTS[provider]
    files = {
        pattern.format(site=site).replace("*", "1"): "x"
        for site in ("one", "two")
        for pattern in (mark.site, *mark.own)
    }
    files.update({pattern.replace("*", "other").replace("?", "0"): "x" for pattern in mark.shared})
    removal = gone(provider, "one", files)
    assert removal.last is False
    assert set(removal.files) == {pattern.format(site="one").replace("*", "1") for pattern in (mark.site, *mark.own)}


@in_every_proxy
def test_the_last_site_takes_along_what_sites_share(provider: str) -> None:
    """And files of other hands stay."""
    mark = _footprint.FOOTPRINTS[provider]
    shared = {pattern.replace("*", "other").replace("?", "0"): "x" for pattern in mark.shared}
    foreign = {str(Path(site_file(provider, "x")).parent / "foreign.conf"): "x"}
    removal = gone(provider, "one", {site_file(provider, "one"): "x", **shared, **foreign})
    assert removal.last is True
    assert removal.files == dict.fromkeys([site_file(provider, "one"), *shared])
    assert gone(provider, "one", foreign).files == {}


def test_a_key_that_another_site_needs_stays() -> None:
    """The port of lighttpd names the certificate of the site that opened it."""
    pem = "/etc/lighttpd/vaultwire/one.pem"
    files = {
        site_file("lighttpd", "one"): "x",
        site_file("lighttpd", "two"): "x",
        pem: "x",
        "/etc/lighttpd/conf-enabled/95-vaultwire-port-443.conf": f'ssl.pemfile = "{pem}"',
    }
    assert pem not in gone("lighttpd", "one", files).files
    assert "/etc/lighttpd/vaultwire/two.pem" in gone("lighttpd", "two", {**files, pem.replace("one", "two"): "x"}).files


HAPROXY = {
    site_file("haproxy", "one"): "x",
    site_file("haproxy", "the-two"): "x",
    "/etc/haproxy/haproxy.cfg": "defaults\n",
    "/etc/haproxy/vaultwire/hosts-443.map": "a.example one\nb.example the_two\n",
    "/etc/haproxy/vaultwire/hosts-8443.map": "c.example one\n",
    "/etc/haproxy/vaultwire/origins-80.map": "a.example https://a.example\nb.example https://b.example\n",
    "/etc/haproxy/conf.d/vaultwire-port-80.cfg": "\tbind :80\n",
    "/etc/haproxy/conf.d/vaultwire-port-443.cfg": "\tbind :443 ssl\n\tbind :::443 v6only\n",
    "/etc/haproxy/conf.d/vaultwire-port-8443.cfg": "\tbind :8443 ssl\n",
    "/etc/systemd/system/haproxy.service.d/vaultwire.conf": "x",
}


def test_haproxy_forgets_the_hosts_of_a_site() -> None:
    """In its maps; a port without hosts goes with the map."""
    files = gone("haproxy", "one", HAPROXY).files
    assert files["/etc/haproxy/vaultwire/hosts-443.map"] == "b.example the_two\n"
    assert files["/etc/haproxy/vaultwire/origins-80.map"] == "b.example https://b.example\n"
    assert {path for path, text in files.items() if text is None} == {
        site_file("haproxy", "one"),
        "/etc/haproxy/vaultwire/hosts-8443.map",
        "/etc/haproxy/conf.d/vaultwire-port-8443.cfg",
    }


def test_haproxy_keeps_reading_files_of_other_hands() -> None:
    """They are read thanks to our addition to the service."""
    last = {path: text for path, text in HAPROXY.items() if "the-two" not in path}
    service = "/etc/systemd/system/haproxy.service.d/vaultwire.conf"
    assert service in gone("haproxy", "one", last).files
    assert service not in gone("haproxy", "one", {**last, "/etc/haproxy/conf.d/by-hand.cfg": "x"}).files


@pytest.mark.parametrize("before", ["", ":80 {\n}\n", "# hello\n\n:80 {\n}\n", "# x\n{\n\temail a@b.example\n}\n"])
def test_a_caddyfile_is_as_it_was(before: str) -> None:
    """Byte for byte, but for blank lines where it was empty."""
    folder = "/etc/caddy/vaultwire"
    text = _proxy.caddyfile_with_imports(before, f"{folder}/options.caddy", f"{folder}/site-*.caddy")
    files = {site_file("caddy", "one"): "x", "/etc/caddy/Caddyfile": text}
    assert gone("caddy", "one", files).files["/etc/caddy/Caddyfile"] == before
    assert "/etc/caddy/Caddyfile" not in gone("caddy", "one", {**files, site_file("caddy", "two"): "x"}).files


NGINX = "http { include /etc/nginx/conf.d/*.conf; include /etc/nginx/sites-enabled/*; }"
KEPT: list[tuple[str, Files, set[tuple[int, str]]]] = [
    (
        "nginx",
        {
            "/etc/nginx/nginx.conf": NGINX,
            site_file("nginx", "one"): "server { listen 443 ssl; }",
            "/etc/nginx/sites-enabled/default": "server { listen 80 default_server; listen [::]:80; }",
        },
        {(80, "/etc/nginx/sites-enabled/default")},
    ),
    (
        "nginx",
        {
            "/etc/nginx/nginx.conf": NGINX,
            site_file("nginx", "one"): "server { listen 443 ssl; }",
            site_file("nginx", "two"): "server { listen 443 ssl; }",
        },
        {(443, site_file("nginx", "two"))},
    ),
    ("nginx", {"/etc/nginx/nginx.conf": 'http { "', site_file("nginx", "one"): "x"}, set()),
    (
        "apache",
        {
            "/etc/apache2/ports.conf": "Listen 80\n<IfModule ssl_module>\n\tListen [::1]:8443\n</IfModule>\n",
            "/etc/apache2/conf-enabled/vaultwire-port-443.conf": "Listen 443\n",
            site_file("apache", "one"): "x",
        },
        {(80, "/etc/apache2/ports.conf"), (8443, "/etc/apache2/ports.conf")},
    ),
    (
        "caddy",
        {
            "/etc/caddy/Caddyfile": "import /etc/caddy/vaultwire/site-*.caddy\nother.example {\n\trespond 200\n}\n",
            site_file("caddy", "one"): "https://h.example:8443 {\n\trespond 200\n}\n",
        },
        {(80, "/etc/caddy/Caddyfile"), (443, "/etc/caddy/Caddyfile")},
    ),
    ("haproxy", {path: text for path, text in HAPROXY.items() if "the-two" not in path}, set()),
    (
        "haproxy",
        HAPROXY,
        {(80, "/etc/haproxy/conf.d/vaultwire-port-80.cfg"), (443, "/etc/haproxy/conf.d/vaultwire-port-443.cfg")},
    ),
    (
        "lighttpd",
        {
            "/etc/lighttpd/lighttpd.conf": "server.port                 = 80\n",
            "/etc/lighttpd/conf-enabled/10-ssl.conf": '$SERVER["socket"] == "[::]:8443" { }\n',
            "/etc/lighttpd/conf-enabled/95-vaultwire-port-443.conf": '$SERVER["socket"] == ":443" { }\n',
            site_file("lighttpd", "one"): "x",
        },
        {(80, "/etc/lighttpd/lighttpd.conf"), (8443, "/etc/lighttpd/conf-enabled/10-ssl.conf")},
    ),
    (
        "traefik",
        {
            "/etc/traefik/vaultwire.yml": "entryPoints:\n  port-443:\n    address: :443\n",
            site_file("traefik", "one"): "x",
            site_file("traefik", "two"): "x",
        },
        {(443, "/etc/traefik/vaultwire.yml")},
    ),
    ("traefik", {"/etc/traefik/vaultwire.yml": "    address: :443\n", site_file("traefik", "one"): "x"}, set()),
]


@pytest.mark.parametrize(("provider", "files", "kept"), KEPT)
def test_ports_that_a_proxy_keeps_are_known_before(provider: str, files: Files, kept: set[tuple[int, str]]) -> None:
    """With the file that says so; what is not understood keeps nothing, and the move can still go back."""
    found = _footprint.own_sites(reader(files), [("one", provider), ("one", "nonsense")])
    own = next(entry for entry in found if entry["provider"] == provider and entry["site"] == "one")
    assert {(entry["port"], entry["file"]) for entry in own["kept_ports"]} == kept
    assert own["process"] == _footprint.FOOTPRINTS[provider].process


@pytest.mark.parametrize(
    ("provider", "sites", "action"),
    [
        ("nginx", ["one"], "reloaded"),
        ("caddy", ["one", "two"], "reloaded"),
        ("lighttpd", ["one", "two"], "restarted"),
        ("apache", ["one", "two"], "reloaded"),
        ("apache", ["one"], "restarted"),
        ("traefik", ["one", "two"], "reloaded"),
        ("traefik", ["one"], "stopped"),
        ("haproxy", ["one"], "stopped"),
    ],
)
def test_a_service_gets_what_it_needs(provider: str, sites: list[str], action: str) -> None:
    """Stopped where it would not start again."""
    files = {site_file(provider, site): "x" for site in sites}
    assert _footprint.action_after(provider, gone(provider, "one", files), reader(files)) == action


@pytest.fixture
def nginx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """The module, over a proxy in a folder of the test; ``check`` is its checker, ``keep`` as in the module."""
    program = tmp_path / "bin"
    (tmp_path / "sites").mkdir()
    program.mkdir()

    def run(check: str = "true", keep: str = "", there: bool = True, **more: Any) -> dict[str, Any]:
        mark = _footprint.Footprint("proxy", str(tmp_path / "sites" / "{site}.conf"), ("sh", "-c", check))
        monkeypatch.setitem(_footprint.FOOTPRINTS, "nginx", mark._replace(folders=(str(tmp_path / "sites"),)))
        monkeypatch.setattr(site_removal, "_SYSTEM_PATH", str(program) if there else "/nonexistent")
        monkeypatch.setattr(site_removal, "_runs", lambda *__: True)
        (program / "proxy").write_text("")
        (program / "proxy").chmod(0o755)
        given = {"provider": "nginx", "site": "one", "service": "proxy", "marker": str(tmp_path / "run" / "reload")}
        return run_module(site_removal.main, **given, keep=keep, **more)

    return run


def test_the_last_site_goes_with_its_folder(tmp_path: Path, nginx: Callable[..., dict[str, Any]]) -> None:
    """And is owed a reload until that is done; a run with nothing to do says so."""
    site = tmp_path / "sites" / "one.conf"
    assert nginx()["changed"] is False
    site.write_text("x")
    looked = nginx(_ansible_check_mode=True)
    assert (looked["changed"], looked["written"], site.exists()) == (True, [str(site)], True)
    done = nginx()
    assert (done["changed"], done["last"], done["action"]) == (True, True, "reloaded")
    assert not site.parent.exists()
    again = nginx()
    assert (again["changed"], again["pending"], again["action"]) == (True, True, "reloaded")
    (tmp_path / "run" / "reload").unlink()
    assert (nginx()["changed"], nginx()["action"]) == (False, "")


def test_a_removal_that_is_refused_takes_nothing(tmp_path: Path, nginx: Callable[..., dict[str, Any]]) -> None:
    """Not even copies stay."""
    site = tmp_path / "sites" / "one.conf"
    site.write_text("x")
    done = nginx("echo another site needs it; exit 1", keep=str(tmp_path / "copies"))
    assert done["failed"] is True
    assert "another site needs it" in done["msg"]
    assert (site.read_text(), (tmp_path / "copies").exists()) == ("x", False)


def test_a_proxy_that_was_uninstalled_is_not_asked(tmp_path: Path, nginx: Callable[..., dict[str, Any]]) -> None:
    """Its files go all the same."""
    (tmp_path / "sites" / "one.conf").write_text("x")
    assert nginx("exit 1", there=False)["changed"] is True


def test_a_removal_can_be_taken_back(tmp_path: Path, nginx: Callable[..., dict[str, Any]]) -> None:
    """Content and mode as before; a run that goes on after an interruption does not overwrite the copies."""
    site, copies = tmp_path / "sites" / "one.conf", tmp_path / "copies"
    site.write_text("secret")
    site.chmod(0o640)
    nginx(keep=str(copies))
    assert not site.parent.exists()
    nginx(keep=str(copies))
    assert copies.stat().st_mode & 0o777 == 0o700
    undo = {"undo": str(copies), "check": ["true"], "marker": str(tmp_path / "run" / "other")}
    undo["tidy"] = [str(tmp_path / "empty*")]
    (tmp_path / "empty-1").mkdir()
    (tmp_path / "empty-2").symlink_to("/nonexistent")
    (tmp_path / "empty-3").symlink_to(tmp_path)
    done = run_module(checked_files.main, **undo)
    assert (done["changed"], done["written"]) == (True, [str(site)])
    assert "secret" not in done["printed"]
    assert [path.name for path in tmp_path.glob("empty*")] == ["empty-3"]
    assert (site.read_text(), site.stat().st_mode & 0o777) == ("secret", 0o640)
    _files.drop_copies(str(copies))
    (tmp_path / "run" / "other").unlink()
    assert run_module(checked_files.main, **undo)["changed"] is False
