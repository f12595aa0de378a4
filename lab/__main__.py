# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line of the lab: python3 -m lab <command>, from the repository's root."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from lab import addresses, cleanup, controllers, engine, facts, hosts, images, machine, network, registry, server, trust
from lab.paths import REPOSITORY
from lab.shell import LabError, lock, say, warn


def setup(__: argparse.Namespace) -> None:
    """make everything ready; what is ready already is left alone"""
    began = time.monotonic()
    with lock("setup"):
        server.parse_choice(os.environ.get("LAB_SERVER"))  # a wrong word is told now, not after the builds
        machine.ensure_packages()
        engine.ensure_daemon()
        machine.ensure_inotify()
        registry.adopt_trust()
        trust.ensure_ssh_key()
        trust.ensure_authority()
        images.ensure_images()
        shared = network.ensure_network()
        registry.ensure_registry(shared)
        facts.write(shared, server.ensure_server())
    say(f"ready in {time.monotonic() - began:.1f} s; facts are in build/lab/lab.json")


def up(options: argparse.Namespace) -> None:
    """start hosts and wait until they can be used"""
    hosts.up(addresses.parse_hosts(options.names, options.ip), options.image, options.replace)


def down(options: argparse.Namespace) -> None:
    """remove hosts with their volumes"""
    if not options.names and not options.all:
        raise LabError("Name the hosts to remove, or give --all.")
    hosts.down([host.name for host in hosts.all_hosts()] if options.all else options.names)


def clean(options: argparse.Namespace) -> None:
    """remove hosts, registry, network and volumes"""
    cleanup.clean(options.images)


def status(__: argparse.Namespace) -> None:
    """show what is there"""
    print(facts.show())


def ssh(options: argparse.Namespace) -> None:
    """open a shell on a host as root, or run a command there"""
    hosts.ssh(options.name, options.command)


def controller(options: argparse.Namespace) -> None:
    """run a command on a machine with another Ansible and Python, on the lab's network"""
    controllers.start(options.name, options.command)


def server_kind(__: argparse.Namespace) -> None:
    """print real or stand-in: what the registry serves, or what setup would choose"""
    known = facts.read()
    print(known["server"]["kind"] if known else server.likely_kind())


def publish(options: argparse.Namespace) -> None:
    """put a local image into the registry, as REPOSITORY:TAG; the next setup takes strange server tags away"""
    repository, __, tag = options.name.partition(":")
    registry.push(options.image, registry.Tag(repository, tag or "latest"))
    say(f"{options.name}: published")


def certificate(options: argparse.Namespace) -> None:
    """make a certificate that the hosts trust, and print where it and its key are"""
    for path in trust.ensure_certificate(options.subjects[0], options.subjects):
        print(path.relative_to(REPOSITORY))


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    top = argparse.ArgumentParser(prog="python3 -m lab", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(function: object, name: str) -> argparse.ArgumentParser:
        text = str(function.__doc__)
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(run=function)
        return made

    command(setup, "setup")
    starting = command(up, "up")
    starting.add_argument("names", nargs="+", metavar="NAME[=ADDRESS][@IMAGE]")
    starting.add_argument(
        "--image", default=hosts.DEFAULT_IMAGE, help="host-bookworm (default), host-trixie, bare-forky, ..."
    )
    starting.add_argument("--ip", help="address of the first host; the others count up from it")
    starting.add_argument("--replace", action="store_true", help="replace a host that was made otherwise")
    stopping = command(down, "down")
    stopping.add_argument("names", nargs="*", metavar="NAME")
    stopping.add_argument("--all", action="store_true", help="all hosts; registry and network stay")
    command(clean, "clean").add_argument("--images", action="store_true", help="the images too")
    command(status, "status")
    shell = command(ssh, "ssh")
    shell.add_argument("name")
    shell.add_argument("command", nargs=argparse.REMAINDER)
    other = command(controller, "controller")
    other.add_argument("name", metavar="NAME", help=", ".join(each.name for each in controllers.CONTROLLERS))
    other.add_argument("command", nargs=argparse.REMAINDER, help="ansible --version, if none is given")
    command(server_kind, "server-kind")
    publishing = command(publish, "publish")
    publishing.add_argument("image")
    publishing.add_argument("name", metavar="REPOSITORY:TAG")
    command(certificate, "certificate").add_argument("subjects", nargs="+", metavar="NAME-OR-ADDRESS")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors are one message and status 1."""
    options = parser().parse_args(arguments)
    try:
        options.run(options)
    except LabError as exc:
        warn(f"error: {exc}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
