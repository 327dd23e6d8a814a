"""The commands of the README run as they stand there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^\$ (.+)$", README, re.MULTILINE)
ADC = [command for command in COMMANDS if command.startswith("adc ")]


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder in which a demo has been run: a student, a photo, a folder of results."""
    import numpy as np
    from adc_tiny import TinyStudent
    from PIL import Image

    from adc.pruning import save_student

    folder = tmp_path_factory.mktemp("desk")
    (folder / "recipes").symlink_to(ROOT / "recipes")
    (folder / "tools").symlink_to(ROOT / "tools")
    save_student(TinyStudent(), folder / "runs/demo/2_distill")
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "photo.png")
    for name in ("large", "truth"):
        (folder / name).mkdir()
        Image.fromarray(pixels).save(folder / name / "photo.png")
    return folder


def run(words, folder):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_commands():
    assert COMMANDS[:2] == ["make demo", "make test"]
    assert len(ADC) >= 5


@pytest.mark.parametrize("command", ADC)
def test_command(command, desk):
    words = [sys.executable, "-m", *shlex.split(command)]
    if "trainer/gpu.yaml" in command:
        words.append("--print_config")
    assert run(words, desk).strip()


def test_upscale_and_evaluate_leave_what_they_say(desk):
    for command in ADC:
        if command.split()[1] in {"upscale", "evaluate"}:
            run([sys.executable, "-m", *shlex.split(command)], desk)
    from PIL import Image

    assert Image.open(desk / "large.png").size == (192, 128)
    assert '"mean"' in (desk / "figures.json").read_text()


def test_the_notebook_runs_without_the_command_line(desk):
    (source,) = re.findall(r"```python\n(.+?)```", README, re.DOTALL)
    script = desk / "notebook.py"
    script.write_text(
        f"{source}\nimport sys\nassert not [name for name in sys.modules if name.startswith('adc.cli')]\n"
    )
    printed = run([sys.executable, "-W", "error::UserWarning:adc", str(script)], desk)
    assert printed.startswith("(192, 128) {'psnr_y': ")
    assert printed.count("\n") == 1


@pytest.mark.parametrize("target", ["demo", "test", "check", "install"])
def test_make_knows_the_target(target):
    assert "install" in run(["make", "--dry-run", "--always-make", target], ROOT)


def test_the_scaffold_is_where_the_readme_says(desk):
    (line,) = re.findall(r"`python (tools/new_plugin\.py [^`]+)`", README)
    run([sys.executable, *shlex.split(line)], desk)
    assert (desk / "acme_sr" / "pyproject.toml").is_file()


def test_files_that_the_readme_names_exist():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    folders = re.findall(r"^\| `([a-z_/]+)`", README, re.MULTILINE)
    assert links and folders
    for name in [*links, *folders]:
        assert (ROOT / name).exists(), name
