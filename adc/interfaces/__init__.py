"""The abstract classes that plugins implement. The docstrings are the contracts."""

from adc.interfaces.batch import Batch
from adc.interfaces.data import Degradation, Source
from adc.interfaces.denoiser import Conditioner, Denoiser, DiffusionRestorer
from adc.interfaces.discriminator import Discriminator, ScoreDiscriminator
from adc.interfaces.latent import Autoencoder, Decoder, FeatureSpace
from adc.interfaces.loss import Loss
from adc.interfaces.metric import FileMetric, Metric, SetMetric, WeightFile
from adc.interfaces.prompt import Prompt
from adc.interfaces.restorer import LatentStudent, Prunable, Restorer, Student, Teacher
from adc.interfaces.score import Scorer

__all__ = [
    "Autoencoder",
    "Batch",
    "Conditioner",
    "Decoder",
    "Degradation",
    "Denoiser",
    "DiffusionRestorer",
    "Discriminator",
    "FeatureSpace",
    "FileMetric",
    "LatentStudent",
    "Loss",
    "Metric",
    "Prompt",
    "Prunable",
    "Restorer",
    "ScoreDiscriminator",
    "Scorer",
    "SetMetric",
    "Source",
    "Student",
    "Teacher",
    "WeightFile",
]
