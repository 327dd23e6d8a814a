"""Diffusion students from their folders, for stages that go on with them."""

from __future__ import annotations

from adc.interfaces import Denoiser, DiffusionRestorer
from adc.pruning.artifact import load_student


def load_diffusion_student(folder: str) -> DiffusionRestorer:
    """The student of a folder, which samples latents.

    Args:
        folder: A student folder.

    Raises:
        FileNotFoundError: If there is no such folder, or it is not complete.
        ValueError: If a file is damaged, or the student samples no latents.
    """
    student = load_student(folder)
    if not isinstance(student, DiffusionRestorer):
        raise ValueError(f"folder: {folder} holds a {type(student).__name__}, which samples no latents.")
    return student


def load_denoiser(folder: str) -> Denoiser:
    """The denoiser of a diffusion student's folder, pruned or not; as `load_diffusion_student`."""
    return load_diffusion_student(folder).denoiser
