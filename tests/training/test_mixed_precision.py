"""Mixed precision where a CPU has no kernels for it: float32, and one line that says so."""

from pathlib import Path

import pytest
import torch

from adc.cli.parser import load_components
from adc.cli.train import RecipeCLI
from adc.training import precision
from adc.training.precision import affordable, has_kernels

RECIPES = Path(__file__).parents[2] / "recipes" / "tiny"


@pytest.fixture(params=[True, False], ids=["kernels", "no kernels"])
def kernels(request, monkeypatch):
    monkeypatch.setattr(precision, "has_kernels", lambda kind: request.param)
    return request.param


@pytest.mark.parametrize("asked", ["bf16-mixed", "bf16", "16-mixed"])
def test_mixed_precision_on_a_cpu(kernels, asked):
    assert affordable(asked, "cpu") == (asked if kernels else "32-true")
    assert affordable(asked, "gpu") == asked


@pytest.mark.parametrize("asked", [None, 32, "32-true", "bf16-true", "64-true"])
def test_other_precisions_stay(kernels, asked):
    assert affordable(asked, "cpu") == asked


def test_what_this_cpu_says():
    """The instruction sets that oneDNN needs: bfloat16 with AVX-512, or AVX-NE-CONVERT; none with AVX2 alone."""
    if torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "NO AVX"):
        assert not has_kernels("bf16")
    if torch.cpu._is_amx_tile_supported():
        assert has_kernels("bf16")


@pytest.mark.parametrize("asked", ["bf16-mixed", "32-true"])
def test_a_run_says_it_once(kernels, asked, tmp_path, capsys, monkeypatch):
    from adc_tiny import TinyStudent

    from adc.pruning import save_student

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("adc.progress._visible", True)
    save_student(TinyStudent(), tmp_path / "runs/tiny/0_prune")
    load_components(training=True)
    options = ["--trainer.precision", asked, "--trainer.fast_dev_run", "true"]
    cli = RecipeCLI("fit", ["-c", str(RECIPES / "1_decoder.yaml"), *options])
    changed = asked == "bf16-mixed" and not kernels
    assert cli.trainer.precision == ("32-true" if changed else asked)
    said = [line for line in capsys.readouterr().err.splitlines() if "trainer.precision" in line]
    assert len(said) == changed
    assert cli.config.trainer.precision == asked
