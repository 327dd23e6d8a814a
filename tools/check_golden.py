"""Compares what adc computes with a golden file: outputs of published code on weights that are drawn from their names.

python tools/check_golden.py golden/adcsr_32x48.safetensors

Prints the deviations as JSON; the exit status is 1 if one of them is beyond its tolerance, or if the file holds a
tensor that is neither an input nor compared.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

LAYOUTS = {
    "student_features": "_golden_adcsr",
    "restored": "_golden_dove",
    **dict.fromkeys(("direction", "v_guided", "inside", "hinge_student"), "_golden_formulas"),
    "posterior_mean": "_golden_wan_vae",
    "hidden_1": "_golden_wan",
}
"""The module that computes a layout, by a tensor that only files of that layout hold."""


class Watched(dict[str, Tensor]):
    """Tensors of a golden file, and the names of those that were read."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__(tensors)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Tensor:
        """A tensor; it counts as read."""
        self.read.add(name)
        return super().__getitem__(name)


def check(path: Path, say: Any) -> dict[str, Any]:
    """Compute everything that a golden file holds, and compare.

    Args:
        path: The safetensors file; its JSON lies beside it.
        say: Called with lines of progress.

    Returns:
        ``{"passed": bool, "deviations": {name: {"deviation", "measure", "tolerance", "passed"}}, "unknown": [name]}``;
        unknown are tensors that are neither inputs nor compared: a file with one has not passed.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If the layout is unknown, or the file lacks something.
    """
    for file in (path, path.with_suffix(".json")):
        if not file.is_file():
            raise FileNotFoundError(f"{file}: no such file.")
    golden, facts = Watched(load_file(path)), json.loads(path.with_suffix(".json").read_text())
    layouts = [importlib.import_module(module) for tensor, module in LAYOUTS.items() if tensor in golden]
    if not layouts:
        raise ValueError(f"{path}: of no known layout; one holds one of these tensors: {', '.join(LAYOUTS)}.")
    deviations, tolerances = {}, layouts[0].tolerances(facts)
    with tempfile.TemporaryDirectory(prefix="golden-") as home:
        for name, value in layouts[0].computed(golden, facts, Path(home), say):
            measure, tolerance = tolerances[name.split()[0]]
            deviation = _deviation(_as_tensor(value), _expected(name.partition(" (")[0], golden, facts, path), measure)
            deviations[name] = {
                "deviation": deviation,
                "measure": measure,
                "tolerance": tolerance,
                "passed": deviation <= tolerance,
            }
    unknown = sorted(golden.keys() - golden.read)
    passed = all(entry["passed"] for entry in deviations.values()) and not unknown
    return {"passed": passed, "deviations": deviations, "unknown": unknown}


def _as_tensor(value: Any) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64).detach()


def _expected(name: str, golden: dict[str, Tensor], facts: dict[str, Any], path: Path) -> Tensor:
    for held in _places(golden, facts):
        if name in held:
            return _as_tensor(held[name])
    raise ValueError(f"{path}: holds no {name}.")


def _places(golden: dict[str, Tensor], facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield golden
    yield facts
    for key, value in facts.items():
        if key.endswith("_grad_norms"):
            yield {f"gradient {name}": norm for name, norm in value.items()}


def _deviation(ours: Tensor, theirs: Tensor, measure: str) -> float:
    """The largest difference, or the norm of the difference over that of what is expected; infinite if not a number."""
    ours = ours.reshape(theirs.shape)
    off = (ours - theirs).abs().max() if measure == "largest difference" else (ours - theirs).norm() / theirs.norm()
    return float(off) if torch.isfinite(off) else float("inf")


def main(argv: list[str] | None = None) -> int:
    """Check the files named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="+", help="a golden .safetensors; its .json lies beside it")
    parser.add_argument("--threads", type=int, default=None, help="threads to compute with; all cores if not given")
    options = parser.parse_args(argv)
    if options.threads:
        torch.set_num_threads(options.threads)
    passed = True
    for path in options.file:
        try:
            result = check(path, lambda line: print(line, file=sys.stderr, flush=True))
        except (ValueError, OSError) as error:
            sys.stderr.write(f"check_golden: error: {error}\n")
            return 2
        print(json.dumps({"file": path.name, **result}, indent=2))
        passed = passed and result["passed"]
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
