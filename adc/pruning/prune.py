"""Cuts channels out of a student. The only file that knows torch-pruning."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from adc.errors import suggest
from adc.interfaces import Prunable, Student
from adc.ops.modes import differentiable, evaluating
from adc.pruning.groups import Group, Side, blocks, choose, kept_units
from adc.pruning.heads import AttentionWatch, check_heads, heads_of
from adc.pruning.importance import Importance, Prefix
from adc.pruning.layers import is_channelwise, keep, width
from adc.pruning.structure import fit, is_attention


@dataclass(frozen=True)
class Cut:
    """What was cut out of a part.

    Attributes:
        layers: Convolutions and linear layers.
        changed: How many of them lost channels.
        channels: Their output channels before and after.
    """

    layers: int
    changed: int
    channels: tuple[int, int]


def prune(
    student: Student, ratios: Mapping[str, float], importance: Importance, calibration: Iterable[Tensor] = ()
) -> dict[str, Cut]:
    """Cut channels out of a student, in place.

    Of each group of coupled layers ``int(n * (1 - ratio))`` of its ``n`` channels stay. A group takes
    the ratio of the last listed part that any of its layers' output channels belongs to: where a
    UNet's last convolution feeds a decoder, it is cut to the decoder's width.

    Args:
        student: The full-width student.
        ratios: What is cut, in ``[0, 1)``, by part; a part that is not named keeps its channels.
        importance: Which channels stay.
        calibration: Small clips ``(B, T, 3, h, w)``, for importances that need them.

    Returns:
        What was cut out of each part, and of the ``student``.

    Raises:
        ValueError: If a part is unknown, a ratio out of range, attention would be cut across heads that nobody named,
            or the student does not run afterwards.
    """
    plan = student.prunable()
    _check(ratios, plan)
    parts = {**plan.parts, "student": student}
    before = {name: _survey(part) for name, part in parts.items()}
    heads, watch = heads_of(plan), AttentionWatch(plan.network)
    with watch.watching():
        shapes = _run(plan)
    importance.prepare(student, calibration)
    kept: dict[tuple[nn.Module, bool], Tensor] = {}
    ignored = set(plan.ignored)
    for group in find_groups(plan):
        ratio = _ratio(group, plan.parts, ratios)
        if ratio > 0 and group.free and not any(side.output and side.layer in ignored for side in group.sides):
            number = kept_units(group, ratio, heads, plan.blocks)
            mask = choose(importance.score(group), number, blocks(group, number, heads, plan.blocks))
            for side in group.sides:
                whole = torch.ones(len(side.units), dtype=torch.bool)
                inside = side.units >= 0
                whole[inside] = mask[side.units[inside]]
                kept[side.layer, side.output] = kept.get((side.layer, side.output), True) & whole
    check_heads(plan, watch.seen, heads, {layer for (layer, output), mask in kept.items() if output and not mask.all()})
    _apply(plan.network, kept, importance.aligned)
    plan.after()
    _verify(plan, shapes)
    return {name: _difference(before[name], _survey(part)) for name, part in parts.items()}


def pruned(student: Student, ratios: dict[str, float]) -> Student:
    """A student that keeps its first channels, for recipes of ``adc bench``: which ones stay changes no cost.

    Args:
        student: The full-width student; changed in place.
        ratios: As of `prune`.
    """
    prune(student, ratios, Prefix(aligned=True))
    return student


def find_groups(plan: Prunable) -> list[Group]:
    """All groups of coupled channels of a network, by torch-pruning's dependency graph (Fang et al., 2023)."""
    graph = _trace(plan)
    roots = [module for module in graph.module2node if isinstance(module, nn.modules.conv._ConvNd | nn.Linear)]
    found: list[Group] = []
    done: set[nn.Module] = set()
    for root in roots:
        if root not in done and width(root, True) is not None:
            group = _spread(graph, root)
            done.update(side.layer for side in group.sides if side.output)
            found.append(group)
    return found


def _trace(plan: Prunable) -> Any:
    """torch-pruning's graph; layers that treat each channel for itself are single operations in it."""
    import torch_pruning

    layers = [module for module in plan.network.modules() if is_channelwise(module)]
    pruners = {type(layer): _channelwise_pruner() for layer in layers}
    with differentiable(plan.network), _as_products(layers), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch_pruning.DependencyGraph().build_dependency(
            plan.network, _example(plan), customized_pruners=pruners, verbose=False
        )


def _channelwise_pruner() -> Any:
    from torch_pruning.pruner.function import BasePruningFunc

    class Pruner(BasePruningFunc):
        """Says that one channel comes out for each that goes in; the graph is only read, so it cuts nothing."""

        def prune_out_channels(self, layer: nn.Module, idxs: Any) -> nn.Module:
            return layer

        prune_in_channels = prune_out_channels

        def get_out_channels(self, layer: nn.Module) -> int | None:
            return width(layer, True)

        get_in_channels = get_out_channels

    return Pruner()


@contextmanager
def _as_products(layers: Iterable[Any]) -> Generator[None, None, None]:
    """Layers that multiply by one; what norms do inside (to expand, to divide) has no place in a graph of channels."""
    layers = list(layers)
    try:
        for layer in layers:
            layer.forward = lambda x, *_, **__: x * 1
        yield
    finally:
        for layer in layers:
            del layer.forward


class _Place(NamedTuple):
    """A channel of a layer, and the root's channel that led there; torch-pruning maps lists of these."""

    idx: int
    root_idx: int


def _spread(graph: Any, root: nn.Module) -> Group:
    """Follow the graph from all output channels of a layer, and note which of them meet.

    torch-pruning's own groups forget that two channels of the root reach one channel of another
    layer, as the halves of a gated layer do; so its edges are walked here.
    """
    from scipy.cluster.hierarchy import DisjointSet

    count = width(root, True) or 0
    meeting = DisjointSet(range(count))
    start = graph.module2node[root]
    prune_root = graph.get_pruner_of_module(root).prune_out_channels
    reached: dict[Any, dict[int, int]] = {(start, True): {index: index for index in range(count)}}
    waiting = [(start, prune_root, [_Place(index, index) for index in range(count)])]
    while waiting:
        node, cause, places = waiting.pop()
        for edge in node.dependencies:
            if not edge.is_triggered_by(cause):
                continue
            mapped = places
            for mapping in edge.index_mapping:
                mapped = mapped if mapping is None else mapping(mapped)
            known = reached.setdefault((edge.target, graph.is_out_channel_pruning_fn(edge.handler)), {})
            news = []
            for place in mapped:
                if place.idx not in known:
                    known[place.idx] = place.root_idx
                    news.append(place)
                else:
                    meeting.merge(place.root_idx, known[place.idx])
            if news:
                waiting.append((edge.target, edge.handler, news))
    units = sorted(meeting.subsets(), key=min)
    numbers = {index: unit for unit, channels in enumerate(units) for index in channels}
    sides, free = [], True
    for (node, output), places in reached.items():
        if not places:
            continue
        if _is_layer(node):
            sides.append(_side(node.module, output, {place: numbers[origin] for place, origin in places.items()}))
            free = free and width(node.module, output) == len(sides[-1].units)
        is_parameter = isinstance(node.module, nn.Parameter) and node.module.numel() > 1
        is_result = output and not node.outputs
        free = free and not is_parameter and not is_result
    return Group(len(units), sides, free)


def _is_layer(node: Any) -> bool:
    """Whether a node is a layer; otherwise it is an operation between layers, or a parameter outside of them."""
    return isinstance(node.module, nn.Module) and not type(node.module).__module__.startswith("torch_pruning")


def _side(layer: nn.Module, output: bool, units: dict[int, int]) -> Side:
    table = torch.full((max(width(layer, output) or 0, max(units) + 1),), -1)
    table[list(units)] = torch.tensor(list(units.values()))
    return Side(layer, output, table)


def _ratio(group: Group, parts: Mapping[str, nn.Module], ratios: Mapping[str, float]) -> float:
    layers = {side.layer for side in group.sides if side.output}
    owners = [name for name, part in parts.items() if not layers.isdisjoint(part.modules())]
    return ratios.get(owners[-1], 0.0) if owners else 0.0


def _apply(network: nn.Module, kept: Mapping[tuple[nn.Module, bool], Tensor], aligned: bool) -> None:
    attentions: list[Any] = [module for module in network.modules() if is_attention(module)]
    widths = [attention.to_q.out_features for attention in attentions]
    for (layer, output), mask in kept.items():
        channels = mask.nonzero().flatten()
        keep(layer, output, channels if aligned else torch.arange(len(channels)))
    fit(network)
    if aligned:
        for attention, before in zip(attentions, widths, strict=True):
            _keep_temperature(attention, before)


def _keep_temperature(attention: Any, before: int) -> None:
    """Narrower heads divide by a smaller root: put the difference into the queries."""
    factor = (attention.to_q.out_features / before) ** 0.5
    if factor != 1 and getattr(attention, "norm_q", None) is None:
        with torch.no_grad():
            for parameter in attention.to_q.parameters():
                parameter.mul_(factor)


def _check(ratios: Mapping[str, float], plan: Prunable) -> None:
    for name, ratio in ratios.items():
        if name not in plan.parts:
            raise ValueError(f"ratios: the student has no part {name!r}; {suggest(name, plan.parts)}")
        if not 0 <= ratio < 1:
            raise ValueError(f"ratios: {name} is {ratio}; expected what is cut, at least 0 and less than 1.")


def _example(plan: Prunable) -> tuple[Tensor, ...]:
    own = next(plan.network.parameters())
    return tuple(tensor.to(own) if tensor.is_floating_point() else tensor.to(own.device) for tensor in plan.example)


def _run(plan: Prunable) -> list[tuple[int, ...]]:
    with evaluating(plan.network), torch.no_grad():
        output = plan.network(*_example(plan))
    return [tuple(one.shape) for one in (output if isinstance(output, tuple) else (output,))]


def _verify(plan: Prunable, shapes: list[tuple[int, ...]]) -> None:
    hint = "a layer whose channels must stay is missing in `ignored` of prunable()."
    try:
        now = _run(plan)
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"the pruned network does not run ({reason}): {hint}") from error
    for one, before in zip(now, shapes, strict=True):
        if one != before:
            raise ValueError(f"the pruned network returns {one} instead of {before}: {hint}")


def _survey(part: nn.Module) -> list[tuple[int, int]]:
    layers = [module for module in part.modules() if isinstance(module, nn.modules.conv._ConvNd | nn.Linear)]
    return [(width(layer, True) or 0, width(layer, False) or 0) for layer in layers]


def _difference(before: list[tuple[int, int]], after: list[tuple[int, int]]) -> Cut:
    changed = sum(one != other for one, other in zip(before, after, strict=True))
    return Cut(len(before), changed, (sum(out for out, _ in before), sum(out for out, _ in after)))
