"""Memory of training."""

from __future__ import annotations

import ctypes
import sys

from torch import nn

MMAP_MAX, TRIM_THRESHOLD, TOP_PAD = -4, -1, -2


def keep_freed_memory() -> None:
    """Let glibc keep what is freed for the next step instead of giving it back to the system.

    A step allocates and frees the same large blocks again and again; without this, each is mapped
    and cleared by the kernel every time, a fifth of the step. Does nothing where glibc is absent.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(MMAP_MAX, 0)
        libc.mallopt(TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(TOP_PAD, 2**28)


def enable_gradient_checkpointing(*networks: nn.Module) -> None:
    """Switch on gradient checkpointing (Chen et al., 2016): activations are recomputed in the backward pass.

    A network supports it by an attribute ``checkpoint_activations``, its own or of modules in it.

    Raises:
        ValueError: If none of the networks does.
    """
    parts = [
        module for network in networks for module in network.modules() if hasattr(module, "checkpoint_activations")
    ]
    if not parts:
        names = ", ".join(type(network).__name__ for network in networks)
        raise ValueError(
            f"gradient_checkpointing: nothing in {names} can recompute its activations; leave the key out."
        )
    for part in parts:
        part.checkpoint_activations = True  # type: ignore[assignment]
