"""Makes students small, and keeps them as folders of data."""

from adc.pruning.artifact import load_student, save_student
from adc.pruning.diffusion import load_denoiser, load_diffusion_student
from adc.pruning.importance import Importance, Magnitude, Prefix, Taylor
from adc.pruning.prune import Cut, prune, pruned

__all__ = ["Cut", "Importance", "Magnitude", "Prefix", "Taylor", "load_denoiser", "load_diffusion_student"]
__all__ += ["load_student", "prune", "pruned", "save_student"]
