#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# mmdebstrap customize-hook: local-repo.sh ROOT PACKAGE... [-- PACKAGE...]
# Puts the packages, and what they need beyond the installed ones, into a small apt repository inside
# the image, and makes that the only source: hosts without any network can then run apt-get install.
# Packages behind -- conflict with the others, so apt is asked for them in a call of their own.
set -eu
root=$1
shift
repository=$root/var/lib/lab-apt

# apt of the machine, acting on the new system: its access to a mirror is the one that works
download() {
  APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get install --download-only --yes $1
}
names=
for name in "$@"; do
  if [ "$name" = -- ]; then
    download "$names"
    names=
  else
    names="$names $name"
  fi
done
download "$names"
mkdir -p "$repository"
mv "$root"/var/cache/apt/archives/*.deb "$repository/"
cd "$repository"
for deb in *.deb; do
  dpkg-deb -f "$deb"
  printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$deb" "$(stat -c %s "$deb")" "$(sha256sum "$deb" | cut -d' ' -f1)"
done > Packages
printf 'Date: %s\nSHA256:\n %s %s Packages\n' "$(LC_ALL=C date -Ru)" \
  "$(sha256sum Packages | cut -d' ' -f1)" "$(stat -c %s Packages)" > Release
chmod -R a+rX "$repository"

rm -rf "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/* "$root"/var/lib/apt/lists/*
# Recommends as on any Debian: those that the repository lacks are skipped
rm -f "$root"/etc/apt/apt.conf.d/99mmdebstrap
echo 'deb [trusted=yes lang=none] file:/var/lib/lab-apt ./' > "$root"/etc/apt/sources.list.d/lab.list
