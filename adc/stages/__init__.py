"""One file per training stage; each reads like its paper."""

from adc.stages.adversarial import AdversarialDistillation, Example
from adc.stages.decoder import DecoderPretraining
from adc.stages.regression import Regression

__all__ = ["AdversarialDistillation", "DecoderPretraining", "Example", "Regression"]
