# SPDX-License-Identifier: GPL-3.0-or-later
"""Real clients against a server behind the role's own nginx configuration: ``make clients`` runs them."""
