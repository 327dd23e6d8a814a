"""Wan 2.1 (Wan team, 2025) as a base of DUO-VSR, and one-step restorers of videos made of it."""

from adc_wan.autoencoder import WanAutoencoder
from adc_wan.conditioner import WanConditioner
from adc_wan.decoder import WanDecoder
from adc_wan.denoiser import WanDenoiser
from adc_wan.fold import FoldedWan, fold, folded_student
from adc_wan.score_head import ScoreHead
from adc_wan.student import OneStepVideo

__all__ = ["FoldedWan", "OneStepVideo", "ScoreHead", "WanAutoencoder", "WanConditioner", "WanDecoder", "WanDenoiser"]
__all__ += ["fold", "folded_student"]
