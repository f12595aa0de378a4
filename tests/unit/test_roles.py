# SPDX-License-Identifier: GPL-3.0-or-later
"""House rules that are checked rather than remembered: specs equal defaults, names, and where versions may stand."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader

from ansible_collections.vaultwire.stack.plugins.filter import proxy, vault
from ansible_collections.vaultwire.stack.plugins.module_utils._layout import LayoutPlan
from tools import make_defaults

ROOT = Path(__file__).resolve().parent.parent.parent
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())
COMMENTED = re.compile(r"^# ([a-z_]+): ", re.MULTILINE)

#: What Ansible looks for by name, and what Python calls.
CALLED_FROM_OUTSIDE = {
    *("DOCUMENTATION", "EXAMPLES", "RETURN", "ActionModule", "FilterModule", "ModuleDocFragment", "filters"),
    # Attributes of an action, and what http.client and io call.
    *("_supports_diff", "_requires_connection", "makefile", "readinto"),
}
#: Where the second port's number may stand: the model; and the lab, which plays the server on the other side.
MAY_NAME_THE_PORT = ("plugins/module_utils/_layout.py", "lab/")


def load(path: Path) -> Any:
    """A YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def sources(*patterns: str) -> list[Path]:
    """Files of the product."""
    return [path for pattern in patterns for path in sorted(ROOT.glob(pattern)) if path.is_file()]


@pytest.mark.parametrize("role", ROLES)
def test_specs_and_defaults_are_the_same(role: str) -> None:
    """Names and literal values; a variable without a default is shown as a comment and has none in the spec."""
    path = ROOT / "roles" / role / "defaults" / "main.yml"
    defaults = load(path)
    options = load(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    commented = {name for name in COMMENTED.findall(path.read_text(encoding="utf-8")) if name.startswith(f"{role}_")}
    assert {name: option["default"] for name, option in options.items() if "default" in option} == defaults
    assert {name for name, option in options.items() if "default" not in option} == commented - set(defaults)


def test_the_words_of_a_setting_stand_in_its_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """tools/make_defaults.py writes the comments of the defaults, and keeps examples, values and the introduction."""
    assert make_defaults.main(["--check"]) == 0
    shutil.copytree(ROOT / "roles", tmp_path / "roles")
    monkeypatch.setattr(make_defaults, "ROOT", tmp_path)
    path = tmp_path / "roles" / "vaultwarden" / "defaults" / "main.yml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("# Name of the container.", "# Another name."), encoding="utf-8")
    assert make_defaults.main(["--check"]) == 1
    assert make_defaults.main([]) == 0
    assert path.read_text(encoding="utf-8") == text


def test_a_new_setting_is_added_to_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its default, or as a comment where it has none; each paragraph about a value is set in."""
    role = tmp_path / "roles" / "engine"
    (role / "meta").mkdir(parents=True)
    (role / "defaults").mkdir()
    options = {
        "engine_list": {"description": ["First.", "V(a): " + "word " * 30], "default": [1]},
        "engine_known": {"description": "Known, with O(engine_list).", "default": 1},
        "engine_name": {"description": "Name."},
    }
    specs = {"argument_specs": {"main": {"options": options}}}
    (role / "meta" / "argument_specs.yml").write_text(yaml.safe_dump(specs, sort_keys=False), encoding="utf-8")
    known = "---\n# What it is.\n\n# Gone.\nengine_gone: 1\n\n# Old.\n# Example: 2\nengine_known:\n  - 1\n"
    (role / "defaults" / "main.yml").write_text(known, encoding="utf-8")
    monkeypatch.setattr(make_defaults, "ROOT", tmp_path)
    assert make_defaults.defaults("engine").split("\n\n") == [
        "---\n# What it is.",
        "# First.\n#   a: " + "word " * 21 + "word\n#     " + "word " * 7 + "word\nengine_list:\n- 1",
        "# Known, with engine_list.\n# Example: 2\nengine_known:\n  - 1",
        "# Name.\n# engine_name: ...\n",
    ]


@pytest.mark.parametrize("role", ROLES)
def test_no_two_settings_have_the_same_words(role: str) -> None:
    """What was copied from another setting says nothing of this one."""
    options = load(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    seen: dict[str, str] = {}
    for name, option in options.items():
        other = seen.setdefault(str(option["description"]), name)
        assert other == name, f"{name} is described like {other}"


@pytest.mark.parametrize("role", ROLES)
def test_descriptions_are_not_folded_tables(role: str) -> None:
    """A list that is written into a folded text comes out as one line. Rows are paragraphs of their own."""
    options = load(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    for name, option in options.items():
        paragraphs = option["description"] if isinstance(option["description"], list) else [option["description"]]
        for paragraph in paragraphs:
            assert "  " not in paragraph and "\n" not in paragraph, f"{name}: {paragraph}"
            assert paragraph.endswith((".", ")")), f"{name}: {paragraph}"


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_has_a_type_and_a_description(role: str) -> None:
    """Descriptions are templated by Ansible, so they must not look like templates."""
    specs = load(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]
    for entry in specs.values():
        assert entry["short_description"] and entry["description"]
    for name, option in specs["main"]["options"].items():
        assert name.startswith(f"{role}_"), name
        assert option["type"], name
        assert option["description"], name
        assert "{{" not in str(option), name
        if re.search(r"(password|token|secret)$", name):
            assert option["type"] == "str", f"{name}: a failing spec prints values of other types"
            assert "choices" not in option, name


@pytest.mark.parametrize("role", ROLES)
def test_internal_names_carry_the_role(role: str) -> None:
    """Registered and loop variables are __<role>_*; a role sets no fact."""
    for path in sources(f"roles/{role}/tasks/**/*.yml", f"roles/{role}/handlers/*.yml"):
        text = path.read_text(encoding="utf-8")
        assert "set_fact" not in text, path
        assert "ignore_errors" not in text, path
        for name in re.findall(r"(?:register|loop_var): (\S+)", text):
            assert name.startswith(f"__{role}_"), f"{path}: {name}"


@pytest.mark.parametrize("role", ROLES)
def test_the_first_file_of_a_role_is_a_table_of_contents(role: str) -> None:
    """It brings other files in, and does next to nothing itself."""
    tasks = load(ROOT / "roles" / role / "tasks" / "main.yml")
    brings_in = [task for task in tasks if any("_tasks" in key for key in task)]
    assert len(tasks) - len(brings_in) <= 1


def test_the_second_port_stands_in_the_model_only() -> None:
    """A number in a second place is one that is forgotten when the first changes."""
    for path in sources(
        "plugins/**/*.py", "roles/**/*.yml", "roles/**/*.j2", "playbooks/**/*.yml", "tools/*", "lab/*.py"
    ):
        name = str(path.relative_to(ROOT))
        if not name.startswith(MAY_NAME_THE_PORT):
            assert "3012" not in path.read_text(encoding="utf-8"), name


def test_versions_of_the_server_are_compared_in_the_model_only() -> None:
    """Roles and playbooks ask it; the proxy's own version is another matter."""
    for path in sources("roles/vaultwarden/**/*", "roles/notifications_check/**/*", "playbooks/**/*.yml"):
        assert "is version(" not in path.read_text(encoding="utf-8"), path


def test_what_is_absent_is_asked_for_by_name() -> None:
    """What default(none) gives has differed between releases of ansible-core; "is defined" and default('') have not."""
    files = sources("roles/**/*.yml", "playbooks/**/*.yml", "roles/**/*.j2")
    assert [path for path in files if re.search(r"default\(\s*[Nn]one\b", path.read_text(encoding="utf-8"))] == []


def product() -> str:
    """All that is delivered and runs, as one text."""
    patterns = ("plugins/**/*.py", "roles/**/*.py", "roles/**/*.yml", "roles/**/*.j2", "playbooks/**/*.yml")
    return "\n".join(path.read_text(encoding="utf-8") for path in sources(*patterns))


def defined(path: Path) -> Iterator[str]:
    """Functions, classes, constants, methods and fields of a file."""
    bodies = [ast.parse(path.read_text(encoding="utf-8")).body]
    bodies += [node.body for node in bodies[0] if isinstance(node, ast.ClassDef)]
    for node in (node for body in bodies for node in body):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def test_no_code_of_the_product_is_there_for_tests_alone() -> None:
    """What the product defines, the product uses. A name that only its definition holds is dead."""
    words = Counter(re.findall(r"\w+", product()))
    dead = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources("plugins/**/*.py")
        for name in defined(path)
        if words[name] < 2 and not name.startswith("__") and name not in CALLED_FROM_OUTSIDE
    }
    assert not dead


def test_every_part_of_the_plan_is_used() -> None:
    """A model is trusted because everything in it is used; likewise what the filter adds for the roles."""
    text = product()
    for field in dataclasses.fields(LayoutPlan):
        assert re.search(rf"\bplan\.{field.name}\b", text) or re.search(
            rf"\bvaultwarden_plan(?: \| default\(\{{\}}\)\))?\.{field.name}\b", text
        ), field.name
    added = set(re.findall(r'^        "(\w+)":', inspect.getsource(vault.vaultwarden_plan), re.MULTILINE))
    assert added
    for name in added:
        assert re.search(rf"\bvaultwarden_plan\.{name}\b", text), name


def test_every_filter_is_used() -> None:
    """By a role or a playbook."""
    text = product()
    for name in (*vault.FilterModule().filters(), *proxy.FilterModule().filters()):
        assert f"vaultwire.stack.{name}" in text, name


def test_the_words_of_an_error_decide_nothing() -> None:
    """An exception says by its type or its attributes what it is about: its text holds values of the user's."""
    for path in sources("plugins/**/*.py", "tools/*.py", "lab/*.py"):
        found = re.search(r"\bin (?:str|repr)\((?:exc|error|err)\b", path.read_text(encoding="utf-8"))
        assert found is None, f"{path}: {found and found.group()}"


def test_no_group_name_stands_in_a_role() -> None:
    """Roles know nothing of inventories."""
    for path in sources("roles/**/*.yml"):
        assert "groups[" not in path.read_text(encoding="utf-8"), path


def test_no_two_scenarios_share_a_host() -> None:
    """They run side by side, so a name or an address that two of them use would be taken from one by the other."""
    used: dict[Any, str] = {}

    def walk(group: dict[str, Any], scenario: str) -> None:
        for name, settings in (group.get("hosts") or {}).items():
            for mark in (name, settings["lab_number"]):
                assert used.setdefault(mark, scenario) == scenario, f"{mark} is in {used[mark]} and in {scenario}"
        for child in (group.get("children") or {}).values():
            walk(child or {}, scenario)

    for path in sources("molecule/*/inventory/hosts.yml"):
        for group in DataLoader().load_from_file(str(path)).values():
            walk(group, path.parent.parent.name)
    assert used


@pytest.mark.parametrize("path", sources("plugins/modules/*.py"), ids=lambda path: path.stem)
def test_no_result_uses_a_name_of_ansible_for_something_else(path: Path) -> None:
    """Ansible takes these for true or false, and converts any other value with a warning."""
    found = re.search(r'^RETURN = r?"""(.*?)"""', path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found
    returned = yaml.safe_load(found[1])
    for name in {"changed", "failed", "skipped", "unreachable"} & returned.keys():
        assert returned[name]["type"] == "bool", name


#: What only who knows everything that came before may say.
UNCHANGED = "Nothing has been changed"


@pytest.mark.parametrize(
    "path",
    sources(*(f"plugins/{kind}/*.py" for kind in ("modules", "module_utils", "action", "plugin_utils"))),
    ids=lambda path: path.name,
)
def test_no_module_says_that_nothing_has_been_changed(path: Path) -> None:
    """It does not know what its caller did before. It may say what it has left alone itself."""
    assert UNCHANGED not in " ".join(re.sub(r'"\s+f?"', "", path.read_text(encoding="utf-8")).split())


@pytest.mark.parametrize("role", ROLES)
def test_a_role_says_that_nothing_has_been_changed_only_as_a_preflight(role: str) -> None:
    """Playbooks ask its preflights before anything is changed. From its own main.yml it speaks for itself alone."""
    folder = ROOT / "roles" / role
    variable = f"__{role}_unchanged"
    tasks = {path.name: path.read_text(encoding="utf-8") for path in sources(f"roles/{role}/tasks/**/*.yml")}
    for name, text in tasks.items():
        if UNCHANGED in " ".join(text.split()):
            asked_by = [other for other, its in tasks.items() if re.search(rf"_tasks: {re.escape(name)}$", its, re.M)]
            assert asked_by == [], f"{name} is part of the role, so it cannot know"
    if any(variable in text for name, text in tasks.items() if name != "main.yml"):
        assert load(folder / "vars" / "main.yml")[variable] == f"{UNCHANGED}."
        for step in load(folder / "tasks" / "main.yml"):
            file = next((value for key, value in step.items() if key.endswith("_tasks")), "")
            if file in ("preflight.yml", "host.yml", "settings.yml"):
                assert UNCHANGED not in step["vars"][variable], file


@pytest.mark.parametrize("name", ["site", "upgrade", "split", "restore"])
def test_every_host_is_checked_for_a_role_before_any_role_acts(name: str) -> None:
    """What a role can refuse of a host comes in a task of its own, in front of whatever changes something."""
    text = (ROOT / "playbooks" / f"{name}.yml").read_text(encoding="utf-8")
    acting = re.search(r"^  roles:$|^  tasks:\n    - name: (End|Put|Upgrade)|^- name: Deploy", text[10:], re.M)
    assert acting
    before = text[: acting.start() + 10]
    for role in ("container_engine", "vaultwarden", "reverse_proxy", "fail2ban"):
        checks = role != "fail2ban" or re.search(r"stack\.fail2ban\n +when", text)
        if checks and (ROOT / "roles" / role / "tasks" / "host.yml").exists():
            pattern = rf"stack\.{role}\n +tasks_from: (host|upgrade_preflight)\n"
            assert re.search(pattern, before), role
