#!/usr/bin/python
# Copyright: vaultwire contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which image a registry has under a tag, without fetching it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_digest
short_description: Asks a registry for the digest behind a tag
version_added: "0.1.0"
description:
  - Has the host's container engine ask the registry, so its way to it (mirrors, certificates, proxies) is the one by
    which the image will be fetched. Nothing is fetched or changed.
  - The registry is asked without a login.
author:
  - vaultwire contributors (@vaultwire)
options:
  image:
    description: Name of the image with its tag.
    type: str
    required: true
  socket:
    description: Socket of the engine.
    type: path
    default: /var/run/docker.sock
  timeout:
    description: Seconds to wait for the answer.
    type: int
    default: 60
attributes:
  check_mode:
    support: full
    description: Reads only, so check mode makes no difference.
  diff_mode:
    support: none
    description: Changes nothing.
"""

EXAMPLES = r"""
- name: Ask for the digest
  vaultwire.stack.image_digest:
    image: docker.io/vaultwarden/server:1.37.2
  register: image
"""

RETURN = r"""
digest:
  description: The digest of the image or, where there is one for several platforms, of their list.
  returned: success
  type: str
  sample: sha256:0f2a7d5e8d6c7e5c0b9ad8b1a3f4c6e2d1b0a9f8e7d6c5b4a3928170f6e5d4c3
platforms:
  description: The platforms it is for.
  returned: success
  type: list
  elements: str
  sample: [linux/amd64, linux/arm64]
"""

import http.client
import json
import re
import socket as sockets
import typing as t
import urllib.parse

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vaultwire.stack.plugins.module_utils import _internal, _said

ARGUMENTS: t.Dict[str, t.Any] = {
    "image": {"type": "str", "required": True},
    "socket": {"type": "path", "default": "/var/run/docker.sock"},
    "timeout": {"type": "int", "default": 60},
}


_LARGEST_ANSWER = 1024 * 1024  # bytes
_DIGEST = re.compile("sha256:[0-9a-f]{64}")


class Refused(Exception):
    """There is no digest; the text says why and what to do."""


class _Engine(http.client.HTTPConnection):
    """The engine's interface, which speaks HTTP on a socket of the file system."""

    def __init__(self, path: str, timeout: int) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Open the socket in place of an address."""
        self.sock = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(path: str, image: str, timeout: int) -> t.Tuple[int, t.Dict[str, t.Any]]:
    """The engine's answer: status, and what it says. Raises Refused where it gives none."""
    link = _Engine(path, timeout)
    try:
        link.request("GET", f"/distribution/{urllib.parse.quote(image, safe='/:')}/json")
        answer = link.getresponse()
        said = json.loads(answer.read(_LARGEST_ANSWER))
    except (OSError, http.client.HTTPException, ValueError, RecursionError) as exc:
        raise Refused(
            f"The container engine gives no answer on {path}: {exc or type(exc).__name__}. Install and start it, for "
            f"example with playbooks/site.yml."
        ) from None
    finally:
        link.close()
    return answer.status, said if isinstance(said, dict) else {}


def described(image: str, status: int, said: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """Digest and platforms of an answer. Raises Refused."""
    digest = str((said.get("Descriptor") or {}).get("digest", ""))
    if status == 200 and digest and not _DIGEST.fullmatch(digest):
        raise Refused(
            f"The container engine names {_said.shown(repr(digest), 100)} as the digest of {image}, which is no "
            f"digest: sha256: and 64 hexadecimal digits are wanted. Nothing has been written. Find out what answers on "
            f"the engine's socket of that host."
        )
    if status == 200 and digest:
        platforms = [
            _said.shown(f"{entry.get('os', '')}/{entry.get('architecture', '')}", 40)
            for entry in said.get("Platforms") or []
        ]
        return {"digest": digest, "platforms": sorted(set(platforms))}
    text = _said.shown(str(said.get("message", f"status {status}")).strip())
    if status in (401, 403, 404) or "manifest unknown" in text or "not found" in text:
        raise Refused(
            f"The registry has no {image} for everyone to fetch: {text}. Look for the release among the tags that are "
            f"published, and set vaultwarden_version and vaultwarden_image to one that is there."
        )
    raise Refused(
        f"The registry of {image} cannot be asked: {text}. Check from the host that its name resolves and its port "
        f"is open, or set vaultwarden_image to a registry that the host reaches."
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    with _internal.reported(module, "image_digest", "The module"):
        run(module)


def run(module: AnsibleModule) -> None:
    """The work of the module, which ends it."""
    image = module.params["image"]
    try:
        found = described(image, *ask(module.params["socket"], image, module.params["timeout"]))
    except Refused as exc:
        module.fail_json(msg=str(exc))
        return  # fail_json ends the module
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
