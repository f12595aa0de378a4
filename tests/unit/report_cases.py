# SPDX-License-Identifier: GPL-3.0-or-later
"""Proofs as the role keeps them, for the tests of the report."""

from __future__ import annotations

from typing import Any

HOSTILE = "<script>alert(1)</script>{{ 7*7 }}\"'><img src=https://example.com/x onerror=alert(2)>"


def answer(status: int | None, body: str = "json", **changes: Any) -> dict[str, Any]:
    """What the probe says of one request."""
    rest = {"handshake": False, "closed_after_101": False, "server": "nginx", "location": "", "error": ""}
    return {"status": status, "body": body, **rest, **changes}


def finding(code: str, severity: str = "error", **changes: str) -> dict[str, str]:
    """One entry of a diagnosis."""
    return {
        "code": code,
        "severity": severity,
        "symptom": "https://vault.example.com/notifications/hub answered 502 while /alive answered 200: live updates "
        "are dead, everything else looks healthy.",
        "cause": "The proxy still sends the hub to the second port, which the server no longer has.",
        "fix": "Remove the rule for the hub. Send everything to the server's HTTP port with one rule for / that "
        "passes the Upgrade and Connection headers on.",
        **changes,
    }


def healthy(name: str = "vault", scale: float = 1.0, **probe: Any) -> dict[str, Any]:
    """A host on which everything was proved."""
    names = ("alive", "version", "hub", "hub_plain", "anonymous_hub", "total")
    return {
        "url": f"https://{name}.example.com",
        "push": "none",
        "probe": {
            "verdict": "ok",
            "url": f"https://{name}.example.com",
            "version": "1.37.2",
            "era": "single_port",
            "layout": "single_port",
            "alive": answer(200),
            "hub": answer(401),
            "hub_plain": answer(404, "html"),
            "hub_session": None,
            "anonymous_hub": answer(101, "empty", handshake=True),
            "timings_ms": {key: round(12 * scale + number, 1) for number, key in enumerate(names)},
            "attempts": 1,
            "diagnosis": [],
            "changed": False,
            **probe,
        },
        "live_update": {
            "latencies": {
                "create_ms": round(6.1 * scale, 1),
                "rename_ms": round(4.9 * scale, 1),
                "delete_ms": round(5.3 * scale, 1),
            },
            "hub_status": 101,
            "handshake": True,
            "rate_limited": False,
            "frames": 3,
        },
    }


def stale_route() -> dict[str, Any]:
    """A host whose probe failed, so that no live update was tried."""
    proof = healthy(verdict="failed", hub=answer(502, "html"), diagnosis=[finding("VW-A01")], msg="It does not work.")
    return {**proof, "live_update": {"skipped": True}}


def fleet() -> dict[str, dict[str, Any] | None]:
    """Twelve hosts: healthy ones, faults of several kinds, and two without any result."""
    warned = healthy("vault-8", diagnosis=[finding("VW-L02", "warning", symptom="A second port still answers.")])
    missed = healthy("vault-9")
    missed["live_update"] = {
        "latencies": {"create_ms": 8.0},
        "handshake": True,
        "rate_limited": False,
        "msg": "Session A's rename did not reach session B within 5.0 s, although the request succeeded.",
    }
    no_account = {
        **healthy("vault-7", version="1.30.5", era="bridge", layout="legacy"),
        "live_update": {"skipped": True},
    }
    return {
        **{f"vault-{number}": healthy(f"vault-{number}", 0.6 + number / 3) for number in range(1, 7)},
        "vault-7": no_account,
        "vault-8": warned,
        "vault-9": missed,
        "vault-10": stale_route(),
        "vault-11": None,
        HOSTILE: healthy(
            verdict="failed",
            version=HOSTILE,
            url=f"https://{HOSTILE}",
            alive=answer(None, error=HOSTILE),
            diagnosis=[finding("VW-X00", symptom=HOSTILE, cause=HOSTILE, fix=HOSTILE)],
        ),
    }
