"""Add a board reached by ssh, check it, run a model on it."""

from __future__ import annotations

import argparse
import datetime
import shutil
import sys
from pathlib import Path

from edgelab.texts import tr

GROUP = "measure"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do with which board."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    add = verbs.add_parser("add", help="keep a board under a name, once its host key is accepted")
    add.add_argument("name", help="such as pi5")
    add.add_argument("destination", help="user@host[:port], an alias of ~/.ssh/config, or adb:SERIAL")
    add.add_argument(
        "--accept-key", default="", metavar="SHA256:...", help="accept this fingerprint without a question"
    )
    add.add_argument(
        "--new-key", action="store_true", help="the board was set up anew: ask about its new key"
    )
    add.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of ssh, such as IdentityFile=~/.ssh/pi",
    )
    verbs.add_parser("list", help="the boards you have added")
    check = verbs.add_parser("check", help="what a board is and has, and how to fix what is missing")
    check.add_argument("name")
    check.add_argument(
        "--install", action="store_true", help="set up the board kit there, where it is missing"
    )
    check.add_argument("--wheels", type=Path, help="a folder of wheels for it, in place of pip's index")
    check.add_argument("--kit", type=Path, help="a kit made by `board kit`, in place of making one")
    run_verb = verbs.add_parser("run", help="run a model there, compare its outputs, time it, record it")
    run_verb.add_argument("name")
    run_verb.add_argument("model", type=Path, help=".tflite, as the CPU runs it")
    run_verb.add_argument("--compiled", type=Path, help="the same model, compiled for the Edge TPU")
    run_verb.add_argument("--delegate", default="", help="a library there, such as libedgetpu.so.1")
    run_verb.add_argument(
        "--inputs", type=Path, help=".npy or .npz of test inputs [N, ...]; else they are drawn"
    )
    run_verb.add_argument("--count", type=int, default=32, help="how many are drawn; 32 by default")
    run_verb.add_argument(
        "--model-name", default="", help="of the model in the table; its file's name by default"
    )
    run_verb.add_argument("--dataset", default="", help="that the model belongs to, in the table")
    run_verb.add_argument(
        "--threads", type=int, help="of the CPU there; one per core by default, four at most"
    )
    run_verb.add_argument("--seconds", type=float, help="of timed runs; 10 by default")
    run_verb.add_argument("--openings", type=int, help="of the model; 5 by default")
    run_verb.add_argument(
        "--limit", type=float, default=600.0, help="seconds for everything there; 600 by default"
    )
    remove = verbs.add_parser("remove", help="forget a board; nothing is deleted on it")
    remove.add_argument("name")
    kit = verbs.add_parser("kit", help="the board kit as one zip, where board or computer has no network")
    kit.add_argument("out", type=Path, help="the zip to write")
    kit.add_argument("--wheels", type=Path, help="a folder of wheels for it, in place of pip's index")
    kit.add_argument("--machine", default="aarch64", choices=("aarch64", "x86_64"))
    kit.add_argument("--python", default="3.11", choices=("3.9", "3.10", "3.11", "3.12", "3.13"))
    kit.add_argument("--libc", default="2.31", help="of the board, by `ldd --version` there; 2.31 by default")


def run(options: argparse.Namespace) -> int:
    """One of the verbs; 0 when it went well."""
    verbs = {"add": _add, "list": _list, "check": _check, "run": _run, "remove": _remove, "kit": _kit}
    return verbs[options.verb](options)


def _asks() -> bool:
    """Whether there is somebody to type a password."""
    return sys.stdin.isatty()


def _tell(text: str) -> None:
    print(text, flush=True)


def _add(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from edgelab.boards import adb, host_keys, registry
    from edgelab.boards.link import Link

    board = registry.checked(options.name, options.destination)
    board = replace(board, options=tuple(options.option))
    if board.uses_adb:
        found = adb.facts_of(board)
    else:
        if options.new_key or not host_keys.is_known(board):
            keys = host_keys.look(board)
            if not _accepts(board, keys, options.accept_key):
                print(tr("Not accepted: {name} was not added.", name=board.name), file=sys.stderr)
                return 1
            host_keys.accept(board, keys, instead=options.new_key)
        with Link(board, asks=_asks()) as link:
            found = link.facts()
    today = datetime.date.today().isoformat()
    board = replace(board, kind=found.kind, model=found.device, added=today)
    registry.put(board)
    print(tr("Added {name}: {facts}", name=board.name, facts=found))
    print(tr("Next: python -m edgelab board check {name} --install", name=board.name))
    return 0


def _accepts(board, keys, fingerprint: str) -> bool:
    """Whether the user says that the fingerprint is the board's."""
    from edgelab.boards import host_keys
    from edgelab.errors import InputError

    print(tr("{place} shows a host key that is new here:", place=board.destination))
    for shown in keys.fingerprints:
        print(f"  {shown}")
    print(tr("On the board, ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub must print the same."))
    if fingerprint:
        host_keys.require(keys, fingerprint, board)
        return True
    if not sys.stdin.isatty():
        raise InputError(
            tr("Nobody is here to accept the host key."),
            why=tr("it is accepted once, by a person who has compared it"),
            fix=tr("run this in a terminal, or add: --accept-key {key}", key=keys.fingerprints[0].split()[0]),
        )
    return input(tr("Is it the same? Type yes: ")).strip().lower() in ("yes", tr("yes"))


def _list(options: argparse.Namespace) -> int:
    from edgelab.boards import registry

    known = registry.boards()
    print(
        "\n".join(map(str, known.values())) or tr("No boards yet: python -m edgelab board add NAME user@host")
    )
    return 0


def _check(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from edgelab.boards import adb, health, registry, remote

    board = registry.get(options.name)
    if board.uses_adb:
        asked = adb.ask(board)
    else:
        given = {"wheels": options.wheels, "kit_file": options.kit}
        asked = remote.check(board, install=options.install, asks=_asks(), told=_tell, **given)
    registry.put(replace(board, kind=asked.facts.kind, model=asked.facts.device))
    print(health.report(asked, board.name))
    return 0


def _run(options: argparse.Namespace) -> int:
    from edgelab.boards import registry, remote

    board = registry.get(options.name)
    given = (
        ("--threads", options.threads),
        ("--seconds", options.seconds),
        ("--openings", options.openings),
        ("--delegate", options.delegate or None),
    )
    wanted = remote.Wanted(
        model=options.model,
        inputs=options.inputs,
        count=options.count,
        compiled=options.compiled,
        name=options.model_name,
        dataset=options.dataset,
        arguments=tuple(part for name, value in given if value is not None for part in (name, str(value))),
        limit_s=options.limit,
    )
    ran = remote.run(board, wanted, asks=_asks(), told=_tell)
    print(ran)
    return 0 if ran.is_right else 1


def _remove(options: argparse.Namespace) -> int:
    from edgelab.boards import registry

    board = registry.remove(options.name)
    print(tr("Removed {name}. What is on it stays: rm -r ~/.edgelab there deletes the kit.", name=board.name))
    return 0


def _kit(options: argparse.Namespace) -> int:
    from edgelab.boards import kit
    from edgelab.machine import artifacts

    libc = tuple(int(part) for part in options.libc.split("."))
    made = kit.make(kit.For(options.machine, options.python, libc), options.wheels)
    with artifacts.atomic_path(options.out) as temporary:
        shutil.copyfile(made, temporary)
    size = options.out.stat().st_size / 1e6
    print(tr("{out}: {size:.0f} MB. README.txt in it tells what to do.", out=options.out, size=size))
    return 0
