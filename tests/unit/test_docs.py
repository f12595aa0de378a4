# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documents say is compared with the repository: commands, paths, variables, tests, codes, results."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.vaultwire.stack.plugins.module_utils import _diagnosis, _host_findings
from ansible_collections.vaultwire.stack.plugins.modules import hub_probe, live_update
from tools import make_diagnosis

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md")), ROOT / "lab" / "README.md"]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())

COMMAND = re.compile(r"(?:^|[`$] ?|LAB_SERVER=\S+ )make ([a-z][a-z-]*)", re.MULTILINE)
TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)
FOLDERS = "changelogs|docs|inventories|lab|molecule|playbooks|plugins|roles|tests|tools"
#: From the word's beginning, so that a path on a host such as /srv/lab/x is none.
PLACE = re.compile(rf"(?<![\w./<-])((?:{FOLDERS})/[\w./*<>-]*)")
#: A program of Ansible with arguments, up to the end of the line or of the code.
CALL = re.compile(
    r"((?:[\w./]+/)?ansible-(?:playbook|vault|doc) (?:-|playbooks/|vaultwire\.|(?:create|edit|encrypt|view) )[^`\n]*)"
)
LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")
VARIABLE = re.compile(rf"\b(?:{'|'.join(ROLES)})_[a-z0-9_]+\b")
DEFAULT = re.compile(r"^(?:# )?([a-z][a-z0-9_]*):", re.MULTILINE)
TEST = re.compile(r"\btest_[a-z0-9_]+\b(?!\.py)")
CODE = re.compile(r"\bVW-[A-Z][0-9]{2}\b")
CODES = {entry.code for texts in (_diagnosis._TEXTS, _host_findings.TEXTS) for entry in texts.values()}

#: The user's own copy of the example, which the README tells how to make.
OF_THE_USER = "inventories/mine"

in_every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def text_of(document: Path) -> str:
    """The words of a document."""
    return document.read_text(encoding="utf-8")


def variables() -> set[str]:
    """Every variable of a role that can be set, and those in vars/ that playbooks may read."""
    files = [path for kind in ("defaults", "vars") for path in ROOT.glob(f"roles/*/{kind}/main.yml")]
    return {name for path in files for name in DEFAULT.findall(path.read_text(encoding="utf-8"))}


def is_there(place: str) -> bool:
    """Whether a path, perhaps with a pattern or a <name> in it, fits something in the repository."""
    return any(ROOT.glob(re.sub(r"<[^>]*>", "*", place).rstrip("/.")))


def test_there_are_as_many_bad_inputs_as_is_said() -> None:
    """On the page on reliability; more are welcome."""
    rows = yaml.safe_load((ROOT / "tests" / "bad_input.yml").read_text(encoding="utf-8"))
    said = re.search(r"more than (\d+) rows", text_of(ROOT / "docs" / "reliability.md"))
    assert said
    assert len(rows) > int(said.group(1))


def test_the_table_of_diagnoses_is_current() -> None:
    """Written by tools/make_diagnosis.py and committed."""
    assert make_diagnosis.main(["--check"]) == 0


def test_an_outdated_table_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The check fails for a missing and for a changed page, and writing it helps."""
    monkeypatch.setattr(make_diagnosis, "ROOT", tmp_path)
    monkeypatch.setattr(make_diagnosis, "PAGE", tmp_path / "diagnosis.md")
    assert make_diagnosis.main(["--check"]) == 1
    assert make_diagnosis.main([]) == 0
    assert make_diagnosis.main(["--check"]) == 0
    make_diagnosis.PAGE.write_text("other", encoding="utf-8")
    assert make_diagnosis.main(["--check"]) == 1
    assert "outdated" in capsys.readouterr().out
    assert make_diagnosis.main(["--nonsense"]) == 2


def test_the_table_has_every_text_once() -> None:
    """One row for each, and nothing that breaks the table."""
    rows = [line for line in make_diagnosis.page().splitlines() if line.startswith("| VW-")]
    assert len(rows) == len(_diagnosis._TEXTS) + len(_host_findings.TEXTS)
    assert all(len(re.split(r"(?<!\\)\|", row)) == 7 for row in rows)
    assert not [row for row in rows if "{" in row]


@in_every_document
def test_commands_of_make_exist(document: Path) -> None:
    """A target that was renamed is renamed here, too."""
    targets = set(TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    assert set(COMMAND.findall(text_of(document))) <= targets


def test_contributing_names_every_command_of_make() -> None:
    """A new target is explained there."""
    targets = set(TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    assert targets - set(COMMAND.findall(text_of(ROOT / "CONTRIBUTING.md"))) == set()


@in_every_document
def test_paths_exist(document: Path) -> None:
    """Of the repository, as words and as links."""
    places = {place for place in PLACE.findall(text_of(document)) if not place.startswith(OF_THE_USER)}
    assert [place for place in sorted(places) if not is_there(place)] == []
    links = {link for link in LINK.findall(text_of(document)) if "://" not in link}
    assert [link for link in sorted(links) if not (document.parent / link).exists()] == []


def commands_of(text: str) -> list[str]:
    """Every call of Ansible that is shown, on one line, with the path of its program."""
    return [found.strip() for found in CALL.findall(text.replace("\\\n", " "))]


CALLS = [
    *DOCUMENTS,
    *sorted(path for path in (*ROOT.glob("playbooks/**/*.yml"), *ROOT.glob("inventories/**/*.yml"))),
    *sorted(ROOT.glob("roles/*/defaults/main.yml")),
]


@pytest.mark.parametrize("document", CALLS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_name_the_readers_inventory_and_the_installed_ansible(document: Path) -> None:
    """A command that is copied acts on the reader's hosts. Another Ansible may be too old, or there is none."""
    commands = commands_of(text_of(document))
    assert [command for command in commands if not command.startswith(".venv/bin/")] == []
    plays = [command for command in commands if "ansible-playbook " in command]
    by_address = [play for play in plays if re.search(r"playbooks/verify\.yml -e notifications_check_url=", play)]
    lacking = [play for play in plays if f" -i {OF_THE_USER} playbooks/" not in play and play not in by_address]
    assert lacking == []


def test_commands_are_found_in_the_documents() -> None:
    """The test above sees what is shown, and knows a command without an inventory."""
    assert len(commands_of(text_of(ROOT / "README.md"))) > 5
    assert commands_of("Run `ansible-playbook playbooks/x.yml` twice.\n# ansible-vault edit x") == [
        "ansible-playbook playbooks/x.yml", "ansible-vault edit x"
    ]  # fmt: skip
    assert commands_of("on the machine of ansible-playbook or on the host") == []


def test_no_inventory_is_the_default() -> None:
    """Else a run without -i would act on the machine it is typed on."""
    assert "inventory" not in (ROOT / "ansible.cfg").read_text(encoding="utf-8")


@in_every_document
def test_variables_exist(document: Path) -> None:
    """Those shown as comments in the defaults included, and those that a playbook itself takes."""
    of_playbooks = {name for path in ROOT.glob("playbooks/vars/*.yml") for name in VARIABLE.findall(text_of(path))}
    assert set(VARIABLE.findall(text_of(document))) - variables() - of_playbooks - set(ROLES) == set()


@in_every_document
def test_tests_that_are_named_exist(document: Path) -> None:
    """A claim without its test would be a promise."""
    files = [path for folder in ("molecule", "tests") for path in ROOT.glob(f"{folder}/**/test_*.py")]
    known = {name for path in files for name in re.findall(r"^def (test_\w+)", text_of(path), re.MULTILINE)}
    assert set(TEST.findall(text_of(document))) - known == set()


@in_every_document
def test_codes_that_are_named_exist(document: Path) -> None:
    """In the texts of the diagnosis."""
    assert set(CODE.findall(text_of(document))) <= CODES


def test_every_code_is_in_the_table() -> None:
    """Whoever looks for one finds it."""
    assert set(CODE.findall(text_of(ROOT / "docs" / "diagnosis.md"))) == CODES


def test_the_sample_report_has_the_keys_of_the_modules() -> None:
    """As their own documentation names them."""
    found = re.search(r"^```json\n(.*?)^```", text_of(ROOT / "docs" / "proving.md"), re.MULTILINE | re.DOTALL)
    assert found
    report: dict[str, Any] = json.loads(found.group(1))
    probe, live = yaml.safe_load(hub_probe.RETURN), yaml.safe_load(live_update.RETURN)
    assert report.keys() == {"url", "probe", "live_update"}
    assert report["probe"].keys() == probe.keys() - {"internal_error"}
    assert report["probe"]["hub"].keys() == probe["hub"]["contains"].keys()
    assert report["live_update"].keys() == live.keys() - {"skipped", "missing", "internal_error"}
    assert report["live_update"]["account"].keys() == live["account"]["contains"].keys()


@in_every_document
def test_examples_use_addresses_for_documentation(document: Path) -> None:
    """RFC 5737, loopback, all addresses, and the lab's own network."""
    allowed = re.compile(r"(192\.0\.2|198\.51\.100|203\.0\.113|127\.0\.0|10\.213\.77|0\.0\.0)\.\d+")
    addresses = re.findall(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.]*\d)", text_of(document))
    assert [address for address in addresses if not allowed.fullmatch(address)] == []


def test_the_licence_is_the_whole_text() -> None:
    """Verbatim, from its title to its last line."""
    lines = text_of(ROOT / "LICENSE").splitlines()
    assert lines[0].strip() == "GNU GENERAL PUBLIC LICENSE"
    assert lines[-1].strip().endswith("lgpl.html>.")
    assert len(lines) == 674
