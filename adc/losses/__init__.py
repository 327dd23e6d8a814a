"""Losses."""

from adc.losses.matching import FeatureMatching
from adc.losses.perceptual import DISTS, LPIPS, VGGFeatures
from adc.losses.pixel import L1, MSE, Charbonnier

__all__ = ["DISTS", "L1", "LPIPS", "MSE", "Charbonnier", "FeatureMatching", "VGGFeatures"]
