#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Healthy means that /alive answers under the sub-path of DOMAIN. Like the server's own check it knows nothing of
# WebSockets, and nothing of DOMAIN_FILE.

since() {
    oldest=$(printf '%s\n%s\n' "$1" "${APP_VERSION}" | sort -V | head -n 1)
    [ "${oldest}" = "$1" ]
}

# Older versions looked for the data folder beside the working directory.
if since 1.30.3; then
    saved="${DATA_FOLDER:-/data}/config.json"
else
    saved="${DATA_FOLDER:-data}/config.json"
fi

if since 1.30.2 && [ -r "${ENV_FILE:-/.env}" ]; then
    # shellcheck source=/dev/null
    . "${ENV_FILE:-/.env}"
fi

# What was saved on the admin page counts more than the environment.
if [ -r "${saved}" ]; then
    domain=$(sed -n 's/.*"domain"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' "${saved}" | head -n 1)
    DOMAIN="${domain:-${DOMAIN}}"
fi

# https://host/path/ -> /path
below=${DOMAIN#*://}
case "${below}" in
    */*) path="/${below#*/}" ;;
    *) path="" ;;
esac
while [ "${path%/}" != "${path}" ]; do
    path=${path%/}
done

case "${ROCKET_ADDRESS}" in
    "" | 0.0.0.0 | ::) host=localhost ;;
    *) host=${ROCKET_ADDRESS} ;;
esac
scheme=http${ROCKET_TLS:+s}

curl --insecure --fail --silent --show-error "${scheme}://${host}:${ROCKET_PORT:-80}${path}/alive" || exit 1
