"""Writes a new plugin: a package with one small component that works, and its test.

python tools/new_plugin.py acme_sr teacher

The folder ``acme_sr`` can be installed (``pip install -e acme_sr``) or named on ``ADC_PLUGIN_PATH``.
"""

from __future__ import annotations

import argparse
import difflib
import importlib.util
import keyword
import re
import sys
from pathlib import Path

PYPROJECT = """\
[build-system]
requires = ["setuptools>=77.0.3,<82"]
build-backend = "setuptools.build_meta"

[project]
name = "{distribution}"
version = "0.1.0"
description = "A {kind} for adc."
requires-python = ">=3.10"
dependencies = ["adc"]

[project.entry-points."adc.plugins"]
{package} = "{package}"

[tool.setuptools]
packages = ["{package}"]

[tool.pytest.ini_options]
testpaths = ["tests"]
pythonpath = ["."]
"""

INIT = '''\
"""Components for adc. Importing this package registers them."""

from .{module} import {cls}

__all__ = ["{cls}"]
'''

TEST = """\
from {package} import {cls}

from adc.testing import {check}


def test_contract():
    {check}({cls}())
"""

TEACHER = '''\
"""A restorer that students imitate."""

from __future__ import annotations

from torch import Generator, Tensor, nn

from adc.interfaces import Teacher
from adc.ops.clip import upsample_bicubic, per_frame


class {cls}(Teacher):
    """Bicubic enlargement and a small network that corrects it."""

    def __init__(self, width: int = 16, scale: int = 4) -> None:
        """
        Args:
            width: Channels of the network.
            scale: How many times larger the result is.
        """
        super().__init__()
        self.scale = scale
        self.network = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, 3, 3, padding=1),
        )

    def restore(self, lr: Tensor, generator: Generator | None = None) -> Tensor:
        """Enlarge, then correct."""
        large = upsample_bicubic(lr, self.scale)
        return large + 0.1 * per_frame(self.network, large)
'''

STUDENT = '''\
"""A student in two halves."""

from __future__ import annotations

from torch import Tensor, nn

from adc.interfaces import Student
from adc.ops.clip import per_frame


class {cls}(Student):
    """A body at the small size, and a decoder that enlarges what it finds."""

    def __init__(self, width: int = 16, scale: int = 4) -> None:
        """
        Args:
            width: Channels between the halves.
            scale: How many times larger the result is.
        """
        super().__init__()
        self.scale = scale
        self.init_args = {{"width": width, "scale": scale}}
        self.body = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.SiLU())
        self.decoder = nn.Sequential(nn.Conv2d(width, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def encode(self, lr: Tensor) -> Tensor:
        """``(B, T, 3, h, w)`` to ``(B, T, width, h, w)``."""
        return per_frame(self.body, lr)

    def decode(self, feature: Tensor) -> Tensor:
        """``(B, T, width, h, w)`` to ``(B, T, 3, scale * h, scale * w)``."""
        return per_frame(self.decoder, feature)
'''

DISCRIMINATOR = '''\
"""A discriminator of restored and real clips."""

from __future__ import annotations

from torch import Tensor, nn

from adc.interfaces import Discriminator
from adc.ops.clip import per_frame


class {cls}(Discriminator):
    """Logits of patches of pixels, frame by frame."""

    domain = "pixel"
    heads = ("realism",)

    def __init__(self, width: int = 16) -> None:
        """
        Args:
            width: Channels of the network.
        """
        super().__init__()
        self.network = nn.Sequential(
            nn.Conv2d(3, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 1, 4, stride=2, padding=1),
        )

    def forward(self, view: Tensor, condition: Tensor | None = None) -> dict[str, Tensor]:
        """Logits ``(B, T, 1, H / 4, W / 4)``."""
        return {{"realism": per_frame(self.network, view)}}
'''

LOSS = '''\
"""What a stage minimises."""

from __future__ import annotations

from torch import Tensor

from adc.interfaces import Loss


class {cls}(Loss):
    """Mean absolute difference of neighbouring values: edges must agree."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """A scalar; not yet weighted."""
        error = prediction - target
        return (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()) / 2
'''

DEGRADATION = '''\
"""Makes the small, spoilt clip of a pair."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from adc.interfaces import Degradation
from adc.ops.clip import quantize


class {cls}(Degradation):
    """Averages of squares of pixels, and noise."""

    def __init__(self, scale: int = 4, noise: float = 0.05) -> None:
        """
        Args:
            scale: How many times smaller the result is.
            noise: Largest standard deviation of the noise.
        """
        super().__init__()
        self.scale, self.noise = scale, noise

    def forward(self, hr: Tensor, generator: Generator) -> Tensor:
        """``(T, 3, H, W)`` to ``(T, 3, H / scale, W / scale)``; the generator is the only randomness."""
        lr = F.avg_pool2d(hr, self.scale)
        sigma = self.noise * torch.rand(1, generator=generator)
        return quantize(lr + sigma * torch.randn(lr.shape, generator=generator))
'''

SOURCE = '''\
"""Clips that discriminators are shown."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from adc.interfaces import Source


class {cls}(Source):
    """The real clip, mirrored."""

    def __call__(self, batch: dict[str, Any]) -> Tensor:
        """``(B, T, 3, H, W)`` in ``[-1, 1]``."""
        return batch["hr"].flip(-1)
'''

SCORER = '''\
"""An opinion about clips."""

from __future__ import annotations

from torch import Tensor

from adc.interfaces import Scorer


class {cls}(Scorer):
    """Contrast: the standard deviation of all values."""

    def forward(self, clip: Tensor) -> Tensor:
        """``(B,)``, higher is better."""
        return clip.flatten(1).std(dim=1)
'''

FEATURE_SPACE = '''\
"""The space in which student, teacher and truth are compared."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from adc.interfaces import FeatureSpace
from adc.ops.clip import per_frame


class {cls}(FeatureSpace):
    """Averages of 4x4 pixels."""

    def embed(self, pixels: Tensor) -> Tensor:
        """``(B, T, 3, H, W)`` to ``(B, T, 3, H / 4, W / 4)``."""
        return per_frame(lambda frames: F.avg_pool2d(frames, 4), pixels)
'''

KINDS = {
    "teacher": TEACHER,
    "student": STUDENT,
    "discriminator": DISCRIMINATOR,
    "loss": LOSS,
    "degradation": DEGRADATION,
    "source": SOURCE,
    "scorer": SCORER,
    "feature_space": FEATURE_SPACE,
}


def write(name: str, kind: str, into: Path) -> Path:
    """Write the package.

    Args:
        name: The package's name: lower case, an identifier.
        kind: What it holds; one of `KINDS`.
        into: The folder that it is written into.

    Returns:
        The new folder.

    Raises:
        ValueError: If the name or the kind will not do.
        FileExistsError: If the folder exists.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise ValueError(f"{name!r} is no package name; use lower case, digits and underscores, as in acme_sr.")
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(KINDS)}."
        raise ValueError(f"there is no kind {kind!r}; {hint}")
    if importlib.util.find_spec(name) is not None:
        raise ValueError(f"a module {name!r} exists already; choose another name.")
    folder = into / name
    if folder.exists():
        raise FileExistsError(f"{folder} exists already; choose another name, or --into another folder.")
    words = {
        "package": name,
        "distribution": name.replace("_", "-"),
        "kind": kind.replace("_", " "),
        "module": kind,
        "cls": "".join(word.capitalize() for word in f"{name}_{kind}".split("_")),
        "check": f"check_{kind}",
    }
    files = {
        "pyproject.toml": PYPROJECT,
        f"{name}/__init__.py": INIT,
        f"{name}/{kind}.py": KINDS[kind],
        f"tests/test_{kind}.py": TEST,
    }
    for path, template in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(template.format(**words), encoding="utf-8")
    return folder


def main(argv: list[str] | None = None) -> int:
    """Write a plugin and say what to do with it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="the package, for one acme_sr")
    parser.add_argument("kind", help=f"what it holds: {', '.join(KINDS)}")
    parser.add_argument("--into", type=Path, default=Path(), metavar="FOLDER", help="where it is written")
    options = parser.parse_args(argv)
    try:
        folder = write(options.name, options.kind, options.into)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"new_plugin: error: {error}\n")
        return 2
    print(f"wrote {folder}")
    print(f"test it:     pytest {folder}")
    print(f"use it:      pip install -e {folder}    or    export ADC_PLUGIN_PATH={folder.resolve()}")
    print("then:        adc list")
    return 0


if __name__ == "__main__":
    sys.exit(main())
