"""How sharp a image is."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def laplacian_variance(luma: Tensor) -> Tensor:
    """The variance of the Laplacian (Pech-Pacheco et al., 2000); blur lowers it, noise raises it.

    Args:
        luma: ``(N, 1, H, W)``, sides of at least 3.

    Returns:
        ``(N,)``, in squared units of the luminance.

    Raises:
        ValueError: If a side is shorter.
    """
    if min(luma.shape[-2:]) < 3:
        raise ValueError(f"sharpness needs sides of at least 3 pixels; got {tuple(luma.shape[-2:])}.")
    kernel = luma.new_tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
    return F.conv2d(luma, kernel[None, None]).var(dim=(1, 2, 3), unbiased=False)
