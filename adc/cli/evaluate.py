"""``adc evaluate``: restored images against their references."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from adc.cli import UsageError

NAMED = 3


def main(argv: list[str]) -> None:
    """Parse the command line and compare."""
    from adc.cli.parser import OneLineErrors

    description = "Compare restored images with references: PSNR and SSIM of the luminance, no border cropped."
    parser = OneLineErrors(prog="adc evaluate", description=description, allow_abbrev=False)
    parser.add_argument("restored", help="An image, or a folder of images.")
    parser.add_argument("reference", help="Its reference; for a folder, a folder with images of the same names.")
    parser.add_function_arguments(evaluate, skip={"restored", "reference"}, as_group=False)
    evaluate(**vars(parser.parse_args(argv)))


def evaluate(restored: str, reference: str, json: str | None = None) -> None:
    """Compare images with references.

    Args:
        restored: An image or a folder of images.
        reference: The reference, or a folder with one of the same name for each image.
        json: Also write the figures into this file.
    """
    from adc.cli.batch import leave, work_through

    found = pairs(Path(restored), Path(reference))
    rows: list[dict[str, str | float]] = []
    failed = work_through(found, lambda pair: rows.append(_measure(*pair)), "comparing")
    figures = {"images": rows, "mean": _mean(rows)}
    if rows:
        _print(figures)
    if json is not None and rows:
        _write(Path(json), figures)
    leave(failed, len(found))


def pairs(restored: Path, reference: Path) -> list[tuple[str, Path, Path]]:
    """The name, the image and its reference, by name; the format may differ.

    Raises:
        FileNotFoundError: If a file or folder is not there.
        UsageError: If one is a file and the other a folder.
        ValueError: If an image has no partner, or two; the message names it.
    """
    for path in (restored, reference):
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder.")
    if restored.is_file() != reference.is_file():
        single, folder = (restored, reference) if restored.is_file() else (reference, restored)
        raise UsageError(f"{single} is a file and {folder} a folder; give two files or two folders.")
    if restored.is_file():
        return [(restored.name, restored, reference)]
    ours, theirs = _by_name(restored), _by_name(reference)
    for here, there, folder in ((ours, theirs, reference), (theirs, ours, restored)):
        if lonely := [path for name, path in here.items() if name not in there]:
            raise ValueError(f"{folder}: no image of the name of {_listed(lonely)}.")
    return [(path.relative_to(restored).as_posix(), path, theirs[name]) for name, path in ours.items()]


def _by_name(folder: Path) -> dict[str, Path]:
    from adc.data.images import list_images, name_of

    found: dict[str, Path] = {}
    for path in list_images(folder):
        name = name_of(path, folder)
        if name in found:
            raise ValueError(f"{path} and {found[name]} have one name; remove one of them.")
        found[name] = path
    return found


def _listed(paths: Sequence[Path]) -> str:
    rest = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(str(path) for path in paths[:NAMED]) + rest


def _measure(name: str, restored: Path, reference: Path) -> dict[str, str | float]:
    from adc.data.images import read_image, to_frame
    from adc.metrics import psnr_y, ssim_y

    a, b = (to_frame(read_image(path))[None, None] for path in (restored, reference))
    if a.shape != b.shape:
        sizes = [f"{clip.shape[-1]}x{clip.shape[-2]}" for clip in (a, b)]
        raise ValueError(f"{restored}: {sizes[0]} pixels, but {reference} has {sizes[1]}.")
    try:
        return {"name": name, "psnr_y": psnr_y(a, b).item(), "ssim_y": ssim_y(a, b).item()}
    except ValueError as error:
        raise ValueError(f"{restored}: {error}") from None


def _mean(rows: Sequence[dict[str, str | float]]) -> dict[str, float]:
    return {key: sum(float(row[key]) for row in rows) / len(rows) for key in ("psnr_y", "ssim_y") if rows}


def _print(figures: dict) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("image")
    table.add_column("PSNR-Y dB", justify="right")
    table.add_column("SSIM-Y", justify="right")
    for row in figures["images"]:
        table.add_row(row["name"], f"{row['psnr_y']:.3f}", f"{row['ssim_y']:.4f}")
    table.add_section()
    mean = figures["mean"]
    table.add_row(f"mean of {len(figures['images'])}", f"{mean['psnr_y']:.3f}", f"{mean['ssim_y']:.4f}")
    Console(file=sys.stdout).print(table)


def _write(path: Path, figures: dict) -> None:
    from adc.cli.runs import write_text

    write_text(path, json.dumps(figures, indent=2) + "\n")
