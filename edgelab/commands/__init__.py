"""The commands of `python -m edgelab`, one a file: a new file here is a new command.

Each module is named as its command and holds

- a docstring, whose first line is the command's help;
- `GROUP`, the heading of `GROUPS` that it stands under;
- `add_arguments(parser)`, if it takes any;
- `run(options)`, which does it, prints what came of it, and returns the exit code;
- `PASSES_OPTIONS_ON = True`, if options that the parser does not know belong to another program; they are
  then in `options.passed_on`.

What takes time to import is imported in `run`, so that `--help` stays quick.
"""

from __future__ import annotations

import argparse
import pkgutil
from importlib import import_module
from types import ModuleType

GROUPS = ("learn", "teach", "measure", "check")


def modules() -> dict[str, ModuleType]:
    """Every command's module by its name, group by group, by name within a group."""
    names = sorted(entry.name for entry in pkgutil.iter_modules(__path__))
    found = {name: import_module(f"{__name__}.{name}") for name in names}
    return dict(sorted(found.items(), key=lambda item: GROUPS.index(item[1].GROUP)))


def summary(module: ModuleType) -> str:
    """The first line of a command's docstring."""
    return module.__doc__.splitlines()[0].rstrip(".")


def overview(commands: dict[str, ModuleType]) -> str:
    """The commands under their groups, a line each."""
    width = max(map(len, commands))
    lines = []
    for group in GROUPS:
        lines.append(f"{group}:")
        lines += [
            f"  {name:{width}}  {summary(module)}"
            for name, module in commands.items()
            if group == module.GROUP
        ]
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; `options.command` is the module that was asked for."""
    commands = modules()
    whole = argparse.ArgumentParser(
        prog="python -m edgelab",
        usage="python -m edgelab COMMAND [options]",
        description="Edge AI Acceleration Workbook",
        epilog=f"{overview(commands)}\n\npython -m edgelab COMMAND --help tells a command's options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    added = whole.add_subparsers(
        required=True, metavar="COMMAND", prog="python -m edgelab", help=argparse.SUPPRESS
    )
    for name, module in commands.items():
        one = added.add_parser(name, description=summary(module))
        one.set_defaults(command=module)
        if hasattr(module, "add_arguments"):
            module.add_arguments(one)
    return whole


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line as a namespace.

    Args:
        arguments: without the program's name; those of this process when None.

    Raises:
        SystemExit: an unknown command or option (code 2), or `--help` (code 0).
    """
    whole = parser()
    options, options.passed_on = whole.parse_known_args(arguments)
    if options.passed_on and not getattr(options.command, "PASSES_OPTIONS_ON", False):
        whole.error(f"unrecognized arguments: {' '.join(options.passed_on)}")
    return options
