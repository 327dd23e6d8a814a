"""Cost of a network: parameters, multiply-accumulates, memory."""

from __future__ import annotations

import copy
import ctypes
import logging
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from adc.ops.modes import evaluating

log = logging.getLogger(__name__)

ATTENTION = (
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_fused_attention_overrideable",
    "_scaled_dot_product_attention_math_for_mps",
)
"""Operators of attention that not every supported torch counts by itself."""

PRODUCTS = {"addbmm", "addmv", "addr", "cdist", "dot", "lstm", "gru", "rnn", "trilinear", "vdot"}
PRODUCTS |= {"attention", "conv", "conv1d", "conv2d", "conv3d", "convolution", "linear", "mm", "mv", "transformer"}
"""Words in names of torch's operators with multiply-accumulates; those that torch cannot count are reported."""


@dataclass(frozen=True)
class Cost:
    """Cost of a part of a network in one forward pass: parameters that it reads, and multiply-accumulates."""

    parameters: int = 0
    macs: int = 0


@dataclass(frozen=True)
class Efficiency(Cost):
    """Cost of a network in one forward pass.

    Attributes:
        parts: The cost of each part, by name.
        attention_macs: MACs of activations by activations; counters that look at layers alone leave them out.
        uncounted: Operators of the pass whose multiply-accumulates cannot be counted: they come on top.
    """

    parts: dict[str, Cost] = field(default_factory=dict)
    attention_macs: int = 0
    uncounted: tuple[str, ...] = ()


def count(network: nn.Module, *example: Any, parts: Mapping[str, nn.Module] | None = None) -> Efficiency:
    """Count parameters and MACs of one forward pass.

    A parameter that no operation of the pass reads is not counted: a decoder's first convolution
    that a student never runs costs nothing. Works on any device; on ``meta`` (see `meta_copy`)
    nothing is computed.

    Args:
        network: Left as it was: mode, gradients and hooks included.
        example: The arguments of the pass.
        parts: Submodules, or lists of them, to be counted apart; the children if None. They need
            not be called themselves.
    """
    parts = dict(network.named_children()) if parts is None else parts
    attention = [getattr(torch.ops.aten, name) for name in ATTENTION if hasattr(torch.ops.aten, name)]
    known = dict.fromkeys(attention, lambda query, key, value, *_, **__: sdpa_flop_count(query, key, value))
    counter = FlopCounterMode(display=False, custom_mapping=known)
    reader = _Reader(counter.flop_registry)
    spent: Counter[nn.Module] = Counter()
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with evaluating(network), torch.no_grad(), reader, counter, _credited(network, counter, spent):
            network(*example)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    uncounted = tuple(sorted(reader.uncounted))
    if uncounted:
        log.warning("multiply-accumulates of %s are not counted: they come on top", ", ".join(uncounted))
    by_operation = counter.get_flop_counts().get("Global", {})
    products = sum(flops for name, flops in by_operation.items() if "bmm" in str(name) or "attention" in str(name))
    shares = {
        name: Cost(_elements(part, reader.read), sum(spent[module] for module in part.modules()) // 2)
        for name, part in parts.items()
    }
    macs = counter.get_total_flops() // 2
    return Efficiency(_elements(network, reader.read), macs, shares, products // 2, uncounted)


def meta_copy(*modules: nn.Module) -> tuple[nn.Module, ...]:
    """Copies on the ``meta`` device, for which `count` is quick and needs no memory; what they share stays shared."""
    memory: dict[int, Any] = {}
    for module in modules:
        for parameter in module.parameters():
            memory[id(parameter)] = nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=False)
        for buffer in module.buffers():
            memory[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(modules, memory)


def peak_memory(function: Callable[[], Any], device: str | torch.device = "cpu") -> int:
    """Peak of the bytes that a call holds beyond those held before.

    On CUDA the allocator counts them; elsewhere the process's resident memory is
    watched every few milliseconds, after freed memory is returned to the system.
    """
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        function()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    if sys.platform.startswith("linux") and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)  # returns freed memory to the system, whose reuse would not be measured
    before = _resident()
    with _watched(before) as peak:
        function()
    return max(0, peak[0] - before)


class _Reader(TorchDispatchMode):
    """Parameters that operations read, and operations that may multiply but are not counted."""

    def __init__(self, counted: Mapping[Any, Any]) -> None:
        super().__init__()
        self.read: set[int] = set()
        self.uncounted: set[str] = set()
        self._counted = counted

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        self.read.update(id(tensor) for tensor in tensors if isinstance(tensor, nn.Parameter))
        if func._overloadpacket not in self._counted and len(tensors) > 1 and _may_multiply(func.name()):
            self.uncounted.add(str(func._overloadpacket).replace(".", "::"))
        return func(*args, **(kwargs or {}))


@contextmanager
def _credited(network: nn.Module, counter: FlopCounterMode, spent: Counter[nn.Module]) -> Any:
    """Context in which every operation is credited to the innermost module that is running."""
    running = [network]
    seen = 0

    def credit() -> None:
        nonlocal seen
        total = counter.get_total_flops()
        spent[running[-1]] += total - seen
        seen = total

    def enter(module: nn.Module, _: Any) -> None:
        credit()
        running.append(module)

    def leave(*_: Any) -> None:
        credit()
        running.pop()

    handles = [module.register_forward_pre_hook(enter) for module in network.modules()]
    handles += [module.register_forward_hook(leave) for module in network.modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _may_multiply(operation: str) -> bool:
    """Whether an operator, ``library::name.overload``, can be one with products: any that is not torch's own can."""
    library, _, name = operation.partition(".")[0].partition("::")
    return library not in {"prim", "prims", "profiler"} and (
        library != "aten" or not PRODUCTS.isdisjoint(name.split("_"))
    )


def _elements(module: nn.Module, read: set[int]) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if id(parameter) in read)


@contextmanager
def _watched(start: int, interval: float = 0.002) -> Any:
    peak, done = [start], threading.Event()

    def watch() -> None:
        while not done.wait(interval):
            peak[0] = max(peak[0], _resident())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
        peak[0] = max(peak[0], _resident())


def _resident() -> int:
    import resource

    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
