"""Components that a recipe can name.

The components of adc and of its own plugins are read from their source text: torch and lightning
take seconds to import. Plugins of others are imported.
"""

from __future__ import annotations

import ast
import sys
from abc import ABC
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import adc
from adc import registry
from adc.registry import Component

TRAINING_KINDS = {"Stage": "Stage", "LightningDataModule": "DataModule", "LRScheduler": "LRScheduler"}
TRAINING_KINDS |= dict.fromkeys(("Callback", "Checkpoint", "ProgressBar", "BasePredictionWriter"), "Callback")
NO_KINDS = {"Prunable", "LatentStudent"}
"""Classes of `adc.interfaces` that are listed as another kind, or not at all."""


@dataclass(frozen=True)
class _Source:
    """A class as its source defines it."""

    name: str
    module: str
    origin: str
    bases: tuple[str, ...]
    abstract: bool
    summary: str


def components() -> list[Component]:
    """All components, sorted by kind and name."""
    registry.discover(first_party=False)
    found = {component.path: component for component in own_components()}
    for component in registry.components(imported_kinds()):
        foreign = component.path.partition(".")[0] not in {"adc", "lightning", "torch"}
        if foreign and component.path not in found:
            kind = TRAINING_KINDS.get(component.kind, component.kind)
            found[component.path] = Component(component.name, kind, component.path, component.origin, component.summary)
    return sorted(found.values(), key=lambda component: (component.kind, component.name, component.path))


def own_components() -> list[Component]:
    """The components of adc and of its plugins, read from their files."""
    sources = {source.name: source for source in _sources(Path(adc.__file__).parent, "adc")}
    for plugin in registry.first_party_plugins():
        spec = find_spec(plugin.module)
        if spec is not None and spec.origin is not None:
            sources |= {source.name: source for source in _sources(Path(spec.origin).parent, str(plugin))}
    found = []
    for source in sources.values():
        kind = _kind(source, sources)
        hidden = source.abstract or source.name.startswith("_") or source.module.startswith("adc.interfaces")
        if kind is not None and not hidden:
            path = f"{source.module}.{source.name}"
            found.append(Component(source.name, kind, path, source.origin, source.summary))
    return found


def imported_kinds() -> list[type]:
    """The abstract classes a component may implement, as far as they are imported."""
    interfaces = sys.modules.get("adc.interfaces")
    named = (getattr(interfaces, name) for name in getattr(interfaces, "__all__", ()))
    kinds: list[type] = [kind for kind in named if isinstance(kind, type) and kind.__name__ not in NO_KINDS]
    optional = (
        ("adc.pruning.importance", "Importance"),
        ("adc.training.stage", "Stage"),
        ("lightning.pytorch", "LightningDataModule"),
        ("lightning.pytorch", "Callback"),
        ("torch.optim", "Optimizer"),
        ("torch.optim.lr_scheduler", "LRScheduler"),
    )
    for module, name in optional:
        kind = getattr(sys.modules.get(module), name, None)
        if isinstance(kind, type):
            kinds.append(kind)
    packages = {plugin.module for plugin in registry.first_party_plugins()}
    return kinds + [kind for kind in ABC.__subclasses__() if kind.__module__.partition(".")[0] in packages]


def _sources(root: Path, origin: str) -> Iterator[_Source]:
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root.parent).with_suffix("").parts
        if parts[:2] in (("adc", "cli"), ("adc", "testing")):
            continue
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                bases = tuple(ast.unparse(base).rpartition(".")[2] for base in node.bases)
                decorators = [mark for item in node.body for mark in getattr(item, "decorator_list", ())]
                marked = any(ast.unparse(mark).endswith("abstractmethod") for mark in decorators)
                summary = (ast.get_docstring(node) or "").partition("\n")[0]
                yield _Source(node.name, module, origin, bases, marked or "ABC" in bases, summary)


def _kind(source: _Source, sources: dict[str, _Source]) -> str | None:
    """The nearest interface among the ancestors of a class."""
    for base in source.bases:
        if base in TRAINING_KINDS:
            return TRAINING_KINDS[base]
        if (parent := sources.get(base)) is None:
            continue
        if parent.module.startswith("adc.interfaces") and base not in NO_KINDS:
            return parent.name
        if kind := _kind(parent, sources) or (parent.name if parent.abstract else None):
            return kind
    return None
