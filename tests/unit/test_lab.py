# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the lab that need no docker: addresses, names, recipes, and what LAB_SERVER means."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from lab import addresses, hosts, mirrors, recipes, server
from lab.addresses import HostSpec
from lab.paths import IMAGES, RECIPES, SUITES
from lab.registry import Tag
from lab.shell import LabError

PLAN = addresses.plan("10.213.77.0/24")


def test_the_subnet_is_shared_without_overlap() -> None:
    """Docker must never give out an address that somebody may choose."""
    assert (PLAN.gateway, PLAN.registry) == ("10.213.77.1", "10.213.77.2")
    assert (str(PLAN.automatic), str(PLAN.dynamic)) == ("10.213.77.128/26", "10.213.77.192/26")


@pytest.mark.parametrize("subnet", ["", "10.0.0.1/24", "10.0.0.0/8", "10.0.0.0/30", "fd00::/64", "lab"])
def test_an_unusable_subnet_is_refused(subnet: str) -> None:
    """The message names the setting and its value."""
    with pytest.raises(LabError, match=re.escape(f"LAB_SUBNET is '{subnet}'")):
        addresses.plan(subnet)


@pytest.mark.parametrize("address", ["10.213.77.3", "10.213.77.127", "10.213.77.191"])
def test_an_address_can_be_chosen(address: str) -> None:
    """The lower three quarters are open."""
    assert addresses.check(PLAN, address) == address


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("10.213.77.0", "reserved"),
        ("10.213.77.1", "reserved"),
        ("10.213.77.2", "reserved"),
        ("10.213.77.192", "Choose one from 10.213.77.3 to 10.213.77.191"),
        ("10.213.78.9", "outside the lab's network"),
        ("10.213.77", "not an IPv4 address"),
    ],
)
def test_a_chosen_address_is_refused_with_the_reason(address: str, reason: str) -> None:
    """Network, gateway, registry and docker's own share are taken."""
    with pytest.raises(LabError, match=reason):
        addresses.check(PLAN, address)


def test_free_addresses_fill_gaps() -> None:
    """A removed host's address is used again."""
    assert addresses.free(PLAN, ["10.213.77.128", "10.213.77.130"]) == "10.213.77.129"


def test_no_free_address_is_an_error() -> None:
    """It says what to do."""
    with pytest.raises(LabError, match="Remove some hosts"):
        addresses.free(PLAN, map(str, PLAN.automatic))


@pytest.mark.parametrize(
    ("words", "first", "expected"),
    [
        (["web1"], None, [HostSpec("web1")]),
        (["web1", "web2"], "10.213.77.9", [HostSpec("web1", "10.213.77.9"), HostSpec("web2", "10.213.77.10")]),
        (["a1=10.213.77.9@bare-trixie"], None, [HostSpec("a1", "10.213.77.9", "bare-trixie")]),
        (["a1@bare-trixie", "b1"], None, [HostSpec("a1", None, "bare-trixie"), HostSpec("b1")]),
    ],
)
def test_hosts_are_read_from_words(words: list[str], first: str | None, expected: list[HostSpec]) -> None:
    """Address and image may stand behind the name."""
    assert addresses.parse_hosts(words, first) == expected


@pytest.mark.parametrize("word", ["", "a", "-a", "a b", "=10.213.77.9", "a/b"])
def test_a_name_that_docker_refuses_is_refused_first(word: str) -> None:
    """Docker wants two characters at least."""
    with pytest.raises(LabError, match="cannot be a host's name"):
        addresses.parse_hosts([word], None)


def test_the_digest_separates_its_parts(tmp_path: Path) -> None:
    """Moving a character from one part to the next gives another digest."""
    assert recipes.digest(["ab", "c"]) != recipes.digest(["a", "bc"])
    file = tmp_path / "hook"
    file.write_text("one")
    before = recipes.digest([], [file])
    assert recipes.digest([], [file]) == before
    file.write_text("two")
    assert recipes.digest([], [file]) != before


def test_a_recipe_change_changes_the_image_name(tmp_path: Path) -> None:
    """Packages, hook and suite count; where the clone lies does not."""
    recipe = recipes.raw_host("bookworm")
    assert re.fullmatch(rf"{IMAGES}/raw-bookworm:[0-9a-f]{{12}}", recipe.ref)
    copy = tmp_path / recipe.hook.name
    copy.write_bytes(recipe.hook.read_bytes())
    assert recipe._replace(hook=copy).ref == recipe.ref
    copy.write_text("true\n")
    changed = [
        recipe._replace(hook=copy),
        recipe._replace(packages=(*recipe.packages, "less")),
        recipe._replace(suite="trixie"),
        recipe._replace(hook_arguments=()),
        recipe._replace(apt_options=("Acquire::Retries 3",)),
    ]
    assert len({recipe.ref, *(other.ref for other in changed)}) == 6


@pytest.mark.parametrize("suite", SUITES)
def test_every_suite_has_a_whole_recipe(suite: str) -> None:
    """No table leaves one out, and each is built as what it is called."""
    recipe = recipes.raw_host(suite)
    assert recipe.name == f"raw-{suite}"
    assert recipe.suite in recipe.command(Path("out"), None)
    assert "docker.io" in recipe.hook_arguments
    assert hosts._cgroup_options(f"bare-{suite}") == hosts._cgroup_options(f"host-{suite}")


def test_only_the_release_that_is_not_out_yet_may_be_stale() -> None:
    """A stable release's file that has expired is a mirror to be told of."""
    option = '--aptopt=Acquire::Check-Valid-Until "false"'
    assert [suite for suite in SUITES if option in recipes.raw_host(suite).command(Path("out"), None)] == ["forky"]


def test_a_host_with_a_new_systemd_gets_cgroups_of_its_own() -> None:
    """It refuses version 1, which the machine may have; the others share the machine's tree."""
    for image in ("host-forky", "bare-forky"):
        options = hosts._run_options(image)
        assert options[options.index("--cgroupns") + 1] == "private"
        assert "LAB_CGROUP=v2" in options
        assert "/sys/fs/cgroup:/sys/fs/cgroup:rw" not in options
    options = hosts._run_options("host-trixie")
    assert options[options.index("--cgroupns") + 1] == "host"
    assert "/sys/fs/cgroup:/sys/fs/cgroup:rw" in options


def test_conflicting_packages_are_downloaded_in_a_call_of_their_own(tmp_path: Path) -> None:
    """podman-docker cannot be installed beside docker.io, and a host may want either."""
    arguments = recipes.raw_host("bookworm").hook_arguments
    assert arguments[-2:] == ("--", "podman-docker")
    hook = RECIPES / "raw" / "local-repo.sh"
    asked = tmp_path / "asked"
    apt = tmp_path / "apt-get"
    apt.write_text(f'#!/bin/sh\necho "$@" >> {asked}\nexit 0\n')
    apt.chmod(0o755)
    tree = tmp_path / "tree"
    (tree / "var" / "cache" / "apt" / "archives").mkdir(parents=True)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "MMDEBSTRAP_APT_CONFIG": "/dev/null"}
    # ends where it would move what was downloaded: nothing was
    subprocess.run(["sh", str(hook), str(tree), *arguments], env=environment, capture_output=True, check=False)
    first, second = asked.read_text().splitlines()
    assert first.endswith(f" {recipes.LOCAL_PACKAGES[-1]}")
    assert "podman" not in first
    assert second == "install --download-only --yes podman-docker"


def test_a_folder_digest_ignores_byte_code(tmp_path: Path) -> None:
    """Running the stand-in on the machine must not rebuild its images."""
    (tmp_path / "app.py").write_text("pass\n")
    before = recipes.folder_digest(tmp_path)
    cache = tmp_path / "__pycache__"
    cache.mkdir()
    (cache / "app.pyc").write_bytes(b"x")
    assert recipes.folder_digest(tmp_path) == before
    (tmp_path / "app.py").rename(tmp_path / "other.py")
    assert recipes.folder_digest(tmp_path) != before


def test_the_hook_survives_odd_folder_names(tmp_path: Path) -> None:
    """A clone may lie in a folder with blanks."""
    recipe = recipes.raw_host("trixie")._replace(hook=tmp_path / "a b" / "hook.sh")
    hook = next(word for word in recipe.command(tmp_path / "out", None) if word.startswith("--customize-hook="))
    assert f"sh '{tmp_path}/a b/hook.sh' \"$1\" docker.io" in hook


@pytest.mark.parametrize(
    ("value", "word"), [(None, "auto"), ("", "auto"), ("auto", "auto"), ("real", "real"), ("stand-in", "stand-in")]
)
def test_server_words(value: str | None, word: str) -> None:
    """Unset is auto."""
    assert server.parse_choice(value) == server.Choice(word)  # type: ignore[arg-type]


def test_a_server_folder_may_be_relative(tmp_path: Path) -> None:
    """It counts from where the command runs."""
    (tmp_path / "bin").mkdir()
    assert server.parse_choice("bin", tmp_path) == server.Choice("folder", tmp_path / "bin")


def test_an_unknown_server_word_lists_the_choices(tmp_path: Path) -> None:
    """A typing error must not end in the stand-in."""
    with pytest.raises(LabError, match=r"LAB_SERVER is 'standin'.*auto, real, stand-in, or a folder"):
        server.parse_choice("standin", tmp_path)


def test_executables_are_found_in_version_order(tmp_path: Path) -> None:
    """Other files, and files that cannot run, are not servers."""
    for name in ("vaultwarden-1.9.0", "vaultwarden-1.30.5", "vaultwarden-1.31", "vaultwarden-1.32.7.txt", "web-vault"):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "vaultwarden-1.37.2").write_text("")
    assert list(server.executables(tmp_path)) == ["1.9.0", "1.30.5"]


@pytest.mark.parametrize(
    ("version", "ports"), [("1.28.1", "80 3012"), ("1.31.0", "80 3012"), ("1.32.0", "80"), ("1.37.2", "80")]
)
def test_exposed_ports(version: str, ports: str) -> None:
    """1.31.0 still declares the port on which nothing listens any more."""
    assert server.exposed_ports(version) == ports


def test_every_version_is_served_under_both_names() -> None:
    """Docker Hub's and GitHub's repositories, and alpine tags where asked."""
    served = server.tags_for({"1.30.5": "a", "1.37.2": "b"}, {"1.37.2": "c"})
    assert served == {
        Tag("vaultwarden/server", "1.30.5"): "a",
        Tag("vaultwarden/server", "1.37.2"): "b",
        Tag("dani-garcia/vaultwarden", "1.30.5"): "a",
        Tag("dani-garcia/vaultwarden", "1.37.2"): "b",
        Tag("vaultwarden/server", "1.37.2-alpine"): "c",
        Tag("vaultwarden/server", "latest"): "b",
        Tag("dani-garcia/vaultwarden", "latest"): "b",
    }
    assert server.tags_for({}, {}) == {}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("lab.list", "deb [signed-by=/k] http://192.0.2.1/debian bookworm main contrib\n", "http://192.0.2.1/debian"),
        ("lab.list", "# deb http://192.0.2.1/debian bookworm main\n", None),
        (
            "lab.list",
            "deb http://192.0.2.1/tools any main\ndeb http://192.0.2.2/debian/ sid main\n",
            "http://192.0.2.2/debian/",
        ),
        ("lab.list", "deb http://192.0.2.1/debian-security bookworm-security main\n", None),
        (
            "lab.sources",
            "Types: deb\nURIs: http://192.0.2.1/debian\nSuites: sid\nComponents: main\n",
            "http://192.0.2.1/debian",
        ),
        ("lab.sources", "Types: deb-src\nURIs: http://192.0.2.1/debian\nSuites: sid\nComponents: main\n", None),
        ("lab.sources", "Enabled: no\nTypes: deb\nURIs: http://192.0.2.1/debian\nComponents: main\n", None),
    ],
)
def test_the_mirror_comes_from_the_machines_sources(tmp_path: Path, name: str, text: str, expected: str | None) -> None:
    """Only an enabled source of Debian's own packages will do."""
    folder = tmp_path / "sources.list.d"
    folder.mkdir()
    (folder / name).write_text(text)
    assert mirrors.configured_mirror(tmp_path) == expected
