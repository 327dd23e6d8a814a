"""``adc list``: the components that a recipe can name; ``adc list NAME``: the arguments of one."""

from __future__ import annotations

import argparse
import difflib
import inspect
import json
import re
import sys
from importlib import import_module
from itertools import groupby
from typing import Any

from rich.markup import escape
from rich.table import Table

from adc import components, registry
from adc.cli import EXAMPLES
from adc.cli.options import console_of_output
from adc.errors import UsageError
from adc.registry import Component

BESIDES = (
    "adc.training", "adc.stages.adversarial", "adc.data", "adc.pruning", "torch.optim", "torch.optim.lr_scheduler",
    "lightning.pytorch.callbacks", "lightning.pytorch.loggers",
)  # fmt: skip
"""Modules of what recipes name that is no component of adc."""


def main(argv: list[str]) -> None:
    """List all components, or explain one."""
    description = "List the components that a recipe can name, or explain the arguments of one."
    parser = argparse.ArgumentParser(
        "adc list", description=description, epilog=f"example: {EXAMPLES['list']}", allow_abbrev=False
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="a component, by its short name or its class path")
    parser.add_argument("--kind", help="only components of this kind, for one Teacher")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(argv)
    known = components.components()
    if options.name is None:
        _list(known, options.kind, options.json)
    else:
        _explain(_find(options.name, known), options.json)


def _list(known: list[Component], kind: str | None, as_json: bool) -> None:
    kinds = sorted({component.kind for component in known})
    if kind is not None and kind not in kinds:
        near = difflib.get_close_matches(kind.capitalize(), kinds, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UsageError(f"--kind: there is no kind {kind!r}; {hint}there are {', '.join(kinds)}.")
    chosen = [component for component in known if kind in (None, component.kind)]
    if as_json:
        _print_json([vars(component) for component in chosen])
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("kind", style="cyan", no_wrap=True)
    table.add_column("name", style="bold", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    table.add_column("from", style="dim", overflow="fold")
    for number, (kind_of_group, group) in enumerate(groupby(chosen, key=lambda component: component.kind)):
        if number:
            table.add_row()
        for place, component in enumerate(group):
            table.add_row(
                "" if place else kind_of_group, component.name, component.summary.replace("``", "`"), component.origin
            )
    _show(table)
    for plugin in registry.broken():
        _show(f"plugin {plugin} did not load: {plugin.error}", style="red", markup=False)
    _show("`adc list NAME` lists its arguments.", style="dim")


def _find(name: str, known: list[Component]) -> Component:
    other = _besides(name)
    if other is not None and other.path.startswith("torch.optim."):
        return other  # of several libraries with an Adam, recipes mean torch's
    found = [component for component in known if name in (component.name, component.path)]
    if not found and "." in name:
        package, last = name.partition(".")[0], name.rpartition(".")[2]
        found = [c for c in known if c.name == last and c.path.partition(".")[0] == package]
    if len(found) > 1:
        paths = ", ".join(component.path for component in found)
        raise UsageError(f"more than one component is called {name!r}; give its full path: {paths}.")
    if found:
        return found[0]
    if other is not None:
        return other
    near = difflib.get_close_matches(name, [component.name for component in known], 3)
    near = near or [f"--kind {kind}" for kind in difflib.get_close_matches(name, {one.kind for one in known}, 1)]
    near = near or [one.name for one in known if name.lower() in one.summary.replace("-", "").lower()]
    lost = "".join(f" Plugin {plugin} did not load: {plugin.error}." for plugin in registry.broken())
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise UsageError(f"there is no component {name!r}; {hint}`adc list` shows them all.{lost}{registry.PLUGINS_HINT}")


def _besides(name: str) -> Component | None:
    """What a recipe names besides components: parts of roles and data, functions, optimizers of torch."""
    package, _, last = name.rpartition(".")
    for home in (package,) if package else BESIDES:
        try:
            found = getattr(import_module(home), last, None)
        except ImportError:
            continue
        if inspect.isclass(found) or inspect.isfunction(found):
            kind = found.__mro__[1].__name__ if inspect.isclass(found) and found.__mro__[1] is not object else "value"
            summary = (inspect.getdoc(found) or "").partition("\n")[0]
            path = f"{home}.{last}"
            return Component(
                last, kind if inspect.isclass(found) else "function", path, home.partition(".")[0], summary
            )
    return None


def _explain(component: Component, as_json: bool) -> None:
    module, _, name = component.path.rpartition(".")
    cls = getattr(import_module(module), name)
    arguments = arguments_of(cls)
    if as_json:
        _print_json({**vars(component), "doc": inspect.getdoc(cls), "arguments": arguments})
        return
    console = console_of_output()
    console.print(f"[bold]{component.name}[/] is a [cyan]{component.kind}[/] from {component.origin}")
    console.print(f"class_path: {component.path}\n", style="dim", markup=False, highlight=False)
    console.print(_prose(cls), markup=False, highlight=False)
    if not arguments:
        console.print("\nIt takes no arguments.")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("argument", style="bold", no_wrap=True)
    table.add_column("type", style="cyan", overflow="fold")
    table.add_column("default", overflow="fold")
    table.add_column("what it is", overflow="fold")
    for argument in arguments:
        default = "required" if argument["required"] else json.dumps(argument["default"])
        table.add_row(argument["name"], escape(argument["type"]), escape(default), argument["help"])
    console.print()
    console.print(table)


def arguments_of(cls: Any) -> list[dict[str, Any]]:
    """Arguments of a class or a function: for each ``name``, ``type``, ``required``, ``default`` and ``help``."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    add: Any = parser.add_class_arguments if inspect.isclass(cls) else parser.add_function_arguments
    first = {"params", "optimizer"} & {*inspect.signature(cls).parameters}  # what torch's own are given
    add(cls, "it", fail_untyped=False, sub_configs=True, skip=first if cls.__module__.startswith("torch.") else set())
    defaults = parser.get_defaults()
    found = []
    for action in parser._actions:
        if not action.dest.startswith("it.") or "." in action.dest[3:]:
            continue
        kind = getattr(action, "_typehint", None) or getattr(action, "type", None)
        default = defaults.get(action.dest)
        found.append(
            {
                "name": action.dest[3:],
                "type": _type_name(kind),
                "required": action.dest in getattr(parser, "_extra_required_keys", ()) or bool(action.required),
                "default": json.loads(json.dumps(default, default=str)),
                "help": " ".join((action.help or "").replace("``", "`").split())
                if action.help != argparse.SUPPRESS
                else "",
            }
        )
    return found


def _prose(cls: Any) -> str:
    text = re.split(r"^(?:Args|Attributes|Raises):$", inspect.getdoc(cls) or "", maxsplit=1, flags=re.M)[0]
    return text.strip().replace("``", "`")


def _type_name(kind: Any) -> str:
    if inspect.isclass(kind) and not getattr(kind, "__args__", None):
        return kind.__name__
    text = inspect.formatannotation(kind).replace("NoneType", "None")
    return re.sub(r"(?<!['\w.])(?:[A-Za-z_]\w*\.)+(\w+)", r"\1", text)


def _show(what: Any, **options: Any) -> None:
    """Print without spaces at the ends of lines."""
    console = console_of_output()
    with console.capture() as captured:
        console.print(what, **options)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2) + "\n")
