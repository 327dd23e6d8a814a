"""Restorers built like Stable Diffusion 2.1: its autoencoder, one-step teachers on its UNet, and the AdcSR student.

Every network is made from a configuration, so the same classes are the full-size systems and the
small ones of the demo.
"""

from adc.interfaces.blocks import register_blocks
from adc_sd21.autoencoder import SDAutoencoder
from adc_sd21.autoencoder_restorer import AutoencoderRestorer
from adc_sd21.blocks import describe
from adc_sd21.discriminator import PatchDiscriminator, UNetDiscriminator
from adc_sd21.osediff import OSEDiff
from adc_sd21.pisasr import PiSASR
from adc_sd21.space import DecoderStem, LatentSpace
from adc_sd21.student import AdcSRStudent
from adc_sd21.text import TextPrompt

__all__ = [
    "AdcSRStudent",
    "AutoencoderRestorer",
    "DecoderStem",
    "LatentSpace",
    "OSEDiff",
    "PatchDiscriminator",
    "PiSASR",
    "SDAutoencoder",
    "TextPrompt",
    "UNetDiscriminator",
]

register_blocks(describe)
