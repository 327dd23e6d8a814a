"""Wan's transformer without what one time and one text make constant."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from adc.interfaces import Denoiser
from adc_wan.denoiser import complete, new_network
from adc_wan.patches import unpatchify


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

    @contextmanager
    def connected(self) -> Generator[None, None, None]:
        """Attentions as their graph of channels: query, key and value are added where a head makes one of them."""
        blocks: list[Any] = list(self.blocks)
        try:
            for block in blocks:
                block.attn1.forward = partial(_added, block.attn1)
                block._attend = partial(_added_to_rows, block)
            yield
        finally:
            for block in blocks:
                del block.attn1.forward, block._attend

    def heads(self) -> tuple[dict[nn.Module, int], Callable[[], None]]:
        """What ``adc prune`` cuts heads by.

        Returns:
            Layers whose channels go in whole heads, with the width of a head; and what is called after the cut. It
            counts heads, and since norms are root mean squares over all heads, it scales their weights by the expected
            ratio of the root that is left to the whole one, for white inputs of the projections.
        """
        blocks: list[Any] = list(self.blocks)
        attentions = [one for block in blocks for one in (block, block.attn1)]
        normed: list[tuple[Any, Any]] = [(one.to_q, one.norm_q) for one in attentions]
        normed += [(block.attn1.to_k, block.attn1.norm_k) for block in blocks]
        before = [(_power(projection), projection.out_features) for projection, _ in normed]
        width = self.config["attention_head_dim"]

        @torch.no_grad()
        def after() -> None:
            for (projection, norm), (power, outputs) in zip(normed, before, strict=True):
                if projection.out_features != outputs:
                    norm.weight *= (_power(projection) / power) ** 0.5
            for one in attentions:
                one.heads = one.to_q.out_features // width

        return {projection: width for projection, _ in normed}, after


class FoldedBlock(nn.Module):
    """A transformer block whose modulation is a parameter, and whose keys and values of the text are.

    These are linear layers of the rows' unit vectors, so that they are cut like others.
    """

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
        self.keys, self.values = (nn.Linear(rows, width, bias=False) for _ in range(2))

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
            held.weight.T.to(query).unflatten(1, (self.heads, -1)).transpose(0, 1)[None].expand(size)
            for held in (self.keys, self.values)
        )
        attended = F.scaled_dot_product_attention(query, key, value, log_counts.to(query).expand(len(tokens), 1, 1, -1))
        return self.to_out[0](attended.transpose(1, 2).flatten(2))


def _added(attention: Any, tokens: Tensor, *_: Any) -> Tensor:
    query, key = attention.norm_q(attention.to_q(tokens)), attention.norm_k(attention.to_k(tokens))
    return attention.to_out[0](query + key + attention.to_v(tokens))


def _added_to_rows(block: Any, tokens: Tensor, log_counts: Tensor) -> Tensor:
    rows = torch.eye(len(log_counts)).to(tokens)
    held = block.keys(rows).sum(dim=0) + block.values(rows).sum(dim=0)
    return block.to_out[0](block.norm_q(block.to_q(tokens)) + held)


def _power(projection: Any) -> Tensor:
    """The mean square of what a projection makes of white inputs."""
    return projection.weight.detach().float().square().sum(dim=1).add(projection.bias.detach().square()).mean()
