# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret is found anywhere but in the files meant to hold it, after runs that say and keep all they can.

The tests run in this order: the first ones fill the folder that the last ones search.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import argon2
import harvest
import pytest
from actions import PROJECT, SCENARIO
from conftest import inventory
from vault import Vault

HOST = "vw-secrets"
SECRETS = harvest.planted(inventory()[HOST])
#: Files meant to hold secrets: those the server reads, and the copies an upgrade can return to.
MEANT = re.compile(r"/etc/vaultwarden/secrets/[a-z_]+|/var/lib/vaultwire/upgrades/.+")
#: An account that is not there; the variable keeps its password off the command line.
NO_ACCOUNT = {
    "notifications_check_email": "nobody@example.com",
    "notifications_check_password": "{{ lab_check_password }}",
    "vaultwarden_version": "1.37.2",
}
#: The release after the upgrade, for the runs that come then.
UPGRADED = {"vaultwarden_version": "1.37.2"}
#: With another admin token; the live update then proves that it opens the door.
NEXT_TOKEN = {"vaultwarden_admin_token": "{{ lab_next_token }}", "vaultwarden_version": "1.37.2"}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that the controller keeps of the runs: logs, outputs, facts, temporary files, reports."""
    folder = tmp_path_factory.mktemp("kept")
    for name in ("facts", "temporary", "reports"):
        (folder / name).mkdir()
    return folder


def run(kept: Path, program: str, *arguments: str) -> int:
    """Run one of Ansible's programs as talkative as it gets, with the processes watched; its exit code."""
    inventories = (SCENARIO / "inventory", PROJECT / "molecule" / "shared" / "inventory")
    command = [program, "-vvv", "--diff", *(f"--inventory={path}" for path in inventories), *arguments]
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
        "ANSIBLE_CACHE_PLUGIN": "jsonfile",
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(kept / "facts"),
        "ANSIBLE_LOCAL_TEMP": str(kept / "temporary"),
        "ANSIBLE_LOG_PATH": str(kept / "ansible.log"),
    }
    with harvest.sampled(HOST, SECRETS) as samples, (kept / "output").open("a", encoding="utf-8") as output:
        code = subprocess.run(
            command, cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False
        ).returncode
    assert [sample["hits"] for sample in samples] == [[], []]
    assert min(sample["rounds"] for sample in samples) >= 5
    return code


def admin_hash() -> str:
    """What the server reads as its admin token."""
    return harvest.on_host(HOST, "cat /etc/vaultwarden/secrets/admin_token")


def run_again(kept: Path, variables: dict[str, str]) -> str:
    """Run site.yml once more; what its last lines say."""
    given = f"--extra-vars={json.dumps(variables)}"
    assert run(kept, "ansible-playbook", given, "playbooks/site.yml") == 0, end_of_output(kept)
    return end_of_output(kept).rpartition("PLAY RECAP")[2]


def end_of_output(kept: Path) -> str:
    """To be shown with a failure."""
    return (kept / "output").read_text(encoding="utf-8")[-4000:]


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    """In files, in Base64 at any place, in arguments and environments: a search that finds nothing proves nothing."""
    secrets = {"control": "planted-control-6f20d1"}
    for skip in range(3):
        text = harvest.base64.b64encode(b"x" * skip + secrets["control"].encode() + b"yz").decode()
        assert harvest.hits_in_text(text, secrets)
    (tmp_path / "log").write_text(f"password={secrets['control']}", encoding="utf-8")
    assert harvest.hits_in_tree(tmp_path, secrets) == {"log: control (plain 0)"}
    harvest.on_host(HOST, "umask 022; cat > /var/tmp/control", secrets["control"])
    assert harvest.files_on_host(HOST, secrets) == {"/var/tmp/control": "644 0"}
    harvest.on_host(HOST, "rm /var/tmp/control")
    with harvest.sampled(HOST, secrets) as samples:
        script = 'X=$(cat) sh -c "sleep 1; :"; sh -c "sleep 1; : $0"'
        harvest.on_host(HOST, f"{script} {secrets['control']}", secrets["control"])
    assert {hit.partition(" of ")[0] for hit in samples[1]["hits"]} == {"control in cmdline", "control in environ"}


def test_every_secret_of_the_server_is_planted() -> None:
    """All that the role knows as secrets, and those of the checks; the stand-in has no other database than a file."""
    from ansible_collections.vaultwire.stack.plugins.module_utils._settings import SECRET_VARIABLES

    expected = (SECRET_VARIABLES - {"ADMIN_TOKEN", "DATABASE_URL"}) | {
        "vaultwarden_admin_token",
        "lab_check_password",
        "lab_next_token",
    }
    assert set(SECRETS) == expected


@pytest.mark.parametrize(
    ("playbook", "arguments", "succeeds"),
    [
        ("site", [], True),
        ("backup", [], True),
        ("upgrade", [f"--extra-vars={json.dumps(UPGRADED)}"], True),
        ("verify", [f"--extra-vars={json.dumps(UPGRADED)}"], True),
        ("verify", [f"--extra-vars={json.dumps(NO_ACCOUNT)}"], False),
    ],
    ids=["site", "backup", "upgrade", "verify", "a login that is refused"],
)
def test_no_process_shows_a_secret(kept: Path, playbook: str, arguments: list[str], succeeds: bool) -> None:
    """Neither on the controller nor on the host, in arguments and environments; and the admin token stays a hash."""
    before = admin_hash()
    reports = f"--extra-vars=notifications_check_report_dir={kept / 'reports'}"
    code = run(kept, "ansible-playbook", reports, *arguments, f"playbooks/{playbook}.yml")
    assert (code == 0) is succeeds, end_of_output(kept)
    assert playbook == "site" or admin_hash() == before


def test_the_host_has_a_hash_that_only_a_new_token_changes(kept: Path, vault: Vault) -> None:
    """Another run keeps it; the plain text opens the admin page, and nothing else does."""
    first = admin_hash()
    assert argon2.PasswordHasher().verify(first, SECRETS["vaultwarden_admin_token"])
    assert "changed=0 " in run_again(kept, UPGRADED)
    assert admin_hash() == first
    run_again(kept, NEXT_TOKEN)
    assert argon2.PasswordHasher().verify(admin_hash(), SECRETS["lab_next_token"])
    answers = {
        name: vault.request("POST", "/admin", data={"token": SECRETS[name]}).status_code
        for name in ("vaultwarden_admin_token", "lab_next_token")
    }
    answers["hash"] = vault.request("POST", "/admin", data={"token": admin_hash()}).status_code
    assert answers == {"vaultwarden_admin_token": 401, "lab_next_token": 200, "hash": 401}


def test_the_controller_keeps_no_secret(kept: Path) -> None:
    """Output and log at -vvv with differences, cached facts, temporary files, reports."""
    assert run(kept, "ansible", HOST, "--module-name=ansible.builtin.setup", "--become") == 0, end_of_output(kept)
    names = {path.name for path in kept.rglob("*") if path.is_file()}
    assert {"output", "ansible.log", "report.json", "report.html"} <= names
    assert [path for path in (kept / "facts").iterdir() if path.name.endswith(HOST)]
    assert harvest.hits_in_tree(kept, {**SECRETS, "hash": admin_hash()}) == set()


def test_the_host_keeps_secrets_where_they_belong_only() -> None:
    """Every file is searched; those that hold one are the server's, for it and root alone."""
    found = harvest.files_on_host(HOST, SECRETS)
    assert {path: mode for path, mode in found.items() if not MEANT.fullmatch(path)} == {}
    assert {mode.split()[0] for mode in found.values()} <= {"400", "600"}
    # All but the account's password; and of the admin's tokens the host has seen hashes only.
    meant = {variable.lower() for variable in SECRETS if variable.isupper()}
    assert {Path(path).name for path in found if path.startswith("/etc/vaultwarden/secrets/")} == meant
    tokens = {name: SECRETS[name] for name in ("vaultwarden_admin_token", "lab_next_token")}
    assert harvest.files_on_host(HOST, tokens) == {}


@pytest.mark.parametrize(
    "script",
    [
        "docker container inspect $(docker ps -aq)",
        "for name in $(docker ps -q); do cat /proc/$(docker inspect -f '{{.State.Pid}}' $name)/environ; done",
        "for name in $(docker ps -aq); do docker logs $name 2>&1; done",
        "journalctl --no-pager --all --output=export",
        "cat /var/log/nginx/*",
        "find /var/lib/vaultwire /var/lib/vaultwarden /var/backups -ls; ls -R /root/.ansible /tmp /var/tmp 2>&1",
    ],
    ids=["inspect", "environment", "server's log", "journal", "proxy's log", "listings"],
)
def test_what_the_host_says_holds_no_secret(script: str) -> None:
    """The engine, the container's first process, the logs, the names of files."""
    said = harvest.on_host(HOST, script)
    assert said.strip()
    assert harvest.hits_in_text(said, SECRETS) == set()


def test_private_keys_leave_the_host_in_no_output(kept: Path) -> None:
    """Keys that were made on the host: the server's for tokens, the authority's and the site's."""
    script = "cat /var/lib/vaultwarden/rsa_key*.pem /etc/vaultwire/tls/*.key"
    lines = [line for line in harvest.on_host(HOST, script).splitlines() if len(line) >= 40 and "-----" not in line]
    assert lines
    kept_texts = [path.read_text(encoding="utf-8", errors="replace") for path in kept.rglob("*") if path.is_file()]
    assert not [line for line in lines for text in kept_texts if line in text]
    modes = harvest.on_host(HOST, "stat -c %a /etc/vaultwire/tls/*.key").split()
    assert set(modes) <= {"400", "600"}
