"""Checks of the contracts in `adc.interfaces`, for the tests of plugins.

Each check verifies the text of one abstract class: shapes, ranges, finiteness, device and
gradients, for images (clips of one frame) and for longer clips; and what every component owes its
users: in evaluation mode the same input gives the same result, clips of a batch do not influence
each other, and inputs stay as they were. A check raises `AssertionError`, whose message names the
component and the clause that is broken, and leaves the component as it found it.
"""

from typing import TYPE_CHECKING, Any

from adc.testing.data import check_degradation, check_source
from adc.testing.diffusion import check_conditioner, check_denoiser
from adc.testing.discriminators import check_discriminator, check_score_discriminator
from adc.testing.latents import check_autoencoder, check_decoder, check_feature_space
from adc.testing.losses import check_loss, check_scorer
from adc.testing.metrics import check_metric
from adc.testing.restorers import check_restorer, check_student, check_teacher

if TYPE_CHECKING:
    from adc.testing.stage import check_stage

__all__ = [
    "check_autoencoder",
    "check_conditioner",
    "check_decoder",
    "check_degradation",
    "check_denoiser",
    "check_discriminator",
    "check_feature_space",
    "check_loss",
    "check_metric",
    "check_restorer",
    "check_score_discriminator",
    "check_scorer",
    "check_source",
    "check_stage",
    "check_student",
    "check_teacher",
]


def __getattr__(name: str) -> Any:
    """`check_stage`, which needs Lightning, once it is asked for."""
    if name == "check_stage":
        from adc.testing.stage import check_stage

        return check_stage
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
