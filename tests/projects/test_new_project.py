"""A project for a user's weights and photos: what is written, what runs, and what is refused."""

import errno
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from adc_spandrel import Spandrel, SpandrelStudent
from killed import adc as run_commands
from PIL import Image

from adc import projects
from adc.cli import checking
from adc.cli.run import plan
from adc.errors import UsageError
from adc.interfaces import Teacher
from adc.ops.clip import upsample_bicubic
from adc.projects import lr, new, project
from adc.projects.photos import look_at
from adc.projects.systems import SYSTEMS
from adc.projects.timing import Machine, Step, updates_in
from adc.pruning import load_student

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("ADC_SHARED", ROOT.parent / "shared")) / "data"
HEAVY = ("torch_pruning", "spandrel", "torch.utils.tensorboard")


def save_photos(folder, count, side):
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(count):
        small = Image.fromarray(generator.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8))
        small.resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{number:02}.png")


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A user's folder: weights of small random networks, and photos."""
    folder = tmp_path_factory.mktemp("desk")
    torch.manual_seed(0)
    arguments = {"num_feat": 16, "num_conv": 2}
    torch.save(SpandrelStudent(architecture="Compact", arguments=arguments).network.state_dict(), folder / "sr.pth")
    clean = {"in_nc": 3, "out_nc": 3, "nc": 8, "nb": 4}
    torch.save(SpandrelStudent(architecture="DnCNN", arguments=clean).network.state_dict(), folder / "clean.pth")
    torch.save({"weight": torch.zeros(2, 2)}, folder / "other.pth")
    (folder / "text.pth").write_text("no weights")
    save_photos(folder / "photos", 4, 144)
    save_photos(folder / "tiny", 3, 64)
    save_photos(folder / "one", 1, 144)
    (folder / "none").mkdir()
    (folder / "broken").mkdir()
    for name in ("a.png", "b.jpg"):
        (folder / "broken" / name).write_text("no image")
    (folder / "full").mkdir()
    (folder / "full" / "notes.txt").write_text("mine")
    return folder


@pytest.fixture(scope="module")
def written(desk):
    """A project of that folder, what was said of it, and the commands that come next."""
    said = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(desk)
        following = projects.new_project("mine", "sr.pth", "photos", minutes=0.002, say=said.__setitem__)
    return said, following


def recipe(desk, name):
    return yaml.safe_load((desk / "mine" / name).read_text())


def test_what_was_found_is_said(written):
    said, following = written
    assert list(said) == ["teacher", "photos", "LR", "student", "training", "needs", "written"]
    assert said["teacher"].startswith("sr.pth: Compact, enlarges 4 times, 0.0")
    assert said["photos"] == "photos: 4, of which 3 to train on and 1 to validate"
    assert "as Real-ESRGAN makes it" in said["LR"] and "dB from bicubic interpolation" in said["LR"]
    assert "4 crops of 128 x 128" in said["training"] and "20 of them; few" in said["training"]
    assert following == ["adc run mine", "adc upscale PHOTO -o large.png --student mine/runs/1_distill"]


def test_recipes_have_the_users_paths_and_their_comments(desk, written):
    for name in (project.PRUNE, project.DISTIL, project.REPORT):
        text = (desk / "mine" / name).read_text()
        assert "weights/teacher.pth" not in text and "data/photos" not in text and "runs/new" not in text
        template = (ROOT / "recipes" / "new" / name).read_text()
        assert [line.partition(" #")[2] for line in text.splitlines()] == [
            line.partition(" #")[2] for line in template.splitlines()
        ]
    splits = [recipe(desk, name)["data"]["init_args"]["validation_split"] for name in (project.DISTIL, project.REPORT)]
    assert splits == [1, 1]


def test_what_is_cut_is_what_was_asked_for(desk, written):
    assert written[0]["student"].startswith(
        f"{recipe(desk, project.PRUNE)['ratios']['network']:.1%} of the channels go"
    )
    assert 20 < float(written[0]["student"].partition("M parameters, ")[2].partition("%")[0]) <= 25.8


def test_the_recipes_are_read_by_their_commands(desk, written, monkeypatch):
    monkeypatch.chdir(desk)
    steps = plan("mine")
    assert [step.command for step in steps] == ["prune", "fit", "report"]
    assert [str(step.run) for step in steps] == [f"mine/runs/{step.name}" for step in steps]
    assert checking.first_complaint([step.arguments for step in steps]) is None


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_project_runs_from_weights_to_a_large_photo(desk, written, monkeypatch):
    monkeypatch.chdir(desk)
    jobs = {step.name: step.arguments for step in plan("mine")}
    jobs["upscale"] = ["upscale", "photos/00.png", "-o", "large.png", "--student", "mine/runs/1_distill"]
    for name, ended in run_commands(desk, jobs, *HEAVY).items():
        assert ended["status"] == 0, f"{name}: {ended['output']}"
    with Image.open("large.png") as image:
        assert image.size == (576, 576)
    figures = json.loads(Path("mine/runs/2_report/report.json").read_text())
    assert [image["name"] for image in figures["images"]] == ["02"]
    report = figures["restorers"]
    assert set(report) == {"bicubic", "pruned only", "student", "teacher"}
    assert report["student"]["macs"] <= 0.258 * report["teacher"]["macs"]
    assert report["student"]["agreement"] != report["pruned only"]["agreement"]
    before, after = (load_student(f"mine/runs/{stage}").state_dict() for stage in ("0_prune", "1_distill"))
    assert all(not torch.equal(tensor, after[name]) for name, tensor in before.items())


WRONG = {
    "no weights": ({"teacher": "lost.pth"}, r"^--teacher lost\.pth: no such file; name the weights of a"),
    "weights of another kind": ({"teacher": "other.pth"}, r"^--teacher: other\.pth: spandrel .* does not know"),
    "a folder of weights": ({"teacher": "photos"}, r"^--teacher photos: is a folder; name the weights"),
    "no file of weights": ({"teacher": "photos/00.png"}, r"^--teacher: photos/00\.png: not a file of weights"),
    "text": ({"teacher": "text.pth"}, r"^--teacher: text\.pth: "),
    "a folder that holds something": ({"folder": "full"}, r"^full: holds something already; name another folder"),
    "a folder that is a file": ({"folder": "sr.pth"}, r"^sr\.pth: is a file; name another folder"),
    "no folder of photos": ({"photos": "lost"}, r"^--photos: lost: no such folder"),
    "no photos": ({"photos": "none"}, r"^--photos: none"),
    "one photo": ({"photos": "one"}, r"^--photos one: holds one photo; give two at least"),
    "a photo for a folder": ({"photos": "photos/00.png"}, r"^--photos photos/00\.png: is a file; name the folder"),
    "no photo that can be read": ({"photos": "broken"}, r"^--photos broken: not one of its 2 images can be read"),
    "photos too small": ({"photos": "tiny"}, r"^--photos tiny: no photo is as large as a crop, 128 x 128 .* 64 x 64"),
    "another scale": ({"scale": 2}, r"^--scale 2: the network of sr\.pth enlarges 4 times; leave --scale out"),
    "no target": ({"target": "25%"}, r"^--target 25%: expected the share"),
    "a target that cannot be met": ({"target": "macs=0.1%"}, r"^--target macs=0\.1%: cannot be met; .*ask for macs=\d"),
    "no minutes": ({"minutes": 0.0}, r"^--minutes 0: "),
    "a system's target": (
        {"system": "adcsr", "target": "macs=25%"},
        r"^--target: the recipes of adcsr have the paper's",
    ),
    "a system's scale": ({"system": "adcsr", "scale": 2}, r"^--scale 2: adcsr enlarges 4 times"),
    "a system without weights": ({"system": "duovsr", "teacher": "lost"}, r"^--teacher lost: .*weights/wan is made\.$"),
    "a system without data": ({"system": "adcvsr", "photos": "lost"}, r"^--photos lost: no such folder"),
    "a system of nothing": ({"system": "adcvsr", "photos": "none"}, r"^--photos none: is empty; name the folder"),
    "a network that enlarges nothing": ({"teacher": "clean.pth"}, r"^--teacher: clean\.pth: DnCNN is for restoration"),
}


@pytest.mark.parametrize("slip", WRONG)
def test_what_does_not_fit_is_one_line_and_nothing_is_written(desk, monkeypatch, slip):
    changes, says = WRONG[slip]
    monkeypatch.chdir(desk)
    before = sorted(desk.rglob("*"))
    given = {"folder": "new", "teacher": "sr.pth", "photos": "photos", **changes}
    with pytest.raises(UsageError, match=says) as raised:
        projects.new_project(**given)
    assert "\n" not in str(raised.value)
    assert sorted(desk.rglob("*")) == before


def test_what_was_written_goes_where_the_disk_is_full(desk, monkeypatch):
    monkeypatch.chdir(desk)
    written = []

    def write(path, text):
        if written:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        written.append(path)

    monkeypatch.setattr(new.runs, "write_text", write)
    with pytest.raises(OSError, match="No space left"):
        projects.new_project("disk", "full", "photos", system="adcsr")
    assert written and not [path for path in Path("disk").rglob("*") if path.is_file()]


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_the_recipes_of_a_system_have_the_users_paths(desk, monkeypatch, system):
    monkeypatch.chdir(desk)
    said = {}
    following = projects.new_project(system, "full", "photos", system=system, say=said.__setitem__)
    assert following == [f"adc run {system} --dry-run"]
    text = "".join(path.read_text() for path in sorted(Path(system).glob("[0-9]*.yaml")))
    assert "photos" in text and f"runs/{system}/" not in text
    assert SYSTEMS[system].teacher not in [value.strip("}") for value in text.split()]
    assert (Path(system) / "README.md").is_file()
    assert all(named not in said["missing"] for named in ("photos", "data/videos", "data/openimages"))
    steps = plan(system)
    assert [step.run.parent for step in steps] == [Path(system, "runs")] * len(steps)
    jobs = [step.arguments for step in steps if step.command != "bench"]  # which looks for a GPU
    assert checking.first_complaint(jobs) is None


class BackProjection(Teacher):
    """Bicubic interpolation, corrected until its reduction is LR: it is for bicubic reductions and nothing else."""

    def __init__(self, rounds):
        super().__init__()
        self.rounds = rounds

    def restore(self, lr, generator=None):
        large = upsample_bicubic(lr, 4)
        for _ in range(self.rounds):
            small = F.interpolate(large[:, 0], scale_factor=0.25, mode="bicubic", antialias=True)
            large = large + upsample_bicubic(lr - small[:, None], 4)
        return large


@pytest.mark.parametrize(
    ("rounds", "chosen", "says"), [(0, "SecondOrder", r"\+0\.0 dB"), (8, "BicubicDown", r"\+\d\.\d dB")]
)
def test_what_a_network_was_trained_for_is_measured(desk, rounds, chosen, says):
    node, reason = lr.degradation_of("auto", BackProjection(rounds), look_at(str(desk / "photos"), 128), 128)
    assert node["class_path"] == chosen and node["init_args"]["scale"] == 4
    assert re.search(says, reason)


def test_real_esrgan_was_not_trained_for_reductions():
    weights = SHARED / "weights" / "realesr-general-x4v3_fp16.pth"
    if not weights.is_file():
        pytest.skip("no trained weights here")
    photos = look_at(str(SHARED / "images" / "val_drealsr16" / "HR"), 128)
    assert lr.gain_on_reductions(Spandrel(str(weights)), photos, 128) < 0


def test_updates_fill_the_minutes():
    assert updates_in(10, Step(0.5, 0)) == 1000
    assert updates_in(10, Step(0.41, 0)) == 1200
    assert updates_in(0.001, Step(1.0, 0)) == 20


def test_crops_are_multiples_of_what_the_network_computes_with():
    windows = SpandrelStudent(architecture="Compact", arguments={"num_feat": 8, "num_conv": 1})
    assert project.crop(32, windows) == 32
    windows.multiple = 24
    assert project.crop(32, windows) == 48


def test_the_machine_has_a_setting_for_each_key():
    machine = Machine.here()
    assert machine.batch >= 1 and machine.workers >= 0 and machine.precision in ("32-true", "bf16-mixed")
