#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Reads the same optional files as the project's image, then becomes the server.
if [ -n "${UMASK}" ]; then
  umask "${UMASK}"
fi
if [ -r /etc/vaultwarden.sh ]; then
  . /etc/vaultwarden.sh
fi
if [ -d /etc/vaultwarden.d ]; then
  for file in /etc/vaultwarden.d/*.sh; do
    if [ -r "${file}" ]; then
      . "${file}"
    fi
  done
fi
exec /vaultwarden "$@"
