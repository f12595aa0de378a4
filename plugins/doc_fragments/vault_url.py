# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that say which vault is meant and how it is reached, for every module that asks one."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  url:
    description:
      - The public address of the vault, C(https://host[:port][/path]), without a slash at the end.
      - C(http://) is accepted for asking an upstream directly, without its proxy; clients refuse it.
    type: str
    required: true
  connect_to:
    description:
      - Where to connect instead of resolving the host of O(url), as C(HOST), C(HOST:PORT) or C([IPv6]:PORT).
      - The host of O(url) is still used for TLS and in the Host header, so this checks a proxy before its DNS
        record exists, or one of several proxies.
    type: str
  ca_file:
    description:
      - Path of a PEM file with the certificate authorities to trust instead of the system's, on the machine that
        runs the module.
      - Mutually exclusive with O(ca_content).
    type: path
  ca_content:
    description:
      - The same as O(ca_file), as text. It needs no file on the machine that runs the module.
      - Mutually exclusive with O(ca_file).
    type: str
  validate_certs:
    description:
      - Whether the certificate has to be trusted and to fit the name. Clients always insist on it, so switch it
        off only to look past a certificate that is known to be wrong.
    type: bool
    default: true
"""
