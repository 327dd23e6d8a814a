"""Wan 2.1 (Wan team, 2025), and one-step restorers of videos made of it (DUO-VSR)."""

from adc_wan.autoencoder import WanAutoencoder
from adc_wan.student import OneStepVideo

__all__ = ["OneStepVideo", "WanAutoencoder"]
