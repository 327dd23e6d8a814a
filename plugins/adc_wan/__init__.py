"""Wan 2.1 (Wan team, 2025) as a base of DUO-VSR, and one-step restorers of videos made of it."""

from adc_wan.autoencoder import WanAutoencoder
from adc_wan.conditional_decoder import ConditionalDecoder
from adc_wan.conditioner import WanConditioner
from adc_wan.decoder import WanDecoder
from adc_wan.denoiser import WanDenoiser
from adc_wan.fold import fold, folded_student, student_with_decoder
from adc_wan.folded import FoldedWan
from adc_wan.score_head import ScoreHead
from adc_wan.student import OneStepVideo

__all__ = ["ConditionalDecoder", "FoldedWan", "OneStepVideo", "ScoreHead", "WanAutoencoder", "WanConditioner"]
__all__ += ["WanDecoder", "WanDenoiser", "fold", "folded_student", "student_with_decoder"]
