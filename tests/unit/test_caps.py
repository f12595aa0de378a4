# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server's container may take of its host: rules, options of the container, and what a host cannot hold."""

from __future__ import annotations

from typing import Any

import pytest
from test_settings import settings

from ansible_collections.vaultwire.stack.plugins.module_utils import _caps

BOTH = ["memory", "pids"]
GIB = 2**30
LIFTED = {"log_max_size": "", "memory_limit": "", "pids_limit": 0}


def engine(log_driver: str = "json-file", limits: list[str] | None = None, memory: int = 4 * GIB) -> dict[str, Any]:
    """An engine, described as deployment_info does it."""
    return {"log_driver": log_driver, "limits": BOTH if limits is None else limits, "memory": memory}


@pytest.mark.parametrize(
    "changes",
    [
        LIFTED,
        {"log_max_size": 0, "memory_limit": "0", "pids_limit": ""},
        {"log_max_size": "100k", "log_max_files": 2, "memory_limit": "256m", "pids_limit": 64},
        {"log_max_size": "1g", "log_max_files": "1000", "memory_limit": "64g", "pids_limit": "4096"},
        {"memory_limit": "1%"},
        {"memory_limit": "100%"},
    ],
    ids=str,
)
def test_limits_that_work(changes: dict[str, Any]) -> None:
    """Lifted in each way, the least, and a lot."""
    assert list(_caps.find_problems(settings(**changes))) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"log_max_size": "10"}, "vaultwarden_log_max_size is '10'. Give a number with the unit k, m or g"),
        ({"log_max_size": "10 MB"}, "vaultwarden_log_max_size"),
        ({"log_max_size": "1k"}, "at least 100k"),
        ({"log_max_size": -1}, "vaultwarden_log_max_size is -1"),
        ({"log_max_size": None}, "vaultwarden_log_max_size is None"),
        ({"log_max_files": 1}, "vaultwarden_log_max_files is 1. Give a number from 2 to 1000"),
        ({"log_max_files": 0}, "set vaultwarden_log_max_size to an empty string"),
        ({"log_max_files": True}, "vaultwarden_log_max_files is True"),
        ({"memory_limit": 512}, "vaultwarden_memory_limit is 512"),
        ({"memory_limit": "1.5g"}, "vaultwarden_memory_limit is '1.5g'"),
        ({"memory_limit": "255m"}, "at least 256m"),
        ({"memory_limit": "101%"}, "for example 2g or 75%"),
        ({"memory_limit": "0%"}, "vaultwarden_memory_limit is '0%'"),
        ({"memory_limit": False}, "vaultwarden_memory_limit is False"),
        ({"pids_limit": 63}, "vaultwarden_pids_limit is 63. Give a number from 64"),
        ({"pids_limit": "many"}, "vaultwarden_pids_limit is 'many'"),
        ({"pids_limit": -1}, "or 0 for no limit"),
        ({"pids_limit": False}, "vaultwarden_pids_limit is False"),
        ({"pids_limit": [1]}, "vaultwarden_pids_limit is [1]"),
    ],
    ids=str,
)
def test_limits_that_cannot_work(changes: dict[str, Any], words: str) -> None:
    """One sentence, with the setting and what to write."""
    (problem,) = _caps.find_problems(settings(**changes))
    assert words in problem


def test_all_limits_on_an_engine_that_can_hold_them() -> None:
    """Options as docker_container takes them."""
    assert _caps.caps_for(settings(), engine()) == (
        {
            "log_driver": "json-file",
            "log_options": {"max-size": "10m", "max-file": "3"},
            "memory": "3072m",
            "pids_limit": 2048,
        },
        "log=10mx3 memory=3072m pids=2048",
        [],
    )


@pytest.mark.parametrize(
    ("limit", "memory", "expected"),
    [
        ("75%", 2 * GIB, "1536m"),
        ("75%", 2 * GIB - 100 * 2**20, "1408m"),  # 1461 MiB, in steps
        ("50%", 24 * GIB, "12288m"),
        ("75%", 256 * 2**20, "256m"),  # less than this serves nobody
        ("100%", GIB, "1024m"),
        ("512m", GIB, "512m"),
        ("2g", GIB, "2g"),
    ],
)
def test_memory_as_a_share_of_the_hosts(limit: str, memory: int, expected: str) -> None:
    """In coarse steps: a new kernel must not make a new container."""
    assert _caps.caps_for(settings(memory_limit=limit), engine(memory=memory)).options["memory"] == expected


@pytest.mark.parametrize("driver", ["journald", "syslog", "none", "fluentd", ""])
def test_a_log_that_goes_elsewhere_stays_there(driver: str) -> None:
    """Those drivers refuse the options, and where the log goes was decided for the whole engine."""
    caps = _caps.caps_for(settings(), engine(driver))
    assert set(caps.options) == {"memory", "pids_limit"}
    assert caps.label == "log=- memory=3072m pids=2048"


def test_the_driver_of_the_engine_is_kept() -> None:
    """``local`` takes the options as well."""
    assert _caps.caps_for(settings(), engine("local")).options["log_driver"] == "local"


def test_lifted_limits_are_no_options() -> None:
    """And the label differs, or a container that had limits would keep them."""
    caps = _caps.caps_for(settings(**LIFTED), engine())
    assert caps == ({}, "log=- memory=- pids=-", [])


@pytest.mark.parametrize("able", [[], ["memory"], ["pids"]])
def test_what_the_host_cannot_hold_is_left_out_and_named(able: list[str]) -> None:
    """The engine would drop it with a warning that no one sees, and each run would make the container again."""
    caps = _caps.caps_for(settings(), engine(limits=able))
    missing = [name for name in BOTH if name not in able]
    assert [name in caps.options for name in ("memory", "pids_limit")] == [name in able for name in BOTH]
    assert len(caps.lost) == len(missing)
    for name, sentence in zip(missing, caps.lost, strict=True):
        assert f"vaultwarden_{name}_limit (" in sentence
        assert f"controller {name}" in sentence
        assert f"{name}=-" in caps.label


def test_nothing_is_lost_where_nothing_was_asked_for() -> None:
    """No false alarm on a host without control groups."""
    assert _caps.caps_for(settings(**LIFTED), engine(limits=[])).lost == []
