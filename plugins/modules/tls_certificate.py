#!/usr/bin/python
# Copyright: vaultwire contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make sure that a host has a certificate a proxy can serve."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tls_certificate
short_description: Judges a given certificate, or keeps one from an internal authority
version_added: "0.1.0"
description:
  - With O(certificate) and O(key) it only judges them. They must be readable, belong together, be valid now and name
    the host. Nothing is changed.
  - Without them it keeps an authority in O(directory), and a certificate for the host signed by it, renewed in time.
    Clients have to trust C(ca.pem) from there. This is for a lab, a home or a private network.
author:
  - vaultwire contributors (@vaultwire)
options:
  host:
    description: Host name or IP address that clients type.
    type: str
    required: true
  certificate:
    description: Absolute path of a certificate with its chain, in PEM form, on the managed host.
    type: str
    default: ""
  key:
    description: Absolute path of its private key, in PEM form and without a passphrase.
    type: str
    default: ""
  directory:
    description: Absolute path where the internal authority lives.
    type: path
    default: /etc/vaultwire/tls
  renew_days:
    description: Days before the end at which the internal certificate is renewed.
    type: int
    default: 60
  marker:
    description: >-
      Absolute path of a file that stands from before the internal certificate changes until the caller removes it,
      once the proxy has read it. While it is there the result is changed. Empty for none.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
    description: Says whether a certificate would be made.
  diff_mode:
    support: none
    description: Keys and certificates are not shown.
"""

EXAMPLES = r"""
- name: Keep a certificate for the vault
  vaultwire.stack.tls_certificate:
    host: vault.example.com
  register: tls
"""

RETURN = r"""
certificate:
  description: Path of the certificate to serve.
  returned: success
  type: str
key:
  description: Path of its key.
  returned: success
  type: str
ca_content:
  description: >-
    The internal authority's certificate in PEM form, for clients to trust; empty with a given certificate, and in
    check mode before the authority exists.
  returned: success
  type: str
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vaultwire.stack.plugins.module_utils import _commands, _internal, _tls

ARGUMENTS: t.Dict[str, t.Any] = {
    "host": {"type": "str", "required": True},
    "certificate": {"type": "str", "default": ""},
    "key": {"type": "str", "default": "", "no_log": False},
    "directory": {"type": "path", "default": "/etc/vaultwire/tls"},
    "renew_days": {"type": "int", "default": 60},
    "marker": {"type": "str", "default": ""},
}


def given(module: AnsibleModule) -> t.Dict[str, t.Any]:
    """Judge the files that were given."""
    params = module.params
    _tls.judge_given(_commands.limited(module.run_command), params["certificate"], params["key"], params["host"])
    return {"changed": False, "certificate": params["certificate"], "key": params["key"], "ca_content": ""}


def internal(module: AnsibleModule) -> t.Dict[str, t.Any]:
    """Keep the internal authority and its certificate."""
    params = module.params
    files = _tls.authority_files(params["directory"], params["host"])
    # Where openssl is missing, this is check mode ahead of its installation.
    authority = leaf = module.get_bin_path("openssl") is None
    if not leaf:
        authority, leaf = _tls.authority_needs(
            _commands.limited(module.run_command), files, params["host"], params["renew_days"]
        )
    marker = params["marker"]
    pending = bool(marker) and os.path.exists(marker)
    if leaf and not module.check_mode:
        os.makedirs(params["directory"], mode=0o755, exist_ok=True)
        if marker:
            os.makedirs(os.path.dirname(marker), exist_ok=True)
            with open(marker, "w", encoding="ascii"):
                pass
        if authority:
            _tls.make_authority(_commands.limited(module.run_command), files)
        _tls.sign_certificate(_commands.limited(module.run_command), files, params["host"])
    content = ""
    if os.path.exists(files.ca):
        with open(files.ca, encoding="ascii") as stream:
            content = stream.read()
    return {
        "changed": leaf or pending,
        "certificate": files.certificate,
        "key": files.key,
        "ca_content": content,
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    with _internal.reported(module, "tls_certificate", "The module"):
        run(module)


def run(module: AnsibleModule) -> None:
    """The work of the module, which ends it."""
    params = module.params
    if module.get_bin_path("openssl") is None and not (module.check_mode and not params["certificate"]):
        module.fail_json(
            msg="The program openssl is missing on this host. Install the package openssl, then run again."
        )
    if bool(params["certificate"]) != bool(params["key"]):
        module.fail_json(
            msg="reverse_proxy_tls_certificate and reverse_proxy_tls_key go together: set both, or leave both empty "
            "for an internal authority."
        )
    try:
        module.exit_json(**(given(module) if params["certificate"] else internal(module)))
    except _tls.TlsError as exc:
        module.fail_json(msg=str(exc))


if __name__ == "__main__":
    main()
