"""ONNX files of students: export, and conversion to float16 and int8."""

from __future__ import annotations

import io
import json
import logging
import math
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adc.inference.onnx_student import NOTE, library
from adc.interfaces import Restorer
from adc.interfaces.blocks import UpsampleConv, describe_block

OPSET = 20
SMALLEST, LARGEST = 16, 16384
"""The sides that an exported student takes."""
LONGEST = 1024
"""The most frames of a clip that an exported student of videos takes."""
INPUT, OUTPUT = "image", "enlarged"
_SINGLE_FILE = 1_900_000_000


class ExportNetwork(nn.Module):
    """A restorer as a network of images or clips of any size, padding and cropping without branches."""

    def __init__(self, restorer: Restorer, of_clips: bool) -> None:
        super().__init__()
        self.restorer, self.of_clips, self.multiple = restorer, of_clips, restorer.multiple

    def forward(self, image: Tensor) -> Tensor:
        """``(N, 3, h, w)`` or ``(N, T, 3, h, w)`` in ``[-1, 1]`` to the same, ``scale`` times as high and wide."""
        height, width = image.shape[-2:]
        padded = self._extend(self._extend(image, -2), -1)
        hr = self.restorer.restore(padded) if self.of_clips else self.restorer.restore(padded[:, None])[:, 0]
        return hr[..., : height * self.restorer.scale, : width * self.restorer.scale]

    def _extend(self, image: Tensor, dimension: int) -> Tensor:
        """Repeat the last row or column up to a multiple."""
        if self.multiple == 1:
            return image
        side = image.shape[dimension]
        padded = (side + self.multiple - 1) // self.multiple * self.multiple
        places = torch.arange(padded, device=image.device).clamp(max=side - 1)
        return image.index_select(dimension, places)


def program(student: Restorer, of_clips: bool = False) -> torch.export.ExportedProgram:
    """A student as a ``torch.export`` program of images `(N, 3, h, w)`, or clips `(N, T, 3, h, w)`, of any size.

    The student is put in evaluation mode and left on its device.

    Raises:
        ValueError: If it cannot be traced, for one because it computes frame by frame or draws noise of the size.
    """
    network = ExportNetwork(student.eval(), of_clips)
    side = 2 * max(network.multiple, SMALLEST) + 1  # no multiple, so that padding is not taken for needless
    frames = {"frames": (3, 1, LONGEST)} if of_clips else {}
    sides = {"height": (side, SMALLEST, LARGEST), "width": (side + network.multiple, SMALLEST, LARGEST)}
    axes = {"batch": (2, 1, 64), **frames, "channels": None, **sides}
    place = next((tensor.device for tensor in (*student.parameters(), *student.buffers())), None)
    example = torch.zeros([3 if axis is None else axis[0] for axis in axes.values()], device=place)
    shapes = {
        number: torch.export.Dim(name, min=axis[1], max=axis[2])
        for number, (name, axis) in enumerate(axes.items())
        if axis is not None
    }
    with torch.no_grad(), _without_size_limits(student):
        options: dict[str, Any] = {"strict": False, "prefer_deferred_runtime_asserts_over_guards": True}
        try:
            found = torch.export.export(network, (example,), dynamic_shapes=(shapes,), **options)
        except Exception as error:  # tracing runs the student's own code, which raises what it likes
            raise ValueError(
                f"{type(student).__name__} has no program of any size: it cannot be traced by torch.export"
                f" ({type(error).__name__}: {next(iter(str(error).splitlines()), '')})."
                " Leave torch and onnx out: --formats '[diffusers]'."
            ) from error
    return _without_assertions(found)


def _without_assertions(found: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """A program without assertions on sizes: tracing notes comparisons of the example's, which may differ."""
    graph = found.graph_module.graph
    for node in list(graph.nodes):
        if node.target is torch.ops.aten._assert_scalar.default:
            graph.erase_node(node)
    graph.eliminate_dead_code()
    found.graph_module.recompile()
    return found


@contextmanager
def _without_size_limits(student: nn.Module) -> Iterator[None]:
    """Context without the branches by image size that upsampling blocks of libraries have."""
    kept: list[tuple[nn.Module, str, nn.Module]] = []
    for parent in list(student.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(block := describe_block(child), UpsampleConv):
                kept.append((parent, name, child))
                setattr(parent, name, _Upsample(block.convolution))
    try:
        yield
    finally:
        for parent, name, child in kept:
            setattr(parent, name, child)


class _Upsample(nn.Module):
    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor, *_: Any) -> Tensor:
        return self.convolution(F.interpolate(x, scale_factor=2.0, mode="nearest"))


def write_onnx(program: torch.export.ExportedProgram, path: Path, facts: dict[str, Any]) -> None:
    """Write a `program` as an ONNX file of opset `OPSET`, with any batch, height and width.

    Weights of more than 1.9 GB go into a second file, ``NAME.data``. The facts, ``scale`` among them, are metadata.

    Raises:
        ImportError: If onnx or onnxscript is not installed.
    """
    onnx = library("onnx")
    library("onnxscript")
    with _quiet():
        made: Any = torch.onnx.export(
            program, input_names=[INPUT], output_names=[OUTPUT], opset_version=OPSET, dynamo=True, verbose=False
        )
    _save(onnx, made.model_proto, path, facts)


def write_half(source: Path, target: Path) -> None:
    """Write an ONNX file with float16 numbers inside; images stay float32."""
    onnx = library("onnx")
    library("onnxruntime")
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with _quiet():
        model = convert_float_to_float16(onnx.load(source), keep_io_types=True)
    casts: dict[str, Any] = {}
    for node in list(model.graph.node):  # the library writes a cast again for each node that needs it
        if casts.setdefault(node.output[0], node) is not node:
            model.graph.node.remove(node)
    _save(onnx, model, target, {**_facts(model), "precision": "fp16"})


def write_int8(source: Path, target: Path, images: Sequence[Tensor]) -> None:
    """Write an ONNX file whose convolutions compute in 8-bit integers.

    Weights take 7 of the 8 bits: products of two 8-bit integers are added in pairs in 16 bits on CPUs without VNNI
    (AVX2, for one), and would saturate.

    Weights have a scale for each channel; activations one for each tensor, from their range on
    calibration images. The first convolution and the last one stay in float32.

    Args:
        source: A float32 file of `write_onnx`.
        target: The file that is written.
        images: Calibration images ``(1, 3, h, w)``, or clips, in ``[-1, 1]``.

    Raises:
        ValueError: If there is no image.
    """
    if not images:
        raise ValueError("calibration: there are no images to find the ranges of 8-bit numbers with; name a folder.")
    onnx = library("onnx")
    library("onnxruntime")
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(images)

        def get_next(self) -> Any:
            image = next(self.left, None)
            return None if image is None else {INPUT: image.float().numpy()}

    original = onnx.load(source, load_external_data=False)
    convolutions = [node.name for node in original.graph.node if node.op_type == "Conv"]
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".int8-") as folder, _quiet():
        scratch = Path(folder, target.name)
        quantize_static(
            source,
            scratch,
            Reader(),
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=[*convolutions[:1], *convolutions[-1:]],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        model = onnx.load(scratch)
    _save(onnx, model, target, {**_facts(original), "precision": "int8"})


def parameters_of(path: Path) -> int:
    """Numbers in the weights of an ONNX file."""
    graph = library("onnx").load(path, load_external_data=False).graph
    return sum(math.prod(tensor.dims) for tensor in graph.initializer)


def size_of(path: Path) -> int:
    """Bytes of an ONNX file and of the weights beside it."""
    beside = path.with_name(f"{path.name}.data")
    return path.stat().st_size + (beside.stat().st_size if beside.is_file() else 0)


def _facts(model: Any) -> dict[str, Any]:
    return next((json.loads(entry.value) for entry in model.metadata_props if entry.key == NOTE), {})


def _save(onnx: ModuleType, model: Any, path: Path, facts: dict[str, Any]) -> None:
    """Write a file that is whole or not there, with facts as its only metadata."""
    del model.metadata_props[:]
    model.metadata_props.add(key=NOTE, value=json.dumps(facts))
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".onnx-") as folder:
        scratch, data = Path(folder, path.name), f"{path.name}.data"
        large = sum(math.prod(tensor.dims) * 4 for tensor in model.graph.initializer) > _SINGLE_FILE
        onnx.save(model, scratch, save_as_external_data=large, location=data if large else None)
        if large:
            Path(folder, data).replace(path.with_name(data))
        else:
            path.with_name(data).unlink(missing_ok=True)
        scratch.replace(path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Context without the progress reports of the libraries."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
