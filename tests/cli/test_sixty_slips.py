"""Slips of a user: each ends in one line that names the key or the file, and nothing else is printed."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TINY = Path(__file__).parents[2] / "recipes" / "tiny"
PRUNE, FIT, REPORT = "0_prune", "1_decoder", "3_report"
COMMANDS = {PRUNE: "prune", FIT: "fit", REPORT: "report"}

RECIPES = {
    "a key at the top": (PRUNE, "student:", "studnt:", "0_prune.yaml:4: a recipe has no 'studnt'"),
    "a key of a component": (PRUNE, "width: 32", "widht: 32", "student.init_args.widht: TinyStudent has no 'widht'"),
    "a key beside class_path": (PRUNE, "TinyStudent, init_args", "TinyStudent, args", "TinyStudent has no 'args'"),
    "a key of another command": (PRUNE, "size: 64", "stages: []", "a recipe has no 'stages'"),
    "a word for a number": (PRUNE, "size: 64", "size: small", "0_prune.yaml:7: size: expected int, got 'small'"),
    "a fraction for a count": (PRUNE, "width: 32", "width: 2.5", "student.init_args.width"),
    "a list for a number": (PRUNE, "width: 32", "width: [32]", "student.init_args.width"),
    "a number with a comma": (PRUNE, "body: 0.5", "body: '0,5'", "expected float, got '0,5'"),
    "a ratio that is a word": (PRUNE, "body: 0.5", "body: half", "expected float, got 'half'"),
    "a word for a mapping": (PRUNE, "ratios: {body: 0.5, decoder: 0.5}", "ratios: half", "ratios"),
    "a list for a mapping": (PRUNE, "ratios: {body: 0.5, decoder: 0.5}", "ratios: [0.5]", "ratios"),
    "a number for a component": (PRUNE, "importance: Prefix", "importance: 3", "importance"),
    "a list for a component": (PRUNE, "importance: Prefix", "importance: [Prefix]", "importance"),
    "null for a number": (PRUNE, "size: 64", "size: null", "0_prune.yaml:7: size: expected int, got null."),
    "null for an argument": (PRUNE, "width: 32", "width: null", "student.init_args.width: expected int, got null."),
    "an unknown class": (PRUNE, "Prefix", "Prefixx", "did you mean Prefix"),
    "an unknown student": (PRUNE, "TinyStudent", "TinyStudnt", "did you mean TinyStudent"),
    "an unknown module": (PRUNE, "class_path: TinyStudent", "class_path: acme.Student", "there is no module 'acme'"),
    "an unknown class of a module": (PRUNE, "class_path: TinyStudent", "class_path: adc_tiny.Tiny", "has no 'Tiny'"),
    "a component of another kind": (PRUNE, "class_path: TinyStudent", "class_path: TinyTeacher", "TinyTeacher has no"),
    "no class": (PRUNE, "class_path: TinyStudent, init_args", "init_args", "0_prune.yaml:4: student: "),
    "a missing key": (PRUNE, "importance: Prefix\n", "", "the recipe needs importance"),
    "no folder": (PRUNE, "folder: runs/tiny/0_prune", "", "the recipe needs folder"),
    "a ratio above one": (PRUNE, "body: 0.5", "body: 1.5", "ratios"),
    "a ratio below zero": (PRUNE, "body: 0.5", "body: -0.5", "ratios"),
    "a part that is none": (PRUNE, "body: 0.5", "bodi: 0.5", "bodi"),
    "a size of nothing": (PRUNE, "size: 64", "size: 0", "size: 0 pixels; at least 1"),
    "a size below one": (PRUNE, "size: 64", "size: -64", "size"),
    "brackets that stay open": (PRUNE, "0.5}", "0.5", "0_prune.yaml:6: is no YAML"),
    "a tab": (PRUNE, "importance:", "\timportance:", "0_prune.yaml:6: is no YAML"),
    "an indent of one more": (PRUNE, "importance:", " importance:", "0_prune.yaml:6: is no YAML"),
    "no colon": (PRUNE, "importance: Prefix", "importance Prefix", "0_prune.yaml:7: is no YAML"),
    "no space after a colon": (PRUNE, "importance: Prefix", "importance:Prefix", "0_prune.yaml:7: is no YAML"),
    "a quote that stays open": (PRUNE, "importance: Prefix", "importance: 'Prefix", "0_prune.yaml:9: is no YAML"),
    "a key twice": (PRUNE, "size: 64", "size: 64\nsize: 32", "'size' is there twice, in line 7 too"),
    "a key twice further in": (PRUNE, "width: 32", "width: 32, width: 16", "0_prune.yaml:4: is no YAML: 'width' is"),
    "a list for a recipe": (PRUNE, None, "- a\n- b\n", "0_prune.yaml: a recipe is a mapping of keys"),
    "an empty recipe": (PRUNE, None, "", "0_prune.yaml: the recipe is empty"),
    "an image for a recipe": (PRUNE, None, b"\x89PNG\r\n\x1a\n\x00\xff", "0_prune.yaml: is no YAML"),
    "a variable that is not set": (PRUNE, "runs/tiny", "${oc.env:NO_SUCH}", "0_prune.yaml:8: folder: "),
    "a reference to nothing": (PRUNE, "size: 64", "size: ${nothing.there}", "0_prune.yaml:7: size: "),
    "a key of the trainer": (FIT, "accelerator:", "acelerator:", "did you mean accelerator?"),
    "a key of a role": (FIT, "scheduler:", "schedule:", "did you mean scheduler?"),
    "a key of a loss": (FIT, "{weight: 1.0}", "{wieght: 1.0}", "model.init_args.losses[0].init_args.wieght"),
    "a value of a callback": (FIT, "updates: 24", "updates: many", "1_decoder.yaml:38: trainer.callbacks[0]"),
    "a student that is not there": (FIT, "tiny/0_prune", "tiny/none", "1_decoder.yaml:15: model.init_args.student"),
    "a restorer that is none": (REPORT, "bicubic: Bicubic", "bicubic: Bicubc", "did you mean Bicubic"),
    "a preset that is none": (REPORT, "preset: adcsr", "preset: realesrgan", "preset: expected one of"),
}  # fmt: skip
"""Name: recipe, what it says, what it says by mistake, and a part of the complaint."""

COMMAND_LINES = {
    "a recipe of another command": ("prune -c recipes/1_decoder.yaml", "is for `adc fit`"),
    "a recipe for training to report": ("report -c recipes/0_prune.yaml", "is for `adc prune`"),
    "-c without a recipe": ("fit -c", "-c"),
    "no recipe": ("fit", "adc fit needs"),
    "a recipe that is not there": ("fit -c recipes/1_decodr.yaml", "did you mean recipes/1_decoder.yaml?"),
    "a folder for a recipe": ("fit -c recipes", "recipes is a folder, no recipe; `adc run recipes`"),
    "a recipe for a folder": ("run recipes/1_decoder.yaml", "it is a file"),
    "a recipe that may not be read": ("fit -c locked.yaml", "locked.yaml"),
    "an overlay that is not there": ("fit -c recipes/1_decoder.yaml -c cpu.yaml", "there is no recipe cpu.yaml"),
    "an option that is none": ("fit -c recipes/1_decoder.yaml --trainer.max_step 4", "max_step"),
    "an option without a value": ("fit -c recipes/1_decoder.yaml --trainer.max_epochs", "max_epochs"),
    "an option of another command": ("fit -c recipes/1_decoder.yaml --student demo", "--student"),
    "a command that is none": ("fti -c recipes/1_decoder.yaml", "did you mean fit?"),
    "options before the command": ("--trainer.max_epochs 3 fit", "the command comes first"),
    "a folder of plugins that is not there": ("--plugins nowhere list", "nowhere"),
    "a component that is none": ("list TinyStudnt", "TinyStudnt"),
    "a step that is none": ("run recipes --from 7_more", "there is no step '7_more'"),
    "an ending that is none": ("upscale a.png -o b.jpgg --student demo", "--output b.jpgg: unknown image format"),
    "a file for a folder": ("upscale folder -o a.png --student demo", "--output a.png"),
    "a student for the input": ("upscale --student a.png -o b.png demo", "demo: no such file or folder"),
    "a student that is a file": ("upscale a.png -o b.png --student a.png", "a.png"),
    "a student that is none": ("upscale a.png -o b.png --student demoo", "demoo"),
    "an empty folder of images": ("upscale empty -o out --student demo", "empty: no image in this folder"),
    "a depth that is none": ("upscale a.png -o b.png --student demo --depth 12", "--depth 12"),
    "a depth of a format": ("upscale a.png -o b.jpg --student demo --depth 16", "16 bits per channel"),
    "a quality out of range": ("upscale a.png -o b.jpg --student demo --quality 101", "--quality 101"),
    "a device that is none": ("upscale a.png -o b.png --student demo --device tpu", "tpu"),
    "a metric that is none": ("evaluate folder folder --metrics psnr_z", "psnr_z"),
    "a reference that is not there": ("evaluate folder nowhere", "nowhere"),
    "a format of export that is none": ("export demo -o exported --formats onix", "onix"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A user's folder: recipes, images, an empty folder, a file without permissions."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    for path in TINY.glob("*.yaml"):
        shutil.copy(path, tmp_path / "recipes")
    for name in ("empty", "folder"):
        (tmp_path / name).mkdir()
    image = Image.fromarray(np.zeros((16, 16, 3), np.uint8))
    for name in ("a.png", "folder/a.png"):
        image.save(name)
    Path("locked.yaml").write_text("model: {}\n")
    Path("locked.yaml").chmod(0)
    return tmp_path


def check(ended, says):
    status, printed, complaint = ended
    assert status not in (0, None), printed
    assert complaint.startswith("adc: error: ") and complaint.count("\n") == 1, complaint
    assert says in complaint and "Traceback" not in complaint and "ADC_DEBUG" not in complaint, complaint


@pytest.mark.parametrize("slip", RECIPES)
def test_a_slip_in_a_recipe(adc, folder, slip):
    name, before, after, says = RECIPES[slip]
    path = folder / "recipes" / f"{name}.yaml"
    if before is None:
        path.write_bytes(after if isinstance(after, bytes) else after.encode())
    else:
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after, 1))
    check(adc(COMMANDS[name], "-c", f"recipes/{name}.yaml"), says)
    assert not (folder / "runs").exists() or not list((folder / "runs").rglob("*.safetensors"))


@pytest.mark.parametrize("slip", COMMAND_LINES)
def test_a_slip_on_the_command_line(adc, folder, slip):
    line, says = COMMAND_LINES[slip]
    if "locked" in line and os.access("locked.yaml", os.R_OK):
        pytest.skip("this user may read everything")
    check(adc(*line.split()), says)
    assert not list(folder.glob("b.*"))


def test_there_are_more_than_sixty():
    assert len(RECIPES) + len(COMMAND_LINES) > 60
