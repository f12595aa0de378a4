# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a vault, run by one controller on one host. In this order; run with -x, since each needs those before."""

from __future__ import annotations

import json

from tests.matrix.cell import FROM_RELEASE, Cell

OLD = f"--extra-vars=vaultwarden_version={FROM_RELEASE}"
URL = "https://vault.example.com"


def test_the_controller_is_what_the_table_says(cell: Cell) -> None:
    """Its Python and its core; what both sides have is kept for the table."""
    found = cell.versions()
    assert found["core"] == cell.controller.packages()["ansible-core"]
    assert found["python"].startswith(f"{cell.controller.python}.")
    (cell.folder / "versions.json").write_text(json.dumps(found, indent=2), encoding="utf-8")


def test_check_mode_on_a_fresh_host(cell: Cell) -> None:
    """It says what would be done, and does nothing of it."""
    run = cell.play("site", "--check", "--diff", OLD)
    assert run.ok, run.output
    assert cell.on_host("docker", "ps", "--all", "--quiet") == ""
    assert cell.on_host("sh", "-c", "ls -d /etc/vaultwarden /var/lib/vaultwarden 2>/dev/null || true") == ""


def test_a_vault_is_deployed_and_proved(cell: Cell) -> None:
    """With a live update, by an account that is made for it."""
    run = cell.play("site", OLD)
    assert run.ok, run.output
    assert run.changed > 0
    assert "in one session reached another" in run.output


def test_a_second_run_changes_nothing(cell: Cell) -> None:
    """And proves again."""
    run = cell.play("site", OLD)
    assert run.ok, run.output
    assert run.changed == 0, run.output


def test_an_upgrade_in_place(cell: Cell) -> None:
    """To the release of the inventory, with proofs before and after the swap."""
    run = cell.play("upgrade")
    assert run.ok, run.output
    assert run.changed > 0
    assert "in one session reached another" in run.output


def test_check_mode_on_a_deployed_host_has_nothing_to_say(cell: Cell) -> None:
    """Of the vault as the upgrade left it."""
    run = cell.play("site", "--check", "--diff")
    assert run.ok, run.output
    assert run.changed == 0, run.output


def test_a_backup_is_made(cell: Cell) -> None:
    """By the host's own Python."""
    run = cell.play("backup")
    assert run.ok, run.output
    assert "The newest backup of vaultwarden is" in run.output


def test_the_vault_is_proved_by_its_address_alone(cell: Cell) -> None:
    """No inventory, no login on the host."""
    authority = cell.folder / "ca.pem"
    authority.write_text(cell.on_host("cat", "/etc/vaultwire/tls/ca.pem"), encoding="ascii")
    settings = {
        "notifications_check_url": URL,
        "notifications_check_connect_to": cell.address,
        "notifications_check_ca_file": str(authority),
    }
    run = cell.play("verify", f"--extra-vars={json.dumps(settings)}", hosts=False)
    assert run.ok, run.output
    assert f"{URL} runs 1.37.2 (single_port)" in " ".join(run.output.split())


def test_no_run_said_a_warning(cell: Cell) -> None:
    """A deprecation today is a failure with one of the next releases."""
    assert sorted(set(cell.warnings)) == []
