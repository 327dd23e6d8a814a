"""A one-step student without what one time and one text make constant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from adc.interfaces import Decoder, Denoiser
from adc.pruning import load_diffusion_student
from adc_wan.autoencoder import WanAutoencoder
from adc_wan.conditioner import WanConditioner
from adc_wan.decoder import WanDecoder
from adc_wan.denoiser import STEPS, WanDenoiser, complete, new_network, unpatchify
from adc_wan.student import OneStepVideo


class FoldedWan(Denoiser):
    """`WanDenoiser` at ``t = 1`` with one text, exactly: modulation and the text's keys and values are numbers.

    Each distinct row of the text keeps one key, to whose score the logarithm of the row's number is added: 512 rows,
    most of them zeros, become those of the words and one. Gone are time and text embedding and the projections of the
    cross-attention's keys and values: 167,270,400 of 1,419,095,104 parameters of Wan 2.1 1.3B, and the text encoder.
    The constants are parameters: the student can be trained further.

    Attributes:
        checkpoint_activations: Whether blocks are computed again in the backward pass.
    """

    def __init__(self, config: dict[str, Any], rows: int, lr_channels: bool = True) -> None:
        """
        Args:
            config: That of the `WanDenoiser`.
            rows: Distinct rows of the text.
            lr_channels: Whether the network takes LR's latents behind the noisy ones.
        """
        super().__init__()
        whole = complete(config, "config", lr_channels)
        network = new_network(whole)
        self.lr_channels, self.checkpoint_activations = lr_channels, False
        self.config, self.depth, self.multiple = whole, whole["num_layers"], max(whole["patch_size"][1:])
        self.patch_embedding, self.rope = network.patch_embedding, network.rope
        self.blocks = nn.ModuleList(FoldedBlock(block, rows) for block in network.blocks)
        self.norm_out, self.proj_out = network.norm_out, network.proj_out
        self.scale_shift_table = network.scale_shift_table
        self.register_buffer("log_counts", torch.zeros(rows))
        given = {key: value for key, value in whole.items() if key != "in_channels"}
        self.init_args = {"config": given, "rows": rows, "lr_channels": lr_channels}

    def forward(
        self,
        z_t: Tensor,
        t: Tensor,
        condition: dict[str, Tensor],
        taps: Sequence[int] = (),
        stop_early: bool = False,
    ) -> tuple[Tensor | None, list[Tensor]]:
        """As `WanDenoiser`; ``t`` is 1 and the text is what was folded, whatever is given."""
        channels = torch.cat([z_t, condition["lr"].to(z_t)], dim=2) if self.lr_channels else z_t
        latents = channels.transpose(1, 2)
        patches = self.patch_embedding(latents)
        grid, places = patches.shape[2:], self.rope(latents)
        tokens = patches.flatten(2).transpose(1, 2).contiguous()
        features: dict[int, Tensor] = {}
        blocks = list(self.blocks)[: max(taps, default=-1) + 1] if stop_early else self.blocks
        for number, block in enumerate(blocks):
            if self.checkpoint_activations and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, places, self.log_counts, use_reentrant=False)
            else:
                tokens = block(tokens, places, self.log_counts)
            if number in taps:
                features[number] = tokens.transpose(1, 2).unflatten(2, grid).transpose(1, 2)
        found = [features[tap] for tap in taps]
        if stop_early:
            return None, found
        shift, scale = self.scale_shift_table.chunk(2, dim=1)
        normed = (self.norm_out(tokens.float()) * (1 + scale) + shift).type_as(tokens)
        return unpatchify(self.proj_out(normed), grid, self.config["patch_size"]), found


class FoldedBlock(nn.Module):
    """A transformer block whose modulation, keys and values of the text are parameters."""

    def __init__(self, block: Any, rows: int) -> None:
        """
        Args:
            block: Diffusers' block, whose layers are taken over.
            rows: Distinct rows of the text.
        """
        super().__init__()
        self.norm1, self.attn1 = block.norm1, block.attn1
        self.norm2, self.norm3, self.ffn = block.norm2, block.norm3, block.ffn
        self.scale_shift_table = block.scale_shift_table
        attention = block.attn2
        self.heads = attention.heads
        self.to_q, self.norm_q, self.to_out = attention.to_q, attention.norm_q, attention.to_out
        width = attention.to_q.out_features
        self.keys, self.values = (nn.Parameter(torch.zeros(rows, width)) for _ in range(2))

    def forward(self, tokens: Tensor, places: Any, log_counts: Tensor) -> Tensor:
        """Tokens ``(B, N, C)`` to tokens."""
        shift, scale, gate, shift_ffn, scale_ffn, gate_ffn = self.scale_shift_table.chunk(6, dim=1)
        normed = (self.norm1(tokens.float()) * (1 + scale) + shift).type_as(tokens)
        tokens = (tokens.float() + self.attn1(normed, None, None, places) * gate).type_as(tokens)
        tokens = tokens + self._attend(self.norm2(tokens.float()).type_as(tokens), log_counts)
        normed = (self.norm3(tokens.float()) * (1 + scale_ffn) + shift_ffn).type_as(tokens)
        return (tokens.float() + self.ffn(normed).float() * gate_ffn).type_as(tokens)

    def _attend(self, tokens: Tensor, log_counts: Tensor) -> Tensor:
        query = self.norm_q(self.to_q(tokens)).unflatten(2, (self.heads, -1)).transpose(1, 2)
        size = len(tokens), -1, -1, -1
        key, value = (
            held.to(query).unflatten(1, (self.heads, -1)).transpose(0, 1)[None].expand(size)
            for held in (self.keys, self.values)
        )
        attended = F.scaled_dot_product_attention(query, key, value, log_counts.to(query).expand(len(tokens), 1, 1, -1))
        return self.to_out[0](attended.transpose(1, 2).flatten(2))


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
        kept[f"blocks.{number}.keys"] = attention.norm_k(attention.to_k(text))[0]
        kept[f"blocks.{number}.values"] = attention.to_v(text)[0]
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
