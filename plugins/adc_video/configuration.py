"""Configurations of video transformers, from a folder or from the entries that a recipe changes."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

from adc_video import cogvideox
from adc_video.families import FAMILIES, Config, Family


def family_named(name: str) -> Family:
    """A row of the table.

    Raises:
        ValueError: If there is none.
    """
    if name not in FAMILIES:
        raise ValueError(f"family: {name!r}; one of {', '.join(FAMILIES)}.")
    return FAMILIES[name]


def network(name: str) -> Any:
    """A class of networks by its name in diffusers.

    Raises:
        ImportError: If the installed diffusers has none.
    """
    import diffusers

    found = getattr(diffusers, name, None)
    if found is None:
        raise ImportError(
            f"family: {name} is not in diffusers {diffusers.__version__}; "
            "install a newer one (pip install --upgrade diffusers), or take another family."
        )
    return found


def home_of(folder: Path, part: str) -> Path:
    """The folder with ``config.json``: that of a part (``transformer``, ``vae``) in this one, or itself.

    Raises:
        FileNotFoundError: If there is none.
    """
    for home in (folder / part, folder):
        if (home / "config.json").is_file():
            return home
    raise FileNotFoundError(
        f"source: {folder}: no {part}/config.json there, nor config.json; expected a folder in diffusers' layout."
    )


def stated(
    name: str, home: Path | None, changes: Config | None, base: Config, fixed: Config, owner: str
) -> tuple[str, Config, Config]:
    """The configuration of a network of diffusers.

    Args:
        name: Its class.
        home: Its folder, or null.
        changes: Entries that differ from the defaults; only without a folder.
        base: What differs in these defaults from diffusers'.
        fixed: Entries that have one value alone.
        owner: Who takes such networks alone.

    Returns:
        Where it comes from, the entries that are given there, and all entries.

    Raises:
        ImportError: If the installed diffusers has no such network.
        ValueError: If an entry is unknown or has a value that is excluded, or there are both a folder and changes.
    """
    origin = "config"
    if home is not None:
        if changes is not None:
            raise ValueError(f"config: {home} holds its configuration; leave one of the two out.")
        origin, changes = f"{home}/config.json", json.loads((home / "config.json").read_text())
        kind = (changes or {}).get("_class_name", name)
        if kind != name:
            raise ValueError(f"{origin}: a {kind}, but this family has {name}; name its family.")
    parameters = inspect.signature(network(name).__init__).parameters
    defaults = {key: parameter.default for key, parameter in parameters.items() if key != "self"}
    given: Config = {key: value for key, value in (changes or {}).items() if not key.startswith("_")}
    if unknown := sorted(given.keys() - defaults):
        raise ValueError(f"{origin}: unknown entry {unknown[0]!r}; known: {', '.join(sorted(defaults))}.")
    whole: Config = json.loads(json.dumps({**defaults, **base, **given}))  # lists, as in a file
    for key, value in fixed.items():
        if whole.get(key, value) != value:
            raise ValueError(f"{origin}: {key} is {whole[key]!r}; {owner} takes networks with {value!r} alone.")
    return origin, given, whole


def transformer(family: Family, home: Path | None, changes: Config | None, lr_channels: bool) -> Config:
    """The whole configuration of a network, and the channels of its input.

    Args:
        family: Its row of the table.
        home: Its folder, or null.
        changes: Entries that differ from the family's default; only without a folder.
        lr_channels: Whether LR's latents follow the noisy ones.

    Raises:
        ImportError: If the installed diffusers has no such network.
        ValueError: If an entry is unknown or has a value that is excluded, or there are both a folder and changes.
    """
    base = family.base if home is None else {}
    origin, given, whole = stated(family.network, home, changes, base, family.fixed, "VideoDenoiser")
    latents = whole["out_channels"] = whole["out_channels"] or whole["in_channels"]
    if given.get("in_channels", latents) not in (latents, 2 * latents):
        raise ValueError(
            f"{origin}: in_channels is {given['in_channels']}; VideoDenoiser takes networks of the noisy latents alone "
            f"({latents}, as out_channels), or with LR's behind them ({2 * latents})."
        )
    return {**whole, "in_channels": latents * (2 if lr_channels else 1)}


def schedule(family: Family, home: Path | None, changes: Config | None) -> Config | None:
    """The whole noise schedule of a network; null on the straight path.

    Args:
        family: Its row of the table.
        home: Its folder, or null; the schedule is that of ``scheduler/`` beside it.
        changes: Entries that differ from the family's default.

    Raises:
        FileNotFoundError: If there is a folder, and neither a schedule beside it nor changes.
        ValueError: If there are both, an entry is unknown or excluded, or the family has no schedule.
    """
    if family.schedule is None:
        if changes is not None:
            raise ValueError(f"schedule: {family.network} is on the straight path and has none; leave the key out.")
        return None
    beside = None if home is None else home.parent / "scheduler" / cogvideox.FILES["scheduler"]
    if beside is not None and beside.is_file():
        if changes is not None:
            raise ValueError(f"schedule: {beside} holds it; leave one of the two out.")
        return cogvideox.read_config(beside.parents[1], "scheduler")
    if beside is not None and changes is None:
        raise FileNotFoundError(f"source: {beside}: no such file; copy it there, or give its entries as schedule.")
    return cogvideox.complete("scheduler", {**family.schedule, **(changes or {})})


def save_schedule(entries: Config, folder: Path) -> None:
    """Write ``scheduler/`` into a folder."""
    path = folder / "scheduler" / cogvideox.FILES["scheduler"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entries, indent=2) + "\n")


def guidance(family: Family, scale: float | None) -> float | None:
    """The guidance scale that a network is given: the family's default, or another.

    Raises:
        ValueError: If the family's networks take none.
    """
    if family.guidance is None and scale is not None:
        raise ValueError(f"guidance: {scale}; {family.network} takes none, leave the key out.")
    return family.guidance if scale is None else scale
