#!/usr/bin/python
# Copyright: vaultwire contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the server's release from an image."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_version
short_description: Reads the release of the server from its image
version_added: "0.1.0"
description:
  - Takes the release from the image's label, or asks the server in it with C(--version), without a network.
  - Where no engine runs yet, or the image is absent and O(pull=false), the release is empty rather than a failure.
author:
  - vaultwire contributors (@vaultwire)
options:
  image:
    description: Image with its tag.
    type: str
    required: true
  pull:
    description: Fetch the image first, so that a moving tag means what it means now.
    type: bool
    default: true
attributes:
  check_mode:
    support: partial
    description: Reads the release of an image that is on the host.
    details: Never pulls in check mode.
  diff_mode:
    support: none
    description: Shows no differences.
"""

EXAMPLES = r"""
- name: Which release is latest at present
  vaultwire.stack.image_version:
    image: docker.io/vaultwarden/server:latest
  register: image
"""

RETURN = r"""
version:
  description: The release, or empty where it cannot be known yet.
  returned: success
  type: str
  sample: "1.37.2"
"""

import re
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vaultwire.stack.plugins.module_utils import _commands, _internal

ARGUMENTS: t.Dict[str, t.Any] = {
    "image": {"type": "str", "required": True},
    "pull": {"type": "bool", "default": True},
}
LABEL = '{{index .Config.Labels "org.opencontainers.image.version"}}'
RELEASE = re.compile(r"\d+\.\d+\.\d+")


def docker(module: AnsibleModule, *command: str, seconds: t.Optional[float] = None) -> t.Tuple[int, str, str]:
    """Exit code and output of a command of the engine. Raises CommandTimeout."""
    return _commands.limited(module.run_command, seconds)(["docker", *command])


def image_id(module: AnsibleModule) -> str:
    """The identifier of the image on the host, or empty."""
    code, out, __ = docker(module, "image", "inspect", "-f", "{{.Id}}", module.params["image"])
    return out.strip() if code == 0 else ""


def read_release(module: AnsibleModule) -> str:
    """The release of an image that is on the host. Fails the module when there is none to be read."""
    image = module.params["image"]
    label = docker(module, "image", "inspect", "-f", LABEL, image)[1].strip()
    if RELEASE.fullmatch(label):
        return label
    alone = ("--rm", "--network", "none", "--entrypoint", "/vaultwarden")
    __, out, err = docker(module, "run", *alone, image, "--version")
    found = RELEASE.search(out)
    if not found:
        module.fail_json(
            msg=f"The release of {image} cannot be read: it has no version label, and the server in it answers "
            f"{(out + err).strip()[:200]!r}. Set vaultwarden_version to a release number."
        )
        return ""  # fail_json ends the module
    return found.group()


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    with _internal.reported(module, "image_version", "The module"):
        run(module)


def run(module: AnsibleModule) -> None:
    """The work of the module, which ends it."""
    if module.get_bin_path("docker") is None or docker(module, "version")[0] != 0:
        module.exit_json(changed=False, version="")
    before = image_id(module)
    if module.params["pull"] and not module.check_mode:
        code, out, err = docker(module, "pull", "--quiet", module.params["image"], seconds=_commands.TRANSFER_SECONDS)
        if code != 0:
            module.fail_json(msg=f"{module.params['image']} cannot be pulled: {(err or out).strip()}")
    after = image_id(module)
    module.exit_json(changed=before != after, version=read_release(module) if after else "")


if __name__ == "__main__":
    main()
