"""AdcVSR: a video teacher, and the student made of AdcSR's backbone and temporal convolutions (Chen et al.).

Beside it, open video transformers as bases of DUO-VSR.
"""

from adc_video.autoencoder import VideoAutoencoder
from adc_video.backbone import AutoencoderBackbone, FrozenBackbone, PlainBackbone, StudentUNetBackbone
from adc_video.convnext import ConvNeXtBackbone
from adc_video.denoiser import VideoDenoiser
from adc_video.discriminator import ClipDiscriminator
from adc_video.dove import DOVE
from adc_video.student import AdcVSRStudent

__all__ = [
    "DOVE",
    "AdcVSRStudent",
    "AutoencoderBackbone",
    "ClipDiscriminator",
    "ConvNeXtBackbone",
    "FrozenBackbone",
    "PlainBackbone",
    "StudentUNetBackbone",
    "VideoAutoencoder",
    "VideoDenoiser",
]
