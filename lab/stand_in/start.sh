#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Starts the stand-in the way the server's image starts the server: settings may come from shell files of the
# operator, and newer versions take a UMASK.

# True when the imitated version is at least the one given.
since() {
    oldest=$(printf '%s\n%s\n' "$1" "${APP_VERSION}" | sort -V | head -n 1)
    [ "${oldest}" = "$1" ]
}

if [ -n "${UMASK}" ] && since 1.32.1; then
    umask "${UMASK}"
fi

for file in /etc/vaultwarden.sh /etc/vaultwarden.d/*.sh; do
    if [ -r "${file}" ]; then
        # shellcheck source=/dev/null
        . "${file}"
    fi
done

exec /vaultwarden "$@"
