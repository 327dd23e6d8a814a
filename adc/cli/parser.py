"""Parsers of recipes: plugins loaded, short names, errors in one line."""

from __future__ import annotations

import os
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import ActionConfigFile, ArgumentParser
from omegaconf.errors import OmegaConfBaseException

from adc import registry
from adc.cli import EXAMPLES, USAGE, list_items, nulls, recipe_keys
from adc.cli.errors import explain, place, place_of_constructor, place_of_value, root_cause
from adc.cli.prefer_torch import prefer_torch
from adc.errors import UsageError, debugging, describe, masked, name_place
from adc.runs import read_recipe

PARSER_OPTIONS: dict[str, Any] = {"parser_mode": "omegaconf+", "allow_abbrev": False}
HEADINGS = {
    "Customize every aspect of training": "The trainer of Lightning",
    "Alternating updates": "The stage, its networks, losses and roles (`adc list --kind Stage`)",
    "A DataModule": "The clips that are trained and validated on (`adc list DegradedClips`, for one)",
}
"""Headings of the options, by words of those that Lightning and jsonargparse take from docstrings."""
COMPONENTS = ("adc.losses", "adc.degradation", "adc.metrics", "adc.pruning", "adc.inference.latent")
TRAINING_COMPONENTS = ("adc.data", "adc.training", "adc.inference", "adc.teacher_cache", "adc.stages")


def load_components(training: bool = False) -> None:
    """Import the components of adc (those of `training`, which need lightning, if asked), then those of plugins."""
    for package in COMPONENTS + (TRAINING_COMPONENTS if training else ()):
        module = import_module(package)
        for info in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{package}."):
            import_module(info.name)
    registry.discover()
    prefer_torch()


class Parsed(BaseException):
    """The end of a command whose recipe is read, where nothing is to be built."""


_parsing_only = False


@contextmanager
def parsing_only() -> Iterator[None]:
    """Let commands end with `Parsed` before they build what their recipes name."""
    global _parsing_only
    before, _parsing_only = _parsing_only, True
    try:
        yield
    finally:
        _parsing_only = before


def end_if_parsing_only() -> None:
    """End the command here if its recipe was only to be read.

    Raises:
        Parsed: If so.
    """
    if _parsing_only:
        raise Parsed


class OneLineErrors(ArgumentParser):
    """A parser with errors in one line; ``ADC_DEBUG=1`` shows jsonargparse's own."""

    _is_parsing = False  # the parser of a component, which jsonargparse makes meanwhile, leaves out what has a default

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None, **options: Any) -> Any:
        """Parse, remembering which recipes are read."""
        self.recipes = recipes_of(sys.argv[1:] if args is None else args)
        self.folder = Path.cwd()
        args = list(sys.argv[1:] if args is None else args)
        for before, word in pairwise(["", *args]):
            option = word.removesuffix("=") if word.startswith("--") and word.endswith("=") else before
            if (word == "" or option is not before) and "." not in option:
                name = option if option.startswith("-") else "an argument"
                self.error(f"{name} is empty, as a variable of the shell that is not set; give a value.", None)
        try:
            for recipe in self.recipes:
                read_recipe(recipe)
            args = list_items.take(args, self.recipes)
        except (FileNotFoundError, ValueError) as error:
            self.error(str(error), None)
        if wrong := recipe_keys.unknown(self.recipes, self._option_names()):
            self.error(wrong, None)
        is_inner, OneLineErrors._is_parsing = OneLineErrors._is_parsing, True
        try:
            parsed = super().parse_args(args, namespace, **options)
        except OmegaConfBaseException as error:
            if not self.exit_on_error:
                raise
            where = place(self.recipes, str(error.full_key).split("."), None)
            self.error(f"{where}{str(error).splitlines()[0]}", None)
        finally:
            OneLineErrors._is_parsing = is_inner
        if not is_inner and (wrong := nulls.forbidden(parsed, self._actions, self.recipes)):
            self.error(wrong, None)
        return parsed

    def format_help(self) -> str:
        """The help of the command under headings of our own, and an example of it."""
        for group in self._action_groups:
            group.title = next((own for word, own in HEADINGS.items() if word in (group.title or "")), group.title)
        text = super().format_help().replace("``", "`")
        return f"{text}\nexample: {EXAMPLES[str(self.prog).removeprefix('adc ')]}\n"

    def instantiate(self, namespace: Any, *args: Any, **options: Any) -> Any:
        """Build the components of a recipe; errors of constructors are usage errors.

        Raises:
            UsageError: In one line, with the place in the recipe if it names a file.
        """
        end_if_parsing_only()
        try:
            return super().instantiate(namespace, *args, **options)
        except Exception as error:
            cause = root_cause(error)
            if not self.exit_on_error or isinstance(cause, UsageError):
                raise cause from cause.__cause__
            if isinstance(cause, (ValueError, OSError, ImportError)):
                line = describe(cause)
                raise UsageError(f"{place_of_value(getattr(self, 'recipes', []), line)}{line}") from cause
            if where := place_of_constructor(getattr(self, "recipes", []), cause):
                name_place(cause, where)
            raise cause from cause.__cause__

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print one line and exit with status 2."""
        if not self.exit_on_error:
            super().error(message, ex)
        if debugging():
            sys.stderr.write(f"{message}\n")
        os.chdir(getattr(self, "folder", "."))  # jsonargparse reads a recipe in the recipe's folder
        line = explain(message, ex, getattr(self, "recipes", []), self._option_names(), str(self.prog))
        sys.stderr.write(f"adc: error: {masked(line)}\n")
        sys.exit(USAGE)

    def _option_names(self) -> list[str]:
        return [option[2:] for action in self._actions for option in action.option_strings if option.startswith("--")]


def recipes_of(args: Sequence[str]) -> list[str]:
    """The recipe files among arguments, in their order."""
    found = [value for flag, value in pairwise(args) if flag in {"-c", "--config"}]
    found += [arg.partition("=")[2] for arg in args if arg.startswith(("--config=", "-c="))]
    return [os.fspath(path) for path in found]


def component_parser(prog: str, description: str | None = None) -> OneLineErrors:
    """A parser for commands whose recipes name components.

    All components but those of training are loaded, and ``-c/--config`` reads recipes; later ones
    and the command line win.
    """
    load_components()
    parser = OneLineErrors(prog=prog, description=description, **PARSER_OPTIONS)
    parser.add_argument("-c", "--config", action=ActionConfigFile, help="A recipe file; may be given more than once.")
    return parser
