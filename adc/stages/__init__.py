"""One file per training stage; each reads like its paper."""

from adc.stages.adversarial import AdversarialDistillation, Example
from adc.stages.decoder import DecoderPretraining
from adc.stages.dual_stream import DualStreamDistillation, StreamWeights
from adc.stages.flow_matching import FlowMatching
from adc.stages.guidance import GuidanceDistillation
from adc.stages.preference import PreferenceOptimization
from adc.stages.progressive import ProgressiveDistillation
from adc.stages.regression import Regression

__all__ = [
    "AdversarialDistillation",
    "DecoderPretraining",
    "DualStreamDistillation",
    "Example",
    "FlowMatching",
    "GuidanceDistillation",
    "PreferenceOptimization",
    "ProgressiveDistillation",
    "Regression",
    "StreamWeights",
]
