"""A student as a folder of diffusers: ``config.json`` and ``diffusion_pytorch_model.safetensors``."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml

from adc.interfaces import Student
from adc.interfaces.restorer import color_matching as read_color_matching
from adc.ops.color import match_colors
from adc.pruning import load_student


def __getattr__(name: str) -> Any:
    """``StudentModel`` is made when it is asked for: its base classes are diffusers', which are slow to import."""
    if name == "StudentModel":
        return student_model()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def student_model() -> Any:
    """The class ``StudentModel``: a student with diffusers' ``from_pretrained`` and ``save_pretrained``."""
    from diffusers import ConfigMixin, ModelMixin
    from diffusers.configuration_utils import register_to_config

    from adc.pruning import artifact
    from adc.pruning.structure import replay

    class StudentModel(ModelMixin, ConfigMixin):
        """A student; images ``(N, 3, h, w)`` or clips ``(N, T, 3, h, w)`` in ``[-1, 1]`` to the same, enlarged."""

        @register_to_config
        def __init__(
            self, class_path: str, init_args: dict, structure: dict, scale: int = 4, color_matching: str = "none"
        ) -> None:
            super().__init__()
            description = {"class_path": class_path, "init_args": init_args}
            self.student: Any = artifact.component(description, "config.json", Student)
            replay(self.student, structure)
            self.student.color_matching = read_color_matching(color_matching, "config.json")

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            """Upscale whole images or clips of any size, with the student's usual colour matching.

            Computed in the weights' type; the result has the images'.
            """
            clip = (image if image.dim() == 5 else image[:, None]).to(self.dtype)
            large = match_colors(self.student.restore(clip), clip, self.student.color_matching).to(image.dtype)
            return large if image.dim() == 5 else large[:, 0]

    StudentModel.__module__, StudentModel.__qualname__ = __name__, "StudentModel"
    return StudentModel


def save_pretrained(source: str | Path, folder: str | Path) -> None:
    """Write a student folder as ``config.json`` and ``diffusion_pytorch_model.safetensors``.

    ``StudentModel.from_pretrained(folder)`` reads it, and so does `from_pretrained`.
    """
    source, folder = Path(source), Path(folder)
    student = load_student(str(source))
    description = yaml.safe_load((source / "student.yaml").read_text())
    structure = json.loads((source / "structure.json").read_text())
    facts = student.scale, student.color_matching
    model = student_model()(description["class_path"], description["init_args"], structure, *facts)
    model.student.load_state_dict(student.state_dict())
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".pretrained-") as scratch:
        model.eval().save_pretrained(scratch, max_shard_size="100GB")
        for written in sorted(Path(scratch).iterdir(), key=lambda path: path.suffix == ".json"):
            written.replace(folder / written.name)


def from_pretrained(folder: str | Path, **options: Any) -> Any:
    """A ``StudentModel`` of a folder of `save_pretrained`, in evaluation mode; options are diffusers'."""
    return student_model().from_pretrained(str(folder), **options)
