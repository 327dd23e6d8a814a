"""Contracts of `Autoencoder`, `Decoder` and `FeatureSpace`."""

from __future__ import annotations

from functools import partial

import torch

from adc.interfaces import Autoencoder, Decoder, FeatureSpace
from adc.testing import probe
from adc.testing.probe import require


def check_autoencoder(autoencoder: Autoencoder, size: int = 64) -> None:
    """Verify the text of `Autoencoder`.

    Args:
        autoencoder: What is checked.
        size: Side of the square example clips, a multiple of its spatial stride.

    Raises:
        AssertionError: Names the first clause that is broken.
    """
    name = probe.require_kind(autoencoder, Autoencoder)
    strides = getattr(autoencoder, "strides", None)
    fits = isinstance(strides, tuple) and len(strides) == 2 and all(isinstance(s, int) and s >= 1 for s in strides)
    require(fits, f"{name}.strides", f"must be (temporal, spatial), whole numbers of at least 1; got {strides!r}")
    step, side = autoencoder.strides
    with probe.evaluating(autoencoder):
        for clips, frames in ((2, 1), (1, 1 + 2 * step)):
            pixels = probe.example(clips, frames, 3, size, size, device=probe.device_of(autoencoder))
            found = autoencoder.latent_frames(frames)
            require(1 <= found <= frames, f"{name}.latent_frames", f"must be 1 to {frames} for {frames}; got {found}")
            with torch.no_grad():
                latent = autoencoder.encode(pixels)
                shape = (clips, found, None, size // side, size // side)
                probe.check_clip(f"{name}.encode", latent, shape, pixels)
                decoder_input = autoencoder.to_decoder_input(latent)
                probe.check_clip(f"{name}.to_decoder_input", decoder_input, shape, latent)
                decoded = autoencoder.decode(latent)
                probe.check_clip(f"{name}.decode", decoded, tuple(pixels.shape), latent)
                probe.check_pixels(f"{name}.decode", decoded)
            for method, source in (("encode", pixels), ("decode", latent)):
                function = getattr(autoencoder, method)
                probe.check_steady(f"{name}.{method}", function, source)
                probe.check_separate(f"{name}.{method}", function, source)
                probe.check_input_gradient(f"{name}.{method}", function, source, "the input")
        if step > 1:
            clip = probe.example(1, step, 3, size, size, device=pixels.device)
            probe.require_refused(f"{name}.latent_frames", lambda: autoencoder.latent_frames(step), f"{step} frames")
            probe.require_refused(f"{name}.encode", lambda: autoencoder.encode(clip), f"{step} frames")


def check_decoder(decoder: Decoder, autoencoder: Autoencoder, scale: int = 4, size: int = 64) -> None:
    """Verify the text of `Decoder`.

    Args:
        decoder: What is checked.
        autoencoder: The autoencoder whose latents it decodes.
        scale: How many times larger its pixels are than the LR clip.
        size: Side of the square clips, a multiple of the spatial stride and of the scale.

    Raises:
        AssertionError: Names the first clause that is broken.
    """
    name = probe.require_kind(decoder, Decoder)
    device, step, side = probe.device_of(decoder), autoencoder.strides[0], size // scale
    with probe.evaluating(decoder), probe.evaluating(autoencoder):
        for clips, frames in ((2, 1), (2, 1 + 2 * step)):
            pixels, lr = (probe.example(clips, frames, 3, one, one, device=device) for one in (size, side))
            with torch.no_grad():
                projected = autoencoder.to_decoder_input(autoencoder.encode(pixels))
            decode = partial(decoder, lr=lr) if decoder.sees_lr else decoder
            with torch.no_grad():
                probe.check_clip(name, decode(projected), tuple(pixels.shape), projected)
            probe.check_steady(name, decode, projected)
            probe.check_input_gradient(name, decode, projected, "the decoder inputs")
            if decoder.sees_lr:
                probe.check_input_gradient(name, partial(decoder, projected), lr, "the LR clip")
            rows = torch.arange(clips, device=device)
            probe.check_separate(name, lambda at, z=projected, x=lr: decoder(z[at], x[at]), rows)


def check_feature_space(space: FeatureSpace, autoencoder: Autoencoder | None = None, size: int = 64) -> None:
    """Verify the text of `FeatureSpace`.

    Args:
        space: What is checked.
        autoencoder: The autoencoder whose latents it projects; null leaves `FeatureSpace.project_latents` out.
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
