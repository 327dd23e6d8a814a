"""Networks of the spandrel library: read from weights, or built from an architecture's arguments."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adc.weights import read_checkpoint


def library(reader: str) -> ModuleType:
    """The spandrel library.

    Raises:
        ImportError: If it is not installed; names the reader that needs it.
    """
    try:
        import spandrel
    except ImportError:
        raise ImportError(f"{reader} needs the spandrel library: pip install 'adc[spandrel]'.") from None
    return spandrel


def describe(weights: str, reader: str) -> Any:
    """Spandrel's description of the network in a file, which is read as data.

    Args:
        weights: A ``.safetensors``, ``.pth``, ``.pt`` or ``.ckpt`` file.
        reader: Who asks, for the message where spandrel is missing.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If spandrel is not installed.
        ValueError: If the file cannot be read, or spandrel does not know its network.
    """
    spandrel = library(reader)
    state = spandrel.canonicalize_state_dict(read_checkpoint(weights))
    try:
        return spandrel.ModelLoader().load_from_state_dict(state)
    except spandrel.UnsupportedModelError:
        raise ValueError(
            f"weights: {weights}: spandrel {spandrel.__version__} does not know this network; "
            "its list of architectures is at github.com/chaiNNer-org/spandrel."
        ) from None
    except Exception as error:
        raise ValueError(f"weights: {weights}: does not load ({reason(error)}).") from None


@cache
def architectures() -> dict[str, tuple[Any, type[nn.Module]]]:
    """Spandrel's architecture and the class of its network, by name.

    The name is spandrel's identifier (``ESRGAN``, ``HAT``), or the class's where an architecture has several
    (``PLKSR`` and ``RealPLKSR``).
    """
    spandrel = library("SpandrelStudent")
    found: dict[str, tuple[Any, type[nn.Module]]] = {}
    for support in spandrel.MAIN_REGISTRY.architectures():
        architecture = support.architecture
        module = importlib.import_module(f"spandrel.architectures.{architecture.id}")
        exported = [getattr(module, name) for name in module.__all__]
        classes = [one for one in exported if isinstance(one, type) and issubclass(one, nn.Module)]
        for cls in classes:
            found[architecture.id if len(classes) == 1 else cls.__name__] = architecture, cls
    return found


def name_of(network: nn.Module) -> str:
    """The name of a network's architecture, as in `architectures`."""
    return next(name for name, (_, cls) in architectures().items() if type(network) is cls)


def build(architecture: str, arguments: Mapping[str, Any]) -> nn.Module:
    """A network with random weights.

    Raises:
        ValueError: If there is no such architecture, or it does not take these arguments.
    """
    from adc.errors import suggest

    known = architectures()
    if architecture not in known:
        raise ValueError(f"architecture: spandrel has no {architecture!r}; {suggest(architecture, known)}")
    cls = known[architecture][1]
    taken = inspect.signature(cls).parameters
    for name in arguments:
        if name not in taken:
            raise ValueError(f"arguments: {architecture} has no {name!r}; {suggest(name, taken)}")
    try:
        return cls(**arguments)
    except (NotImplementedError, RuntimeError):
        raise  # of the meta device
    except Exception as error:
        raise ValueError(f"arguments: {architecture} cannot be built ({reason(error)}).") from None


def described(architecture: str, network: nn.Module) -> Any:
    """Spandrel's description of a network that was built: its scale, and the sizes of images it takes.

    Raises:
        ValueError: If spandrel does not read the network's own weights.
    """
    try:
        return architectures()[architecture][0].load(dict(network.state_dict()))
    except Exception as error:
        raise ValueError(f"arguments: spandrel does not read back {architecture} ({reason(error)}).") from None


def plain_arguments(network: Any) -> dict[str, Any]:
    """The arguments that a network was built with, as plain data: without classes and functions, which are defaults."""
    taken = inspect.signature(type(network)).parameters
    return {key: value for key, value in network.hyperparameters.items() if key in taken and _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(entry) for entry in value)
    return value is None or isinstance(value, str | int | float)


def windows(network: Any) -> list[int]:
    """The sides of the windows that a network divides images into, from its arguments."""
    found: list[int] = []
    for key, value in network.hyperparameters.items():
        if key.startswith(("window_size", "win_size", "split_size")):
            found += value if isinstance(value, list | tuple) else [value]
    return [side for side in found if isinstance(side, int) and side > 0]


def trainable(network: nn.Module) -> nn.Module:
    """A network in training mode, its merged convolutions (SPAN's) left to what they are made of.

    They are computed when evaluation is chosen and whenever it runs, except by `torch.export`.
    """
    for module in _merged(network):
        module.eval_conv.requires_grad_(False)
        module.update_params = partial(_merge, module)
    return network.train()


def merge(network: nn.Module) -> None:
    """Compute merged convolutions of what they are made of."""
    for module in _merged(network):
        if not any(parameter.is_meta for parameter in module.parameters()):
            _merge(module)


def _merged(network: nn.Module) -> list[Any]:
    found = [module for module in network.modules() if isinstance(getattr(module, "eval_conv", None), nn.Module)]
    return [module for module in found if hasattr(type(module), "update_params")]


def _merge(module: Any) -> None:
    if not torch.compiler.is_exporting():
        type(module).update_params(module)


@contextmanager
def exportable(network: nn.Module) -> Iterator[None]:
    """Context in which `torch.export` follows a network of windows for any number of images.

    Such networks count images by a division of floats, which would fix their number. Nothing changes otherwise.
    """
    home = vars(sys.modules[type(network).__module__])
    own = {name: home[name] for name in _TOGETHER if name in home and torch.compiler.is_exporting()}
    home.update({name: _TOGETHER[name] for name in own})
    try:
        yield
    finally:
        home.update(own)


def _reverse(windows: Tensor, window_size: int | tuple[int, int], height: int, width: int) -> Tensor:
    """Windows ``(N, rows, columns, C)``, or ``(N, rows * columns, C)``, to images ``(B, height, width, C)``."""
    rows, columns = (window_size, window_size) if isinstance(window_size, int) else window_size
    grid = windows.view(-1, height // rows, width // columns, rows, columns, windows.shape[-1])
    return grid.transpose(2, 3).reshape(-1, height, width, windows.shape[-1])


_TOGETHER = {
    "window_reverse": _reverse,
    "windows2img": lambda windows, rows, columns, height, width: _reverse(windows, (rows, columns), height, width),
}
"""What puts windows together, by the names that architectures have for it."""


def result(output: Any) -> Tensor:
    """The image of a network that returns it first of several results."""
    return output[0] if isinstance(output, list | tuple) else output


def is_called_plainly(descriptor: Any) -> bool:
    """Whether a network is called with an image alone, and its `result` is the image.

    Spandrel wraps some networks (noise levels, patches, other ranges); those are tried with an image.
    """
    if descriptor._call_fn.__module__.endswith("model_descriptor"):
        return True
    side = max(descriptor.size_requirements.minimum, descriptor.size_requirements.multiple_of, 16)
    image = torch.rand(1, descriptor.input_channels, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        try:
            plain = result(descriptor.model.eval()(image))
        except (RuntimeError, ValueError, TypeError):
            return False
        wrapped = descriptor._call_fn(descriptor.model, image)
    return plain.shape == wrapped.shape and torch.allclose(plain, wrapped, atol=1e-5)


def pad(image: Tensor, right: int, bottom: int) -> Tensor:
    """Mirror what there is to mirror, repeat the edge beyond that."""
    height, width = image.shape[-2:]
    mirrored = (min(right, width - 1), min(bottom, height - 1))
    image = F.pad(image, (0, mirrored[0], 0, mirrored[1]), mode="reflect")
    return F.pad(image, (0, right - mirrored[0], 0, bottom - mirrored[1]), mode="replicate")


def reason(error: Exception) -> str:
    """The first line of an error."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
