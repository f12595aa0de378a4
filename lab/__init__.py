# SPDX-License-Identifier: GPL-3.0-or-later
"""Throwaway Debian hosts, a registry and a server to deploy: what demo, molecule and benchmarks run on."""
