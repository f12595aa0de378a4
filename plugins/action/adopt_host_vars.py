# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of adopt_host_vars: the only place that sees secrets, and it hands them to no one."""

from __future__ import annotations

import os
import secrets
import typing as t

from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultLib, match_encrypt_secret
from ansible.plugins.action import ActionBase

from ansible_collections.vaultwire.stack.plugins.module_utils import _adopt, _files, _vaults

ARGUMENTS: t.Dict[str, t.Any] = {
    "info": {"type": "dict", "required": True},
    "container": {"type": "str", "default": ""},
    "directory": {"type": "str", "required": True},
}
MAIN_MODE = 0o644
VAULT_MODE = 0o600


class Refused(Exception):
    """Nothing may be written; the text says why and what to do."""


class ActionModule(ActionBase):
    """Works out the variables, fetches the secrets, writes both."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: t.Any = None, task_vars: t.Optional[t.Dict[str, t.Any]] = None) -> t.Dict[str, t.Any]:
        """Run the action."""
        result: t.Dict[str, t.Any] = super().run(tmp, task_vars)
        __, arguments = self.validate_argument_spec(ARGUMENTS)
        task_vars = task_vars or {}
        try:
            adoption = _adopt.adopt(arguments["info"], arguments["container"])
            if adoption.problems:
                raise Refused(" ".join([*adoption.problems, "Nothing has been written."]))
            if not arguments["directory"]:
                raise Refused("The inventory is no file. Set adopt_output_dir to the folder to write to.")
            values = self._secrets(adoption.container, task_vars) if adoption.secrets else {}
            result.update(self._write(adoption, values, arguments["directory"], task_vars["inventory_hostname"]))
        except (Refused, OSError) as exc:
            result.update(failed=True, msg=str(exc))
        return result

    def _secrets(self, container: str, task_vars: t.Dict[str, t.Any]) -> t.Dict[str, str]:
        """Read the secrets on the host. Connections show each answer with -vvv, so it comes under a key of its own."""
        key = secrets.token_hex(32)
        answer = self._execute_module(
            module_name="vaultwire.stack.host_secrets",
            module_args={"container": container, "key": key},
            task_vars=task_vars,
        )
        try:
            return _vaults.unseal(answer["sealed"], key)
        except (KeyError, ValueError):
            raise Refused(
                f"The secrets of {container} could not be read: {answer.get('msg', 'the host gave no answer')} Nothing "
                f"has been written."
            ) from None

    def _write(
        self, adoption: _adopt.Adoption, values: t.Dict[str, str], directory: str, host: str
    ) -> t.Dict[str, t.Any]:
        adoption.notes.extend(_adopt.secret_problems(adoption, values))
        folder = os.path.join(os.path.abspath(os.path.expanduser(directory)), "host_vars", host)
        main, vault = os.path.join(folder, "main.yml"), os.path.join(folder, "vault.yml")
        secret_text = _adopt.vault_file(adoption, values)
        refuse_shadowed(folder)
        encrypted = self._holds(vault, secret_text)
        if secret_text and encrypted is None:
            encrypted = bool(self._loader._vault.secrets)
            wanted_vault: t.Optional[bytes] = self._encrypt(secret_text) if encrypted else secret_text.encode()
        else:
            wanted_vault = None
        text = _adopt.main_file(adoption)
        if secret_text and not encrypted:
            adoption.note("todo", f"The secrets are in clear text. Encrypt them: ansible-vault encrypt {vault}")
        wanted_main = None if same_variables(main, text) else text.encode()
        wanted = [(main, wanted_main, MAIN_MODE), (vault, wanted_vault, VAULT_MODE)]
        changes = [(path, content, mode) for path, content, mode in wanted if content is not None]
        if not self._task.check_mode:
            os.makedirs(folder, exist_ok=True)
            for path, content, mode in changes:
                _files.write_file(_files.Wanted(path, content, mode, os.getuid(), os.getgid()))
        return {
            "changed": bool(changes),
            "container": adoption.container,
            "files": [main, vault] if secret_text else [main],
            "variables": list(adoption.variables),
            "secrets": list(adoption.secrets.values()),
            "encrypted": bool(encrypted),
            "report": _adopt.report(adoption),
            "diff": [
                {"after_header": path, "before": "", "after": text if path == main else _names(adoption)}
                for path, _content, _mode in changes
            ],
        }

    def _holds(self, path: str, text: str) -> t.Optional[bool]:
        """None where there is no such file, else whether it is encrypted. Raises Refused where it differs."""
        try:
            with open(path, "rb") as stream:
                there = stream.read()
        except FileNotFoundError:
            return None
        encrypted = VaultLib.is_encrypted(there)
        try:
            clear = self._loader._vault.decrypt(there) if encrypted else there
        except AnsibleError:
            raise Refused(
                f"{path} is there and cannot be decrypted, so nobody knows whether it says the same. Give its vault "
                f"password, or move it away. Nothing has been written."
            ) from None
        if clear.decode(errors="replace") != text:
            raise Refused(_exists(path))
        return bool(encrypted)

    def _encrypt(self, text: str) -> bytes:
        known = self._loader._vault.secrets
        vault_id, secret = match_encrypt_secret(known, encrypt_vault_id=C.config.get_config_value(
            "DEFAULT_VAULT_ENCRYPT_IDENTITY"))  # fmt: skip
        return bytes(VaultLib(known).encrypt(text, secret, vault_id))


def refuse_shadowed(folder: str) -> None:
    """Ansible reads either the folder or the file of that name, so a new folder would silence the file."""
    for path in (folder, *(f"{folder}.{ending}" for ending in ("yml", "yaml", "json"))):
        if os.path.isfile(path):
            raise Refused(
                f"{path} is there, and Ansible would no longer read it once there is a folder {folder}. Make the "
                f"folder and move the file into it under another name than main.yml, such as connection.yml, then run "
                f"again. Nothing has been written."
            )
    for name in ("main.yaml", "main.json", "main", "vault.yaml", "vault.json", "vault"):
        if os.path.exists(os.path.join(folder, name)):
            raise Refused(_exists(os.path.join(folder, name)))


def same_variables(path: str, text: str) -> bool:
    """Whether a file is there already and says the same but for comments. Raises Refused where it differs."""
    try:
        with open(path, encoding="utf-8") as stream:
            there = stream.read()
    except FileNotFoundError:
        return False
    if _without_comments(there) != _without_comments(text):
        raise Refused(_exists(path))
    return True


def _without_comments(text: str) -> t.List[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _exists(path: str) -> str:
    return (
        f"{path} is there and says something else than what the host runs. It is not overwritten: compare it with what "
        f"adopt_output_dir set to another folder gives, or move it away. Nothing has been written."
    )


def _names(adoption: _adopt.Adoption) -> str:
    return "".join(f"{variable}: (value hidden)\n" for variable in adoption.secrets.values())
