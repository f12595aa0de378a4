# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract: what the real server was recorded to answer, replayed against whatever claims to be a server."""
