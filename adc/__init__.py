"""adc: large diffusion super-resolution teachers into small, fast students.

What commands do, functions do in a notebook. They return plain data, print nothing, and raise ValueError::

    upscaler = adc.load("runs/demo/2_distill")
    large = upscaler(image)  # PIL image, array, tensor or path
    upscaler.video("clip.mp4", "large.mp4")
    figures = adc.evaluate("large/", "truth/")

Nothing is imported before a name is used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adc.evaluation.benchmark import bench
    from adc.evaluation.evaluate import evaluate
    from adc.evaluation.prune import prune
    from adc.exporting.job import export
    from adc.inference.upscaler import load

__version__ = "0.1.0"
__all__ = ["bench", "evaluate", "export", "load", "prune"]

_HOMES = {
    "load": "adc.inference.upscaler",
    "evaluate": "adc.evaluation.evaluate",
    "bench": "adc.evaluation.benchmark",
    "export": "adc.exporting.job",
    "prune": "adc.evaluation.prune",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    globals()[name] = found = getattr(import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
