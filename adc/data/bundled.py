"""The photographs that scikit-image ships inside its wheel: data that every installation has.

Four colour photographs are for validation only; eleven more are for training. Text
pages, logos and drawings are left out of both. What scikit-image says of the licences, for each
image where it shows it: CC0 or public domain (astronaut, brick, camera, chelsea, coffee, grass,
gravel, hubble_deep_field, retina, rocket), or no known copyright restrictions (coins, ihc); moon
comes without a statement; motorcycle_left and motorcycle_right are from the Middlebury 2014
stereo benchmark, published for research. For anything but a demonstration bring your own photos.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

VALIDATION = ("astronaut", "chelsea", "coffee", "rocket")
"""Names of the photographs kept for validation and reports."""

TRAIN = (
    "brick", "camera", "coins", "grass", "gravel", "hubble_deep_field", "ihc", "moon", "motorcycle_left",
    "motorcycle_right", "retina",
)  # fmt: skip
"""Names of the photographs for training."""

_JPEG = ("hubble_deep_field", "retina", "rocket")


def photo_path(name: str) -> Path:
    """File of a bundled photograph; scikit-image is looked up, not imported.

    Raises:
        FileNotFoundError: If scikit-image, or this file of it, is not installed.
    """
    if name not in VALIDATION + TRAIN:
        raise ValueError(f"No bundled photograph is called '{name}'. There are: {', '.join(VALIDATION + TRAIN)}.")
    spec = find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            f"The bundled photograph '{name}' comes with scikit-image: pip install scikit-image, or name a folder of "
            "your own."
        )
    path = Path(spec.submodule_search_locations[0]) / "data" / f"{name}.{'jpg' if name in _JPEG else 'png'}"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: this scikit-image does not ship the photograph. Name a folder of your own.")
    return path


def training_photos() -> list[Path]:
    """The files of `TRAIN`."""
    return [photo_path(name) for name in TRAIN]


def validation_photos() -> list[Path]:
    """The files of `VALIDATION`."""
    return [photo_path(name) for name in VALIDATION]
