"""Finds plugins and lists components. To subclass and be imported is to be registered.

Plugins come from two places: installed packages with an entry point in the group ``adc.plugins``
(the first-party plugins too), and the folders on ``ADC_PLUGIN_PATH``. Nothing is imported from the
working directory unless it is named there.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

GROUP = "adc.plugins"
PATH_VARIABLE = "ADC_PLUGIN_PATH"
PLUGINS_HINT = f" A plugin of your own is found by --plugins FOLDER or {PATH_VARIABLE}."
"""The way out where a component is not known."""


@dataclass(frozen=True)
class Plugin:
    """A module that registers components when it is imported.

    Attributes:
        module: The name it is imported by.
        origin: Where it was found: a package with its version, or a folder.
        error: Why it did not load; empty if it did.
    """

    module: str
    origin: str
    error: str = ""

    def __str__(self) -> str:
        """The module and where it is from."""
        return f"{self.module} ({self.origin})"


@dataclass(frozen=True)
class Component:
    """A class that a recipe can name.

    Attributes:
        name: The short name.
        kind: The abstract class it implements.
        path: The full class path.
        origin: ``adc``, or the plugin.
        summary: The first line of its docstring.
    """

    name: str
    kind: str
    path: str
    origin: str
    summary: str


_found: dict[tuple[str, str], Plugin] = {}


def discover(first_party: bool = True) -> list[Plugin]:
    """Import every plugin, each once in a process, and warn once of each that fails.

    Args:
        first_party: Whether adc's own plugins are imported too.

    Returns:
        All of them, the broken ones with their error.
    """
    own = {plugin.module for plugin in first_party_plugins()}
    plugins = [_load(p.module, p.origin) for p in installed() if first_party or p.module not in own]
    for folder in plugin_folders():
        plugins += _from_folder(folder)
    return list(dict.fromkeys(plugins))


def first_party_plugins() -> list[Plugin]:
    """The plugins that come with adc; nothing is imported."""
    return [plugin for plugin in installed() if plugin.origin.partition(" ")[0] == "adc"]


def plugin_folders() -> list[Path]:
    """The folders on ``ADC_PLUGIN_PATH``, absolute, each once."""
    return list(dict.fromkeys(_folders(os.environ.get(PATH_VARIABLE, ""))))


def _folders(paths: str) -> list[Path]:
    return [Path(path).expanduser().resolve() for path in paths.split(os.pathsep) if path]


def add_plugin_folders(folders: str) -> None:
    """Put folders in front of ``ADC_PLUGIN_PATH``, for this process and those it starts.

    Args:
        folders: Paths with ``os.pathsep`` between them.

    Raises:
        FileNotFoundError: If one is not a folder.
    """
    named = _folders(folders)
    for folder in named:
        if not folder.is_dir():
            raise FileNotFoundError(f"--plugins: there is no folder {folder}; name a folder that holds modules.")
    together = dict.fromkeys(named + plugin_folders())
    os.environ[PATH_VARIABLE] = os.pathsep.join(str(folder) for folder in together)


def broken() -> list[Plugin]:
    """The plugins found so far that did not load."""
    return [plugin for plugin in _found.values() if plugin.error]


def subclasses(base: type) -> Iterator[type]:
    """Every imported concrete subclass of a class that a recipe can name, itself included."""
    seen: set[type] = set()
    waiting = [base]
    while waiting:
        cls = waiting.pop()
        if cls in seen:
            continue
        seen.add(cls)
        waiting += type.__subclasses__(cls)
        nameable = "<locals>" not in cls.__qualname__ and "._" not in f"{cls.__module__}.{cls.__qualname__}"
        if nameable and not inspect.isabstract(cls):
            yield cls


def components(kinds: Iterable[type]) -> list[Component]:
    """The imported components of each kind.

    Args:
        kinds: Abstract classes; a class belongs to the most special of those it implements.

    Returns:
        Sorted by kind and name.
    """
    ranks = list(kinds)
    found: dict[type, Component] = {}
    for base in ranks:
        for cls in subclasses(base):
            if cls in ranks:
                continue
            kind = next(parent for parent in cls.__mro__ if parent in ranks)
            path = f"{cls.__module__}.{cls.__qualname__}"
            summary = (cls.__doc__ or "").strip().partition("\n")[0]
            found[cls] = Component(cls.__name__, kind.__name__, path, origin(cls.__module__), summary)
    return sorted(found.values(), key=lambda component: (component.kind, component.name, component.path))


def origin(module: str) -> str:
    """Where the components of a module are from: ``adc``, a plugin, or the package itself."""
    package = module.partition(".")[0]
    for plugin in _found.values():
        if plugin.module == module or plugin.module.partition(".")[0] == package:
            return str(plugin)
    return package


def installed() -> list[Plugin]:
    """The plugins that entry points name; nothing is imported."""
    return list(_installed(tuple(sys.path), entry_points))


@cache
def _installed(paths: tuple[str, ...], find: Callable[..., Iterable[EntryPoint]]) -> tuple[Plugin, ...]:
    """The plugins on some paths, read once: that takes a tenth of a second."""
    points = sorted(find(group=GROUP), key=lambda point: point.value)
    return tuple(dict.fromkeys(Plugin(point.module, _distribution(point)) for point in points))


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an installed package"


def _from_folder(folder: Path) -> list[Plugin]:
    if not folder.is_dir():
        return [_fail(Plugin(folder.name, str(folder)), f"{PATH_VARIABLE} names {folder}, which is no folder")]
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    importlib.invalidate_caches()
    names = sorted(info.name for info in pkgutil.iter_modules([str(folder)]))
    return [_load(name, str(folder), folder) for name in names if _is_plugin_name(name)]


def _is_plugin_name(name: str) -> bool:
    return name.isidentifier() and not name.startswith(("_", "test_")) and name not in {"conftest", "setup", "tests"}


def _load(module: str, source: str, folder: Path | None = None) -> Plugin:
    if (module, source) in _found:
        return _found[module, source]
    plugin = Plugin(module, source)
    try:
        if folder is not None:
            _expect_within(module, folder)
        importlib.import_module(module)
    except (Exception, SystemExit) as error:
        if os.environ.get("ADC_DEBUG", "0") != "0":
            traceback.print_exc()
        text = " ".join(str(error).split())
        return _fail(plugin, f"{type(error).__name__}: {text}" if text else type(error).__name__)
    _found[module, source] = plugin
    return plugin


def _expect_within(module: str, folder: Path) -> None:
    """Refuse a module of a folder whose name something else has."""
    loaded = sys.modules.get(module)
    spec = loaded.__spec__ if loaded is not None else importlib.util.find_spec(module)
    place = spec.origin if spec is not None else None
    if place is None or folder not in Path(place).resolve().parents:
        raise ImportError(f"the name {module!r} belongs to {place or 'another module'}; rename the plugin")


def _fail(plugin: Plugin, error: str) -> Plugin:
    key = (plugin.module, plugin.origin)
    if key not in _found:
        _found[key] = Plugin(plugin.module, plugin.origin, error)
        sys.stderr.write(f"adc: warning: plugin {plugin} did not load: {error}\n")
    return _found[key]
