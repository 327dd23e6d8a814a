"""What is in the wheel: recipes, the demo's teacher and student, pages; and it works where there is no clone."""

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from adc import recipe_files
from adc.errors import UsageError

ROOT = Path(__file__).parents[1]
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.egg-info")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The files of a wheel that was built from a copy, without a network."""
    if find_spec("setuptools") is None:
        pytest.skip("setuptools is not installed")
    copy, folder = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for name in ("adc", "plugins", "recipes"):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=LEFT_OUT)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    subprocess.run([sys.executable, "-c", BUILD, str(folder)], cwd=copy, capture_output=True, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder / "site")
    return folder / "site"


@pytest.mark.slow
def test_a_wheel_holds_what_commands_need(installed):
    found = {path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()}
    recipes = [path for path in (ROOT / "recipes").rglob("*") if path.is_file()]
    assert {f"adc/{path.relative_to(ROOT)}" for path in recipes} <= found
    for place in ("adc_sd21/students/demo", "adc_sd21/demo_teacher"):
        own = [path for path in (ROOT / "plugins" / place).rglob("*") if path.is_file() and path.suffix != ".pyc"]
        assert own and {path.relative_to(ROOT / "plugins").as_posix() for path in own} <= found
    assert {"adc/py.typed", "adc/evaluation/report.html"} <= found
    tops = {name.partition("/")[0] for name in found}
    assert not tops & {"recipes", "tests", "tools", "docs", "build"}, tops


@pytest.mark.slow
def test_recipes_are_copied_where_there_is_no_clone(installed, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "adc", "recipes", "demo"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "recipes/demo: copied; `adc run recipes/demo --dry-run` goes on.\n"
    for path in (ROOT / "recipes" / "demo").rglob("*.yaml"):
        assert (tmp_path / path.relative_to(ROOT)).read_bytes() == path.read_bytes()


def test_folders_and_their_recipes():
    found = recipe_files.recipe_folders()
    assert found["demo"] == ["0_prune", "1_decoder", "2_distill", "3_report"]
    assert set(found) == {path.name for path in (ROOT / "recipes").iterdir() if path.is_dir()}


def test_a_place_that_is_taken_and_a_name_that_is_not_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert recipe_files.copy_recipes("trainer", "empty") == Path("empty")
    assert recipe_files.copy_recipes("demo") == Path("recipes/demo")
    for name, folder, says in (
        ("demo", None, "recipes/demo is there already; name another folder: adc recipes demo -o FOLDER"),
        ("demoo", None, "there are no recipes 'demoo'; did you mean demo"),
    ):
        with pytest.raises(UsageError, match=says):
            recipe_files.copy_recipes(name, folder)


def test_the_command_lists_them():
    done = subprocess.run([sys.executable, "-m", "adc", "recipes"], capture_output=True, text=True, check=True)
    assert "demo_duo" in done.stdout and "2_distill" in done.stdout and "adc recipes NAME" in done.stdout
