"""A student as a folder of data: ``student.yaml``, ``structure.json``, ``model.safetensors``.

A student class takes part by keeping its constructor's arguments as plain data in ``init_args``,
those that name files of weights set to None: the folder holds everything. Networks among the arguments
do the same; they are described in their place, by ``class_path`` and ``init_args``.
"""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from torch import Tensor, nn

from adc import registry, renamed
from adc.files import file_checksum, replacing, save_tensors
from adc.interfaces import Student
from adc.interfaces.restorer import color_matching
from adc.pruning.folders import DESCRIPTION, STRUCTURE, WEIGHTS, student_folder
from adc.pruning.structure import record, replay

FORMAT = 1
CHECKSUMS = "crc32"
COLORS = "color_matching"


def save_student(
    student: Student, folder: str | Path, precision: Literal["float32", "float16", "bfloat16"] = "float32"
) -> None:
    """Write a student that `load_student` can read.

    Each file appears whole or not at all; ``student.yaml`` is the last, and an old one goes first.

    Args:
        student: A student whose class keeps its ``init_args``.
        folder: Where it goes; files of an earlier student are replaced.
        precision: Of the numbers in the file.

    Raises:
        ValueError: If the student's class does not keep its arguments, or cannot be imported by name.
    """
    description = _describe(student)
    structure = record(student, _build(description, f"{type(student).__name__}.init_args"))
    number = getattr(torch, precision)
    tensors = {
        name: tensor.detach().to("cpu", number if tensor.is_floating_point() else tensor.dtype, copy=True).contiguous()
        for name, tensor in student.state_dict().items()
    }
    facts = {"scale": student.scale, COLORS: student.color_matching}
    description = {"format": FORMAT, "class_path": description["class_path"], **facts, **description}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DESCRIPTION).unlink(missing_ok=True)
    save_tensors(tensors, folder / WEIGHTS, {"format": "pt"})
    with replacing(folder / STRUCTURE) as scratch:
        scratch.write_text(_by_line(structure))
    description[CHECKSUMS] = {name: file_checksum(folder / name) for name in (STRUCTURE, WEIGHTS)}
    with replacing(folder / DESCRIPTION) as scratch:
        scratch.write_text(yaml.safe_dump(description, sort_keys=False))


def load_student(folder: str) -> Student:
    """Rebuild a student from its folder; torch-pruning is not needed.

    Args:
        folder: A folder that ``adc prune`` or a stage wrote, or the name of a student that ships: demo.

    Returns:
        The student, in float32 on the CPU, in training mode.

    Raises:
        FileNotFoundError: If the folder or one of its files is missing.
        ValueError: If a file is damaged or does not fit the others; the message names file and key.
    """
    home = student_folder(folder)
    description = _description(home / DESCRIPTION)
    structure = _json(home / STRUCTURE)
    tensors = _tensors(home / WEIGHTS)
    place = str(home / DESCRIPTION)
    student = _shaped(_build(description, place), structure, home)
    _compare(student, tensors, home)
    _verify(description, home)
    _assign(student, tensors)
    if not _has_numbers(student):
        student = _shaped(_build(description, place, "cpu"), structure, home)
        student.load_state_dict(tensors)
    if COLORS in description:  # folders of before have none
        student.color_matching = color_matching(description[COLORS], place)
    return student


def _describe(network: nn.Module) -> dict[str, Any]:
    cls = type(network)
    if "<locals>" in cls.__qualname__ or cls.__module__ == "__main__":
        raise ValueError(f"{cls.__qualname__}: a student is saved by the name of its class; define it in a module.")
    init_args = getattr(network, "init_args", None)
    if not isinstance(init_args, dict):
        raise ValueError(f"{cls.__name__} has no `init_args`: set it to its constructor's arguments, as plain data.")
    described = {key: _describe(value) if isinstance(value, nn.Module) else value for key, value in init_args.items()}
    for key, value in described.items():
        if not _is_plain(value):
            raise ValueError(f"{cls.__name__}.init_args: {key} is no plain data but a {type(value).__name__}.")
    return {"class_path": f"{cls.__module__}.{cls.__qualname__}", "init_args": json.loads(json.dumps(described))}


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(entry) for key, entry in value.items())
    if isinstance(value, list | tuple):
        return all(_is_plain(entry) for entry in value)
    return value is None or isinstance(value, str | int | float)


def _build(description: dict[str, Any], place: str, device: str = "meta") -> Student:
    """A full-width student; without numbers, and so without time and memory, where its constructor allows."""
    try:
        with torch.device(device):
            return component(description, place, Student)
    except (NotImplementedError, RuntimeError):
        if device == "meta":
            return _build(description, place, "cpu")
        raise


def component(description: dict[str, Any], place: str, kind: type[Any]) -> Any:
    """The network of a ``class_path`` and ``init_args``, in which further ones may be described.

    Raises:
        ValueError: If there is no such class, or it is no `kind`, or takes other arguments; it names the place.
    """
    cls = _class(description["class_path"], place, kind)
    given = renamed.arguments(description["init_args"], inspect.signature(cls).parameters)
    init_args = {
        key: component(value, place, nn.Module) if _is_component(value) else value for key, value in given.items()
    }
    try:
        return cls(**init_args)
    except TypeError as error:
        raise ValueError(f"{place}: init_args: {error}.") from error


def _is_component(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"class_path", "init_args"}


def _shaped(student: Student, structure: Any, home: Path) -> Student:
    try:
        replay(student, structure)
    except ValueError as error:
        raise ValueError(f"{home / STRUCTURE}: {error}") from error
    return student


def _assign(student: Student, tensors: dict[str, Tensor]) -> None:
    """Load; tensors of a student without numbers are put in place of its own, parameters that are shared stay so."""
    own = student.state_dict(keep_vars=True)
    if len({id(tensor) for tensor in own.values()}) == len(own):
        student.load_state_dict(tensors, assign=True)
    elif _has_numbers(student):
        student.load_state_dict(tensors)


def _has_numbers(student: nn.Module) -> bool:
    for module in student.modules():
        held = [*module._parameters.values(), *module._buffers.values(), *vars(module).values()]
        if any(isinstance(value, Tensor) and value.is_meta for value in held):
            return False
    return True


def _compare(student: Student, tensors: dict[str, Tensor], home: Path) -> None:
    path, own = home / WEIGHTS, student.state_dict()
    missing, extra = sorted(set(own) - set(tensors)), sorted(set(tensors) - set(own))
    if missing:
        raise ValueError(f"{path}: tensor {missing[0]} is missing{_more(missing)}; the file does not belong here.")
    if extra:
        raise ValueError(f"{path}: {type(student).__name__} has no tensor {extra[0]}{_more(extra)}.")
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape:
            expected = f"{STRUCTURE} says {list(own[name].shape)}"
            raise ValueError(f"{path}: tensor {name} is {list(tensor.shape)}, but {expected}.")


def _by_line(structure: dict[str, dict[str, Any]]) -> str:
    """JSON with one entry of a section on each line."""
    sections = []
    for name, entries in structure.items():
        lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in entries.items())
        sections.append(f" {json.dumps(name)}: {{\n{lines}\n }}" if lines else f" {json.dumps(name)}: {{}}")
    return "{\n" + ",\n".join(sections) + "\n}\n"


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _description(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a YAML file: {' '.join(str(error).split())}.") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        version = found.get("format") if isinstance(found, dict) else None
        raise ValueError(f"{path}: format is {version!r}, but this version of adc reads {FORMAT}.")
    for key, kind in (("class_path", str), ("init_args", dict)):
        if not isinstance(found.get(key), kind):
            raise ValueError(f"{path}: {key} is {found.get(key)!r}; expected a {kind.__name__}.")
    return found


def _verify(description: dict[str, Any], home: Path) -> None:
    """Compare the files with their checksums; folders that were written without have none."""
    known = description.get(CHECKSUMS) or {}
    for name in (STRUCTURE, WEIGHTS):
        if isinstance(known, dict) and name in known and file_checksum(home / name) != known[name]:
            raise ValueError(
                f"{home / name}: is damaged, or not what {DESCRIPTION} was written with (its checksum differs); "
                f"write the student again, or delete {CHECKSUMS} in {DESCRIPTION} if the file was changed on purpose."
            )


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: not a JSON file: {error}.") from error


def _tensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: not a whole safetensors file: {error}.") from error
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def _class(class_path: str, place: str, kind: type[Any]) -> type[Any]:
    module, _, name = class_path.rpartition(".")
    try:
        try:
            found = getattr(importlib.import_module(module), name)
        except ModuleNotFoundError:
            registry.discover()
            found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        if present := _present(class_path, kind):
            return present
        hint = "install its plugin, or put its folder on ADC_PLUGIN_PATH"
        raise ValueError(f"{place}: class_path: there is no class {class_path!r} ({error}); {hint}.") from error
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise ValueError(f"{place}: class_path: {class_path!r} is no {kind.__name__}.")
    return found


def _present(class_path: str, kind: type[Any]) -> type[Any] | None:
    """The class of a path that was valid earlier: in the same package, by its present name."""
    package, name = class_path.partition(".")[0], renamed.component(class_path) or class_path.rpartition(".")[2]
    found = [
        cls for cls in registry.subclasses(kind) if (cls.__module__.split(".")[0], cls.__name__) == (package, name)
    ]
    return found[0] if len(found) == 1 else None
