"""A one-step student without what one time and one text make constant, and students with other decoders."""

from __future__ import annotations

import torch

from adc.interfaces import Decoder
from adc.pruning import load_diffusion_student
from adc_wan.autoencoder import WanAutoencoder
from adc_wan.conditioner import WanConditioner
from adc_wan.decoder import WanDecoder
from adc_wan.denoiser import STEPS, WanDenoiser
from adc_wan.folded import FoldedWan
from adc_wan.student import OneStepVideo


@torch.no_grad()
def fold(student: OneStepVideo) -> OneStepVideo:
    """The same student without time and text, to rounding.

    Raises:
        ValueError: If its denoiser is no `WanDenoiser`, or its conditioner no `WanConditioner`.
    """
    denoiser, conditioner = student.denoiser, student.conditioner
    if not isinstance(denoiser, WanDenoiser) or not isinstance(conditioner, WanConditioner):
        names = f"{type(denoiser).__name__} with a {type(conditioner).__name__}"
        raise ValueError(f"student: {names}; only a WanDenoiser with a WanConditioner can be folded.")
    network = denoiser.network
    rows, counts = torch.unique(conditioner.rows_of(conditioner.text), dim=0, return_counts=True)
    one = torch.full((1,), STEPS, device=rows.device)
    time, modulation, text, _ = network.condition_embedder(one, rows[None], None)
    modulation = modulation.unflatten(1, (6, -1))
    folded = FoldedWan(denoiser.init_args["config"], len(rows), denoiser.lr_channels).to(rows.device)
    own = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith("condition_embedder.")}
    kept = {name.replace(".attn2.", "."): tensor for name, tensor in own.items() if ".attn2." in name}
    kept = {name: tensor for name, tensor in kept.items() if ".to_k." not in name and ".to_v." not in name}
    kept = {name: tensor for name, tensor in kept.items() if ".norm_k." not in name}
    kept |= {name: tensor for name, tensor in own.items() if ".attn2." not in name}
    kept["scale_shift_table"] = network.scale_shift_table + time[:, None]
    kept["log_counts"] = counts.float().log()
    for number, block in enumerate(network.blocks):
        attention = block.attn2
        kept[f"blocks.{number}.scale_shift_table"] = block.scale_shift_table + modulation
        kept[f"blocks.{number}.keys.weight"] = attention.norm_k(attention.to_k(text))[0].T
        kept[f"blocks.{number}.values.weight"] = attention.to_v(text)[0].T
    folded.load_state_dict(kept)
    return OneStepVideo(folded, conditioner).train(student.training)


def folded_student(folder: str, own_decoder: bool = False) -> OneStepVideo:
    """The student of a folder, folded: for recipes that prune it.

    Args:
        folder: A student folder of a `OneStepVideo` of Wan.
        own_decoder: Whether the autoencoder's decoder becomes the student's own, which can be cut; the autoencoder
            then only encodes.

    Raises:
        ValueError: If the folder holds another student.
    """
    student = fold(_one_step(folder))
    return with_decoder(student, WanDecoder.of(_autoencoder(student))) if own_decoder else student


def student_with_decoder(folder: str, decoder: Decoder) -> OneStepVideo:
    """The student of a folder with another decoder: for recipes that pretrain it.

    Args:
        folder: A student folder of a `OneStepVideo`.
        decoder: It takes the place of the student's own, or of the autoencoder's.

    Raises:
        ValueError: If the folder holds another student.
    """
    return with_decoder(_one_step(folder), decoder)


def with_decoder(student: OneStepVideo, decoder: Decoder) -> OneStepVideo:
    """A student of the same networks with a decoder; an autoencoder of Wan only encodes afterwards."""
    autoencoder = student.conditioner.autoencoder
    if isinstance(autoencoder, WanAutoencoder) and autoencoder.decodes:
        autoencoder.take_decoder()
    return OneStepVideo(student.denoiser, student.conditioner, decoder).train(student.training)


def _one_step(folder: str) -> OneStepVideo:
    student = load_diffusion_student(folder)
    if not isinstance(student, OneStepVideo):
        raise ValueError(f"folder: {folder} holds a {type(student).__name__}; expected a OneStepVideo.")
    return student


def _autoencoder(student: OneStepVideo) -> WanAutoencoder:
    autoencoder = student.conditioner.autoencoder
    if not isinstance(autoencoder, WanAutoencoder):
        raise ValueError(f"own_decoder: {type(autoencoder).__name__} is no WanAutoencoder, whose decoder can be taken.")
    return autoencoder
