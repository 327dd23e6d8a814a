"""Contracts of `Autoencoder` and `FeatureSpace`."""

from __future__ import annotations

import torch

from adc.interfaces import Autoencoder, FeatureSpace
from adc.testing import probe
from adc.testing.probe import require


def check_autoencoder(autoencoder: Autoencoder, size: int = 64) -> None:
    """Verify the text of `Autoencoder`.

    Args:
        autoencoder: What is checked.
        size: Side of the square example clips, a multiple of the codec's strides.

    Raises:
        AssertionError: Names the first clause that is broken.
    """
    name = probe.require_kind(autoencoder, Autoencoder)
    with probe.evaluating(autoencoder):
        for clips, frames in probe.SIZES:
            pixels = probe.example(clips, frames, 3, size, size, device=probe.device_of(autoencoder))
            with torch.no_grad():
                latent = autoencoder.encode(pixels)
                decoder_input = autoencoder.to_decoder_input(latent)
                probe.check_clip(f"{name}.encode", latent, (clips, frames, None, None, None), pixels)
                probe.check_clip(f"{name}.to_decoder_input", decoder_input, (clips, frames, None, None, None), latent)
                decoded = autoencoder.decode(latent)
                probe.check_clip(f"{name}.decode", decoded, tuple(pixels.shape), latent)
                probe.check_pixels(f"{name}.decode", decoded)
            if frames == 1:
                functions = {"encode": (autoencoder.encode, pixels), "decode": (autoencoder.decode, latent)}
                for method, (function, source) in functions.items():
                    probe.check_steady(f"{name}.{method}", function, source)
                    probe.check_separate(f"{name}.{method}", function, source)
                    probe.check_input_gradient(f"{name}.{method}", function, source, "the input")


def check_feature_space(space: FeatureSpace, autoencoder: Autoencoder | None = None, size: int = 64) -> None:
    """Verify the text of `FeatureSpace`.

    Args:
        space: What is checked.
        autoencoder: The codec whose latents it lifts; null leaves `FeatureSpace.project_latents` out.
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
            if autoencoder is not None:
                with torch.no_grad(), probe.evaluating(autoencoder):
                    projected = autoencoder.to_decoder_input(autoencoder.encode(pixels))
                    lifted = space.project_latents(projected)
                require(
                    tuple(lifted.shape) == tuple(feature.shape),
                    f"{name}.project_latents",
                    f"must make features shaped like embed's, {tuple(feature.shape)}; got {tuple(lifted.shape)}",
                )
                probe.check_input_gradient(f"{name}.project_latents", space.project_latents, projected, "the latents")
            if frames == 1:
                probe.check_steady(f"{name}.embed", space.embed, pixels)
                probe.check_separate(f"{name}.embed", space.embed, pixels)
                probe.check_input_gradient(f"{name}.embed", space.embed, pixels, "the pixels")
