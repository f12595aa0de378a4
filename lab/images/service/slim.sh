#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# mmdebstrap customize-hook: slim.sh ROOT DOWNLOADS
# Fetches the registry's package beside the image, not into it, then takes away what a service never
# reads: every lab host extracts its own copy of this base.
set -eu
root=$1
downloads=$2
cd "$downloads"
APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -o APT::Sandbox::User=root download docker-registry

# Byte code stays: 14 MB, and a server that starts in 0.3 s instead of 2
rm -rf "$root"/usr/share/bash-completion "$root"/usr/share/pixmaps "$root"/usr/share/common-licenses \
  "$root"/usr/lib/valgrind "$root"/usr/lib/python3*/ensurepip "$root"/usr/lib/python3*/pydoc_data \
  "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/cache/debconf/*-old "$root"/var/log/*.log
rm -f "$root"/etc/apt/sources.list "$root"/etc/apt/apt.conf.d/99mmdebstrap
