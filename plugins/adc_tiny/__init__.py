"""The smallest component of each interface: for tests, for recipes that run in seconds, and to start from."""

from adc_tiny.diffusion import TinyConditioner, TinyDenoiser
from adc_tiny.discriminator import TinyDiscriminator, TinyScoreDiscriminator
from adc_tiny.latent import TinyAutoencoder, TinyCausalAutoencoder, TinySpace
from adc_tiny.scorer import TinyScorer
from adc_tiny.student import TinyStudent
from adc_tiny.teacher import Bicubic, TinyCandidates, TinyTeacher

__all__ = [
    "Bicubic",
    "TinyAutoencoder",
    "TinyCandidates",
    "TinyCausalAutoencoder",
    "TinyConditioner",
    "TinyDenoiser",
    "TinyDiscriminator",
    "TinyScoreDiscriminator",
    "TinyScorer",
    "TinySpace",
    "TinyStudent",
    "TinyTeacher",
]
