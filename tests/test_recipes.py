"""Every recipe is read by the parser of its command, also under every overlay; the tiny ones run from end to end."""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
import yaml
from killed import adc

from adc.cli import COMMANDS, train
from adc.cli.parser import OneLineErrors
from adc.cli.run import plan
from adc.media.images import read_image
from adc.pruning import load_student
from adc.runs import COMMAND_OF_KEY

HERE = Path(__file__).parent
RECIPES = HERE.parent / "recipes"
OVERLAYS = sorted((RECIPES / "trainer").glob("*.yaml"))
MEMORY = sorted(RECIPES.glob("*/memory/*.yaml"))
TEACHERS = sorted(RECIPES.glob("*/teachers/*.yaml"))
STAGES = sorted(path for path in RECIPES.rglob("*.yaml") if path not in OVERLAYS + MEMORY + TEACHERS)
TRAINED = [path for path in STAGES if "model" in yaml.safe_load(path.read_text())]
TINY = RECIPES / "tiny"
FULL_SIZE = [path for path in TRAINED if not path.is_relative_to(TINY)]
TWINS = {path: TINY / path.relative_to(RECIPES / "demo") for path in sorted((RECIPES / "demo").rglob("*.yaml"))}
TWINS |= {
    path: TINY / path.relative_to(RECIPES)
    for path in STAGES
    if path.parent.name in ("adcsr", "adcvsr", "demo_video", "duovsr", "demo_duo", "realesrgan")
    and not path.is_relative_to(TINY)
}

HEAVY = (
    "diffusers.models.autoencoders.autoencoder_kl",
    "diffusers.models.autoencoders.autoencoder_kl_wan",
    "diffusers.models.transformers.transformer_wan",
    "diffusers.models.unets.unet_2d_condition",
    "lpips",
    "peft",
    "torch.utils.tensorboard",
    "torch_pruning",
)
"""What the steps of the twins import; once for all of them."""


def name(path):
    return str(path.relative_to(RECIPES))


def command_of(path):
    return next(command for key, command in COMMAND_OF_KEY.items() if key in yaml.safe_load(path.read_text()))


class Parsed(BaseException):
    """Ends a command when its recipe is read."""


READ = {}
"""What has been read, by the recipes in their order."""


@pytest.fixture
def parse(monkeypatch, tmp_path):
    """Reads recipes, the first of which says the command, and builds nothing."""
    monkeypatch.chdir(tmp_path)
    read = OneLineErrors.parse_args

    def stop(self, args=None, namespace=None, **options):
        raise Parsed(read(self, args, namespace, **options))

    def run(*recipes):
        if recipes not in READ:
            READ[recipes] = read_once(*recipes)
        return READ[recipes]

    def read_once(*recipes):
        module, function, _ = COMMANDS[command_of(recipes[0])]
        with monkeypatch.context() as patched, pytest.raises(Parsed) as parsed:
            patched.setattr(OneLineErrors, "parse_args", stop)
            getattr(import_module(module), function)([word for path in recipes for word in ("-c", str(path))])
        return parsed.value.args[0]

    return run


@pytest.mark.parametrize("recipe", STAGES, ids=name)
def test_a_recipe_is_read_by_its_command(parse, recipe):
    config = parse(recipe)
    folder = config.trainer.default_root_dir if command_of(recipe) == "fit" else config.folder
    assert folder and not Path(folder).is_absolute()


@pytest.mark.parametrize("recipe", TRAINED, ids=name)
def test_a_recipe_says_when_it_ends_and_what_it_leaves(recipe):
    content = yaml.safe_load(recipe.read_text())
    callbacks = {callback["class_path"]: callback.get("init_args", {}) for callback in content["trainer"]["callbacks"]}
    assert {"StopAfter", "SaveEvery", "Export"} <= set(callbacks)
    roles = content["model"]["init_args"]["roles"]
    for callback in ("StopAfter", "SaveEvery"):
        assert callbacks[callback]["role"] in roles
    end = callbacks["StopAfter"]
    schedule = roles[end["role"]].get("scheduler")
    if schedule is not None and "total_steps" in schedule["init_args"]:
        assert schedule["init_args"]["total_steps"] == end["updates"]


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.stem)
def test_an_overlay_changes_the_trainer_alone(parse, overlay):
    for recipe in FULL_SIZE:
        plain, laid = parse(recipe), parse(recipe, overlay)
        assert laid.model == plain.model and laid.data == plain.data
        for key, value in yaml.safe_load(overlay.read_text())["trainer"].items():
            found = laid.trainer[key]
            assert found.class_path == value["class_path"] if isinstance(value, dict) else found == value
        assert laid.trainer.default_root_dir == plain.trainer.default_root_dir


@pytest.mark.parametrize("overlay", MEMORY, ids=name)
def test_an_overlay_for_memory_changes_no_loss(parse, overlay):
    recipe = next(overlay.parents[1].glob("2_*.yaml"))
    plain, laid = parse(recipe), parse(recipe, overlay)
    assert laid.model.class_path == plain.model.class_path and laid.trainer == plain.trainer
    changed = {key for key, value in laid.model.init_args.items() if value != plain.model.init_args[key]}
    assert changed <= {"accumulate", "gradient_checkpointing"}
    published = 12 if recipe.parent.name == "adcsr" else 1
    assert laid.data.init_args.batch_size * laid.model.init_args.accumulate == published


@pytest.mark.parametrize("overlay", TEACHERS, ids=name)
def test_an_overlay_for_another_teacher_changes_what_belongs_to_it(parse, overlay):
    recipe = next(overlay.parents[1].glob("2_*.yaml"))
    plain, laid = parse(recipe), parse(recipe, overlay)
    for part, expected in (("model", "teacher"), ("data", "degradation")):
        before, after = (config[part].init_args.as_dict() for config in (plain, laid))
        assert {key for key in after if after[key] != before[key]} == {expected}
    assert laid.trainer.callbacks == plain.trainer.callbacks
    assert laid.trainer.default_root_dir != plain.trainer.default_root_dir


def test_adcvsr_begins_with_the_student_of_pisasr(parse):
    laid = parse(RECIPES / "adcsr" / "2_distill.yaml", RECIPES / "adcsr" / "teachers" / "pisasr.yaml")
    assert laid.model.init_args.teacher.class_path == "adc_sd21.PiSASR"
    assert laid.data.init_args.degradation.init_args.preset == "pisasr"
    first = parse(RECIPES / "adcvsr" / "1_regression.yaml")
    assert first.model.init_args.student.init_args.artifact == laid.trainer.default_root_dir


@pytest.mark.parametrize("recipe", TWINS, ids=name)
def test_a_recipe_has_a_tiny_twin(recipe):
    twin = TWINS[recipe]
    assert twin.is_file()
    assert command_of(twin) == command_of(recipe)
    stages = [yaml.safe_load(path.read_text()).get("model", {}).get("class_path") for path in (recipe, twin)]
    assert stages[0] == stages[1]


def run_tiny(folder, *options):
    environment = {**os.environ, "ADC_PLUGIN_PATH": str(HERE / "training" / "plugins"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "adc", "run", str(TINY), *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1200)


def run_twins(folder, system):
    """Run the steps of ``adc run recipes/tiny/SYSTEM``, with its commands, in one process that has all imported."""
    jobs = {step.name: step.arguments for step in plan(str(TINY / system))}
    for name, ended in adc(folder, jobs, *HEAVY, timeout=1200).items():
        assert ended["status"] == 0, f"{name}: {ended['output']}"


@pytest.mark.slow
def test_the_tiny_recipes_run_and_go_on_when_they_are_killed(tmp_path, monkeypatch):
    killing = {"class_path": "Kill", "init_args": {"batch": 13, "role": "discriminators"}}
    overlay = tmp_path / "killing.yaml"
    overlay.write_text(yaml.safe_dump({"trainer": {"callbacks+": [killing]}}))
    killed = run_tiny(tmp_path, "-c", str(overlay))
    assert killed.returncode == 137, killed.stderr
    assert "2_distill failed with status 137; the same command goes on from there" in killed.stderr

    done = run_tiny(tmp_path, "-c", str(overlay))
    assert done.returncode == 0, done.stderr
    assert "[1/4] 0_prune: finished" in done.stdout and "[2/4] 1_decoder: finished" in done.stdout
    assert "resuming from runs/tiny/2_distill/checkpoints/00000012.ckpt" in done.stdout

    monkeypatch.chdir(tmp_path)
    train.predict(["-c", str(TINY / "2_distill.yaml")])
    for photo in ("astronaut", "chelsea"):
        assert read_image(f"runs/tiny/2_distill/predictions/{photo}.png").shape == (64, 64, 3)
    assert [step.state for step in plan(str(TINY), [str(overlay)])] == ["finished"] * 4
    students = [load_student(f"runs/tiny/{stage}") for stage in ("0_prune", "1_decoder", "2_distill")]
    sizes = [sum(p.numel() for p in student.parameters()) for student in students]
    assert sizes[0] == sizes[1] == sizes[2]
    report = json.loads(Path("runs/tiny/3_report/report.json").read_text())
    assert set(report["restorers"]) == {"bicubic", "teacher", "student"}
    assert report["restorers"]["student"]["parameters"] == sizes[2]
    assert [stage["name"] for stage in report["stages"]] == ["0_prune", "1_decoder", "2_distill"]
    assert report["stages"][2]["updates"] == {"student": 24, "discriminators": 24}
    for name in ("report.html", "samples.png"):
        assert Path("runs/tiny/3_report", name).stat().st_size > 1000


@pytest.fixture(scope="module")
def of_adcsr(tmp_path_factory):
    """Where the tiny twins of AdcSR have run."""
    folder = tmp_path_factory.mktemp("adcsr")
    run_twins(folder, "adcsr")
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_tiny_twins_of_adcsr_run(of_adcsr, monkeypatch):
    monkeypatch.chdir(of_adcsr)
    pretrained, distilled = (load_student(f"runs/tiny/adcsr/{stage}") for stage in ("1_decoder", "2_distill"))
    before, after = pretrained.state_dict(), distilled.state_dict()
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert changed and not any(name.startswith("decoder.") for name in changed)
    assert any(name.startswith("mid_block.") for name in changed)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_tiny_twins_of_adcvsr_run(of_adcsr, monkeypatch):
    run_twins(of_adcsr, "adcvsr")
    monkeypatch.chdir(of_adcsr)
    image = load_student("runs/tiny/adcsr/2_distill").state_dict()
    first, second = (load_student(f"runs/tiny/adcvsr/{stage}") for stage in ("1_regression", "2_adversarial"))
    before, after = first.state_dict(), second.state_dict()
    assert before.keys() == after.keys() > image.keys()
    assert any(name.startswith("temporal.") and before[name].any() for name in before if ".second." in name)
    assert any(not torch.equal(before[name], after[name]) for name in before)
    heads = json.loads(Path("runs/tiny/adcvsr/2_adversarial/heads.json").read_text())
    assert set(heads) == {"pixel", "feature"}
    assert all(set(found) == {"detail", "consistency"} for found in heads.values())


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_tiny_twins_of_the_video_demo_run(of_adcsr, monkeypatch):
    run_twins(of_adcsr, "demo_video")
    monkeypatch.chdir(of_adcsr)
    report = json.loads(Path("runs/tiny/demo_video/report/report.json").read_text())
    assert set(report["restorers"]) == {"bicubic", "teacher", "frames", "temporal", "one head", "student"}
    assert [set(stage.get("heads", ())) for stage in report["stages"]] == [set(), set(), *[{"pixel", "feature"}] * 2]
    assert all(row["flicker"] > 0 and row["sharpness"] > 0 for row in report["restorers"].values())


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_tiny_twins_of_realesrgan_run(tmp_path, monkeypatch):
    pytest.importorskip("spandrel")
    run_twins(tmp_path, "realesrgan")
    monkeypatch.chdir(tmp_path)
    cut, distilled, trained = (
        load_student(f"runs/tiny/realesrgan/{stage}").state_dict()
        for stage in ("0_prune", "1_distill", "2_adversarial")
    )
    assert cut["network.model.0.weight"].shape[0] == 4
    for before, after in ((cut, distilled), (distilled, trained)):
        assert all(tensor.shape == after[name].shape for name, tensor in before.items())
        assert all(not torch.equal(tensor, after[name]) for name, tensor in before.items())
    report = json.loads(Path("runs/tiny/realesrgan/3_report/report.json").read_text())
    assert set(report["restorers"]) == {"bicubic", "distilled", "student"}


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("system", ["duovsr", "demo_duo"])
def test_the_tiny_twins_of_duovsr_run(tmp_path, monkeypatch, system):
    run_twins(tmp_path, system)
    monkeypatch.chdir(tmp_path)
    before, after = {"duovsr": ("3_dual_stream", "5_refine"), "demo_duo": ("4_joint", "8_refine")}[system]
    first, second = (load_student(f"runs/tiny/{system}/{stage}").state_dict() for stage in (before, after))
    changed = {name for name, tensor in first.items() if not torch.equal(tensor, second[name])}
    assert changed and all(name.startswith("denoiser.") for name in changed)
    if system == "duovsr":
        cut, pretrained, conditional = (
            load_student(f"runs/tiny/duovsr/{stage}").state_dict()
            for stage in ("6_prune", "7_decoder", "8_conditional")
        )
        moved = {name for name, tensor in cut.items() if not torch.equal(tensor, pretrained[name])}
        assert moved and all(name.startswith("decoder.network.") for name in moved)
        kept = {name for name in conditional if not name.startswith("decoder.")}
        assert kept == {name for name in cut if not name.startswith("decoder.")}
        assert all(torch.equal(conditional[name], cut[name]) for name in kept)
    if system == "demo_duo":
        samplers = json.loads(Path("runs/tiny/demo_duo/report/report.json").read_text())["samplers"]
        assert samplers["guidance in one forward, two steps"]["end_distance"] == 0
        assert samplers["truth"]["sharpness_ratio"] == pytest.approx(1)
