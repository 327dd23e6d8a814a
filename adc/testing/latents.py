"""Contracts of `Codec` and `FeatureSpace`."""

from __future__ import annotations

import torch

from adc.interfaces import Codec, FeatureSpace
from adc.testing import probe
from adc.testing.probe import require


def check_codec(codec: Codec, size: int = 64) -> None:
    """Verify the text of `Codec`.

    Args:
        codec: What is checked.
        size: Side of the square example clips, a multiple of the codec's strides.

    Raises:
        AssertionError: Names the first clause that is broken.
    """
    name = probe.require_kind(codec, Codec)
    with probe.evaluating(codec):
        for clips, frames in probe.SIZES:
            pixels = probe.example(clips, frames, 3, size, size, device=probe.device_of(codec))
            with torch.no_grad():
                latent = codec.encode(pixels)
                probe.check_clip(f"{name}.encode", latent, (clips, frames, None, None, None), pixels)
                probe.check_clip(f"{name}.project", codec.project(latent), (clips, frames, None, None, None), latent)
                decoded = codec.decode(latent)
                probe.check_clip(f"{name}.decode", decoded, tuple(pixels.shape), latent)
                probe.check_pixels(f"{name}.decode", decoded)
            if frames == 1:
                functions = {"encode": (codec.encode, pixels), "decode": (codec.decode, latent)}
                for method, (function, source) in functions.items():
                    probe.check_steady(f"{name}.{method}", function, source)
                    probe.check_separate(f"{name}.{method}", function, source)
                    probe.check_input_gradient(f"{name}.{method}", function, source, "the input")


def check_feature_space(space: FeatureSpace, codec: Codec | None = None, size: int = 64) -> None:
    """Verify the text of `FeatureSpace`.

    Args:
        space: What is checked.
        codec: The codec whose latents it lifts; null leaves `FeatureSpace.lift` out.
        size: Side of the square example clips, a multiple of the space's strides.

    Raises:
        AssertionError: Names the first clause that is broken.
    """
    name = probe.require_kind(space, FeatureSpace)
    with probe.evaluating(space):
        for clips, frames in probe.SIZES:
            pixels = probe.example(clips, frames, 3, size, size, device=probe.device_of(space))
            with torch.no_grad():
                feature = space.embed(pixels)
            probe.check_clip(f"{name}.embed", feature, (clips, frames, None, None, None), pixels)
            if codec is not None:
                with torch.no_grad(), probe.evaluating(codec):
                    projected = codec.project(codec.encode(pixels))
                    lifted = space.lift(projected)
                require(
                    tuple(lifted.shape) == tuple(feature.shape),
                    f"{name}.lift",
                    f"must make features shaped like embed's, {tuple(feature.shape)}; got {tuple(lifted.shape)}",
                )
                probe.check_input_gradient(f"{name}.lift", space.lift, projected, "the latents")
            if frames == 1:
                probe.check_steady(f"{name}.embed", space.embed, pixels)
                probe.check_separate(f"{name}.embed", space.embed, pixels)
                probe.check_input_gradient(f"{name}.embed", space.embed, pixels, "the pixels")
