# SPDX-License-Identifier: GPL-3.0-or-later
# Written by the role vaultwire.stack.notifications_watch. Changes made here are overwritten.
"""The timer's program: lets the modules beside this file import each other by their full names, without Ansible."""

import sys
import types
from pathlib import Path

PACKAGE = "ansible_collections.vaultwire.stack.plugins.module_utils"
HERE = str(Path(__file__).resolve().parent)

parts = PACKAGE.split(".")
for length in range(1, len(parts) + 1):
    package = types.ModuleType(".".join(parts[:length]))
    package.__path__ = [HERE]
    sys.modules[package.__name__] = package

from ansible_collections.vaultwire.stack.plugins.module_utils import _watch  # noqa: E402

sys.exit(_watch.main())
