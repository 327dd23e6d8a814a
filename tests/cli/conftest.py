import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from adc import cli, registry
from adc.cli import train  # noqa: F401 (its loggers must not hold the captured stream of one test)

PLUGINS = Path(__file__).parent / "plugins"


def base_recipe(run):
    return {
        "seed_everything": 0,
        "data": {"class_path": "ToyClips", "init_args": {"size": 8}},
        "model": {
            "class_path": "Regression",
            "init_args": {
                "network": {"class_path": "TinyStudent", "init_args": {"width": 4}},
                "losses": [{"class_path": "L1", "init_args": {"weight": 1.0}}],
                "roles": {"network": {"optimizer": {"class_path": "Adam", "init_args": {"lr": 0.001}}, "clip": None}},
            },
        },
        "trainer": {
            "accelerator": "cpu",
            "default_root_dir": str(run),
            "limit_val_batches": 0,
            "callbacks": [
                {"class_path": "StopAfter", "init_args": {"role": "network", "updates": 6}},
                {"class_path": "SaveEvery", "init_args": {"role": "network", "updates": 2}},
            ],
        },
    }


@pytest.fixture
def run(tmp_path):
    """The run folder of `recipe`."""
    return tmp_path / "run"


@pytest.fixture
def toy(monkeypatch):
    """The toy plugin is on ADC_PLUGIN_PATH."""
    monkeypatch.setenv(registry.PATH_VARIABLE, str(PLUGINS))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(registry, "_found", {**registry._found})


@pytest.fixture
def recipe(tmp_path, toy):
    """Writes a recipe, changed by a function, and returns its path."""

    def write(change=lambda content: None, name="recipe.yaml"):
        content = base_recipe(tmp_path / "run")
        change(content)
        path = tmp_path / name
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return str(path)

    return write


@pytest.fixture
def adc(capsys):
    """Runs the command in this process: status, what it printed, and its complaint."""

    def run(*arguments):
        with pytest.raises(SystemExit) as stop:
            cli.main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return stop.value.code or 0, printed.out, printed.err

    return run


@pytest.fixture
def adc_process(tmp_path):
    """Runs the command in a process of its own."""

    def run(*arguments, **environment):
        return subprocess.run(
            [sys.executable, "-m", "adc", *map(str, arguments)],
            cwd=environment.pop("cwd", tmp_path),
            env={**os.environ, "COLUMNS": "200", **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run
