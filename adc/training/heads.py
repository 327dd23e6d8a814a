"""How far the heads of discriminators separate real from fake, in the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from adc.ops.gan import separation


def log_heads(stage: Any, heads: Mapping[str, Sequence[tuple[Tensor, int]]]) -> None:
    """Log margin and accuracy of each head as ``gan/<head>_margin`` and ``gan/<head>_accuracy``.

    Args:
        stage: The stage, which keeps both for callbacks in ``separation``.
        heads: For each head its logits in the discriminators' phase, each with its label, 1 or -1.
    """
    for name, logits in heads.items():
        margin, accuracy = separation(logits)
        stage.log(f"gan/{name}_margin", margin)
        stage.log(f"gan/{name}_accuracy", accuracy)
        stage.separation[name] = torch.stack([margin, accuracy])
