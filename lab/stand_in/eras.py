# SPDX-License-Identifier: GPL-3.0-or-later
"""What each version of the server does differently, as one table of dates of birth (and death).

A behaviour that came with a release is in ``SINCE``, one that went away with a release is in ``UNTIL`` (the release
named is the first one without it). Everything else in this package asks ``Era.has(...)`` and never compares versions.
"""

from __future__ import annotations

import re
from typing import NamedTuple

Version = tuple[int, int, int]

SINCE: dict[str, Version] = {
    "hub_on_http": (1, 29, 0),
    "admin_login_page_answers_200": (1, 29, 0),
    "push": (1, 29, 0),
    "anonymous_hub": (1, 29, 2),
    "hub_token_in_header": (1, 29, 2),
    "token_user_decryption": (1, 29, 2),
    "bare_hub_headers": (1, 30, 0),
    "cipher_key": (1, 30, 0),
    "config_emulates_client_version": (1, 30, 0),
    "failed_guard_answers_400": (1, 30, 1),
    "close_without_echo": (1, 30, 2),
    "camel_case": (1, 31, 0),
    "live_switch": (1, 31, 0),
    "token_master_password_policy": (1, 31, 0),
    "admin_cookie_secure": (1, 32, 0),
    "backup_command": (1, 32, 1),
    "config_settings": (1, 32, 1),
    "user_creation_date": (1, 32, 3),
    "cipher_ssh_key": (1, 32, 5),
    "admin_wants_content_type": (1, 33, 0),
    "cipher_uris": (1, 33, 0),
    "strict_content_policy": (1, 33, 0),
    "claims_name_the_client": (1, 34, 0),
    "config_push": (1, 34, 0),
    "policy_object_upper_case": (1, 34, 0),
    "two_step_registration": (1, 34, 0),
    "cipher_permissions": (1, 34, 2),
    "settings_panic_exits_12": (1, 34, 2),
    "delete_is_type_2": (1, 35, 0),
    "kdf_floor": (1, 35, 0),
    "refresh_token_is_jwt": (1, 35, 0),
    "token_account_keys": (1, 35, 0),
    "cipher_archived_date": (1, 36, 0),
    "anonymous_hub_limit": (1, 37, 0),
    "cipher_new_kinds": (1, 37, 0),
    "config_onboarding": (1, 37, 0),
    "nested_registration": (1, 37, 0),
    "prelogin_by_password": (1, 37, 0),
    "prelogin_settings": (1, 37, 0),
    "sqlite_urls": (1, 37, 0),
    "trusted_proxies": (1, 37, 0),
    "user_account_keys": (1, 37, 0),
}

UNTIL: dict[str, Version] = {
    "hub_port_echoes_text": (1, 29, 0),
    "hub_port": (1, 31, 0),
    "public_key_file": (1, 31, 0),
    "config_names_server_version": (1, 32, 1),
    "unofficial_mark": (1, 32, 3),
    "user_password_hint": (1, 34, 0),
    "api_registration": (1, 35, 4),
    "cipher_data": (1, 37, 0),
}

# The client version that /api/config pretends to be; before 1.30.0 it is the server's own version.
CLIENT_VERSIONS: tuple[tuple[Version, str], ...] = (
    ((1, 30, 0), "2023.9.1"),
    ((1, 31, 0), "2024.2.0"),
    ((1, 33, 0), "2025.1.0"),
    ((1, 34, 0), "2025.4.0"),
    ((1, 34, 2), "2025.6.0"),
    ((1, 35, 0), "2025.12.0"),
    ((1, 37, 0), "2026.6.0"),
)

FEATURES: tuple[tuple[Version, tuple[str, ...]], ...] = (
    ((1, 30, 0), ("fido2-vault-credentials",)),
    ((1, 31, 0), ("fido2-vault-credentials", "key-rotation-improvements")),
    (
        (1, 34, 0),
        (
            "duo-redirect",
            "email-verification",
            "enable-pm-flight-recorder",
            "mobile-error-reporting",
            "unauth-ui-refresh",
        ),
    ),
    ((1, 35, 0), ()),
    ((1, 36, 0), ("pm-19148-innovation-archive",)),
)

# Schema migrations and the release that first applied each; the stamps are what the schema table holds.
MIGRATIONS: tuple[tuple[Version, tuple[str, ...]], ...] = (
    (
        (1, 27, 0),
        (
            "20180114171611", "20180217205753", "20180427155151", "20180508161616", "20180525232323", "20180601112529",
            "20180711181453", "20180827172114", "20180910111213", "20180919144557", "20181127152651", "20190526216651",
            "20191010083032", "20191117011009", "20200313205045", "20200409235005", "20200701214531", "20200802025025",
            "20201130224000", "20201209173101", "20210311190243", "20210315163412", "20210430233251", "20210511205202",
            "20210701203140", "20210830193501", "20211024164321", "20220117234911", "20220302210038", "20220727110000",
            "20221018170602",
        ),
    ),
    ((1, 28, 0), ("20230106151600", "20230111205851", "20230131222222")),
    ((1, 29, 0), ("20230218125735", "20230602200424", "20230628133700")),
    ((1, 29, 2), ("20230617200424",)),
    ((1, 30, 0), ("20230901170620", "20230902212336", "20231021221242")),
    ((1, 30, 2), ("20240112210182",)),
    ((1, 31, 0), ("20240214140000",)),
    ((1, 32, 0), ("20240605131359",)),
    ((1, 32, 1), ("20240904091351",)),
    ((1, 33, 0), ("20250109172300",)),
    (
        (1, 35, 0),
        (
            "20230910133000", "20230914133000", "20240214170000", "20240226170000", "20240306170000", "20240313170000",
            "20250820120000",
        ),
    ),
    ((1, 36, 0), ("20260309005927", "20260425120000")),
    ((1, 37, 0), ("20260505120000",)),
)  # fmt: skip


class Era(NamedTuple):
    """One version of the server and what it can do."""

    version: Version

    @classmethod
    def parse(cls, text: str) -> Era:
        """Read ``1.30.5``; a suffix such as ``-alpine`` is ignored."""
        found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", text.strip())
        if found is None:
            raise ValueError(f"{text!r} is not a version like 1.30.5. Set APP_VERSION.")
        major, minor, patch = (int(part) for part in found.groups())
        return cls((major, minor, patch))

    def __str__(self) -> str:
        return ".".join(str(part) for part in self.version)

    def has(self, behaviour: str) -> bool:
        """Whether this version shows the behaviour; an unknown name is a programming error."""
        if behaviour in SINCE:
            return self.version >= SINCE[behaviour]
        return self.version < UNTIL[behaviour]

    @property
    def client_version(self) -> str:
        """What /api/config says under ``version``."""
        known = [text for since, text in CLIENT_VERSIONS if self.version >= since]
        return known[-1] if known else str(self)

    @property
    def features(self) -> dict[str, bool]:
        """What /api/config says under ``featureStates``."""
        known = [names for since, names in FEATURES if self.version >= since]
        return dict.fromkeys(known[-1] if known else (), True)

    @property
    def migrations(self) -> list[str]:
        """The stamps this version writes into the schema table of a fresh database."""
        return [stamp for since, stamps in MIGRATIONS if self.version >= since for stamp in stamps]
