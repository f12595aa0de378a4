# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and places that the lab's modules share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

LAB: Final = Path(__file__).resolve().parent
REPOSITORY: Final = LAB.parent
RECIPES: Final = LAB / "images"
STAND_IN: Final = LAB / "stand_in"

STATE: Final = REPOSITORY / "build" / "lab"
LOGS: Final = STATE / "logs"
FACTS: Final = STATE / "lab.json"
SSH_KEY: Final = STATE / "ssh" / "key"
CA_CERT: Final = STATE / "ca" / "ca.crt"
CA_KEY: Final = STATE / "ca" / "ca.key"
CERTIFICATES: Final = STATE / "certificates"

LABEL: Final = "vaultwire.lab"
LABELLED: Final = f"{LABEL}=1"
ROLE: Final = f"{LABEL}.role"
IMAGES: Final = "vaultwire-lab"
NETWORK: Final = "vaultwire-lab"
REGISTRY: Final = "vaultwire-lab-registry"

SUITES: Final = ("bookworm", "trixie", "forky")
DEFAULT_SUBNET: Final = "10.213.77.0/24"
SOCKET: Final = Path(os.environ.get("LAB_DOCKER_SOCKET", "/var/run/docker.sock"))


def subnet_setting() -> str:
    """The lab network's subnet as the environment or the default gives it."""
    return os.environ.get("LAB_SUBNET", "") or DEFAULT_SUBNET
