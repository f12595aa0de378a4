#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Asks /alive where the server listens, under the path of DOMAIN; config.json outranks the environment.
if [ -r "${ENV_FILE:-/.env}" ]; then
  . "${ENV_FILE:-/.env}"
fi
config=${CONFIG_FILE:-${DATA_FOLDER:-/data}/config.json}
domain=${DOMAIN}
if [ -r "${config}" ]; then
  saved=$(sed -n 's/^.*"domain"[[:space:]]*:[[:space:]]*"\([^"]*\)".*$/\1/p' "${config}" | head -n 1)
  domain=${saved:-${domain}}
fi
base=$(printf '%s' "${domain}" | sed -e 's|^[a-zA-Z]*://[^/]*||' -e 's|/*$||')
case "${ROCKET_ADDRESS}" in
  '' | 0.0.0.0 | ::) address=localhost ;;
  *:*) address="[${ROCKET_ADDRESS}]" ;;
  *) address=${ROCKET_ADDRESS} ;;
esac
scheme=http
if [ -n "${ROCKET_TLS}" ]; then
  scheme=https
fi
exec curl --insecure --fail --silent --show-error "${scheme}://${address}:${ROCKET_PORT:-80}${base}/alive"
