# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in for the vaultwarden server: the same answers on the wire, for the lab and for tests only.

It is the *other side of the wire*. For that reason it deliberately does not import the collection's own model of eras,
ports and layouts: it keeps its own table (``eras.py``), made from answers recorded from the real server. If both
agree, two independent readings of the facts agree; if the collection's model is wrong, the stand-in does not share
the mistake.

It keeps no secrets safe: passwords get a cheap hash and tokens are signed with HMAC instead of RSA. Never give it
real data.
"""
