"""Wan 2.1 (Team Wan, 2025) as a base of DUO-VSR: its transformer, its autoencoder and its text rows."""

from adc_wan.score_head import ScoreHead

__all__ = ["ScoreHead"]
