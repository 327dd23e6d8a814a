"""Direct preference optimisation (DPO) of denoisers (Diffusion-DPO; Wallace et al., 2024), on velocities."""

# Parts of torch have no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def preference_margin(
    chosen: Tensor, rejected: Tensor, chosen_reference: Tensor, rejected_reference: Tensor, beta: float
) -> Tensor:
    """``-(beta / 2) [(e(w) - e_ref(w)) - (e(l) - e_ref(l))]``: what stands inside the log sigmoid; ``(B,)``.

    Args:
        chosen: Errors ``e(w)`` of the student for the chosen clip of each pair, ``(B,)``: means of squares over a
            clip, at one time and of one noise for both clips of a pair.
        rejected: Errors ``e(l)`` for the rejected clip.
        chosen_reference: The reference's errors for the chosen clip.
        rejected_reference: Those for the rejected clip.
        beta: How closely the student is held to the reference; larger is closer.
    """
    return -beta / 2 * ((chosen - chosen_reference) - (rejected - rejected_reference))


def dpo_loss(margin: Tensor) -> Tensor:
    """``-mean log sigmoid(margin)``, the mean taken last; log 2 where student and reference are one."""
    return -F.logsigmoid(margin.float()).mean()
