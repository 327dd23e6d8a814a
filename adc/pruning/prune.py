"""Cuts channels out of a student. The only file that knows torch-pruning."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from adc.interfaces import Prunable, Student
from adc.ops.modes import differentiable, evaluating
from adc.pruning.groups import Group, Side
from adc.pruning.heads import AttentionWatch, check_heads, heads_of
from adc.pruning.importance import Importance, Prefix
from adc.pruning.layers import as_products, drop, is_channelwise, width
from adc.pruning.ranking import Ranking, check_ratios
from adc.pruning.trial import Choice, Whole, masks_of, noted_of


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
        ratios: What is cut, in ``[0, 1)``, by part; a part that is not named keeps its channels. A convolution or
            linear layer may be named too, as its student names it: its group then takes that ratio.
        importance: Which channels stay.
        calibration: Small clips ``(B, T, 3, h, w)``, for importances that need them.

    Returns:
        What was cut out of each part, and of the ``student``.

    Raises:
        ValueError: If a part or layer is unknown, a ratio out of range, attention would be cut across heads that
            nobody named, or the student does not run afterwards.
    """
    plan = student.prunable()
    layers = dict(student.named_modules())
    check_ratios(ratios, plan, layers)
    parts = {**plan.parts, "student": student}
    before = {name: _survey(part) for name, part in parts.items()}
    heads, watch = heads_of(plan), AttentionWatch(plan.network)
    with watch.watching():
        shapes = _run(plan)
    importance.prepare(student, calibration)
    chosen = Ranking(plan, find_groups(plan), importance, heads, layers).choose(ratios)
    kept = masks_of(chosen)
    if not plan.tried:
        check_heads(plan, watch.seen, heads, {layer for (layer, out), mask in kept.items() if out and not mask.all()})
    drop(plan.network, kept, importance.aligned, noted_of(chosen))
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


def choose_groups(
    plan: Prunable,
    ratios: Mapping[str, float],
    importance: Importance,
    heads: Mapping[nn.Module, int],
    whole: list[Whole] | None = None,
) -> list[Choice]:
    """The groups that lose channels, and which of their units stay: `Ranking.choose` of all groups."""
    return Ranking(plan, find_groups(plan), importance, heads).choose(ratios, whole)


def find_groups(plan: Prunable) -> list[Group]:
    """All groups of coupled channels of a network, by torch-pruning's dependency graph (Fang et al., 2023)."""
    graph = _trace(plan)
    roots = [module for module in graph.module2node if isinstance(module, nn.modules.conv._ConvNd | nn.Linear)]
    found: list[Group] = []
    done: set[nn.Module] = set()
    for root in roots:
        if root not in done and width(root, True) is not None:
            try:
                group = _spread(graph, root)
            except (KeyError, TypeError, ArithmeticError):
                if not plan.tried:
                    raise
                done.add(root)  # torch-pruning lost its channels on the way
                continue
            done.update(side.layer for side in group.sides if side.output)
            found.append(group)
    return found


def _trace(plan: Prunable) -> Any:
    """torch-pruning's graph; layers that treat each channel for itself are single operations in it."""
    import torch_pruning

    layers = [module for module in plan.network.modules() if is_channelwise(module)]
    pruners = {type(layer): _channelwise_pruner() for layer in layers}
    with differentiable(plan.network), as_products(layers), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            graph = torch_pruning.DependencyGraph().build_dependency(
                plan.network, _example(plan), customized_pruners=pruners, verbose=False
            )
            if plan.tried:
                _map_all(graph)
            return graph
        except Exception as error:
            if not plan.tried:
                raise
            reason = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
            raise ValueError(f"torch-pruning does not follow the channels of this network ({reason}).") from error


def _map_all(graph: Any) -> None:
    """Channels of splits and concatenations that the library leaves out near parameters of three axes, as in a ViT."""
    from torch_pruning.dependency import index_mapping

    for node in graph.module2node.values():
        node.enable_index_mapping = True
    index_mapping.update_index_mapping(graph)


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


FURTHEST = 64
"""How many places in one layer a channel may reach: more are a loop in the graph."""

SHUFFLES = {
    "PixelShuffleBackward0": "_saved_upscale_factor",
    "PixelUnshuffleBackward0": "_saved_downscale_factor",
}


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
            mapped = _shuffled(edge, places)
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
            if len(known) > FURTHEST * count:
                raise OverflowError(f"{count} channels reach {len(known)} places")
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


def _shuffled(edge: Any, places: list[_Place]) -> list[_Place]:
    """Channels on the other side of a pixel shuffle, whose own are those that come out of it."""
    for node, inward in ((edge.target, True), (edge.source, False)):
        name = "" if node.grad_fn is None or _is_layer(node) else type(node.grad_fn).__name__
        other = edge.source if inward else edge.target
        if name not in SHUFFLES or other not in node.inputs:
            continue
        square = getattr(node.grad_fn, SHUFFLES[name]) ** 2
        if inward == (name == "PixelShuffleBackward0"):
            return [_Place(place.idx // square, place.root_idx) for place in places]
        return [_Place(place.idx * square + part, place.root_idx) for place in places for part in range(square)]
    return places


def _is_layer(node: Any) -> bool:
    """Whether a node is a layer; otherwise it is an operation between layers, or a parameter outside of them."""
    return isinstance(node.module, nn.Module) and not type(node.module).__module__.startswith("torch_pruning")


def _side(layer: nn.Module, output: bool, units: dict[int, int]) -> Side:
    table = torch.full((max(width(layer, output) or 0, max(units) + 1),), -1)
    table[list(units)] = torch.tensor(list(units.values()))
    return Side(layer, output, table)


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
