"""Names that are nearly right, where people type them."""

import pytest

from adc.cli import main
from adc.cli.options import words_of_lists

CASES = {
    "a folder of recipes": (["run", "recipes/dem"], "there is no folder recipes/dem; did you mean recipes/demo?"),
    "a folder of folders": (["run", "recipes"], "name a folder that does: recipes/demo."),
    "a recipe to run": (
        ["run", "recipes/demo/1_fit.yaml"],
        "it is a file; `adc fit -c recipes/demo/1_fit.yaml` trains",
    ),
    "a recipe": (["fit", "-c", "recipes/demo/1_fi.yaml"], "did you mean recipes/demo/1_fit.yaml?"),
    "a recipe without -c": (["fit", "recipes/demo/1_fit.yaml"], "a recipe comes after -c: -c recipes/demo/1_fit.yaml"),
    "a kind": (["list", "--kind", "teacher"], "there is no kind 'teacher'; did you mean Teacher?"),
    "a kind as a name": (["list", "Losss"], "did you mean --kind Loss?"),
    "a network of a library": (["list", "RealESRGAN"], "SpandrelStudent or Spandrel?"),
    "a component of a forgotten folder": (["list", "NoOne"], "is found by --plugins FOLDER or ADC_PLUGIN_PATH"),
    "completion of shells": (["prune", "--print_shtab", "bash"], "unknown argument '--print_shtab'"),
    "a function": (["prune", "-c", "function.yaml"], "has no 'load_studnt'; did you mean load_student"),
    "several recipes in one": (["prune", "-c", "several.yaml"], "several.yaml:1: config: expected the file of one"),
    "a recipe that includes itself": (["prune", "-c", "loop.yaml"], "loop detected: loop.yaml -> loop.yaml"),
    "several arguments": (["upscale"], "adc upscale needs input, output, student, which are not given."),
    "one argument": (["export", "runs/demo"], "adc export needs output, which is not given."),
    "a plugin": (["prune", "-c", "plugin.yaml"], "is found by --plugins FOLDER or ADC_PLUGIN_PATH"),
    "a student that cannot be pruned": (["prune", "-c", "whole.yaml"], "cannot be pruned: implement prunable()"),
    "a teacher for a student": (["prune", "-c", "teacher.yaml"], "TinyTeacher is a Teacher; this key takes"),
}


WHOLE = """
from adc_tiny import TinyStudent
from adc.interfaces import Student


class Whole(TinyStudent):
    prunable = Student.prunable
"""


@pytest.mark.parametrize("case", CASES)
def test_the_line(case, tmp_path, monkeypatch, capsys):
    argv, says = CASES[case]
    (tmp_path / "recipes/demo").mkdir(parents=True)
    (tmp_path / "recipes/demo/1_fit.yaml").write_text("model: {class_path: DecoderPretraining}\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "whole.py").write_text(WHOLE)
    for name, student in (("plugin", "QuantumStudent"), ("teacher", "TinyTeacher"), ("whole", "whole.Whole")):
        (tmp_path / f"{name}.yaml").write_text(
            f"student: {{class_path: {student}}}\nimportance: Prefix\nratios: {{body: 0.5}}\nfolder: x\n"
        )
    (tmp_path / "function.yaml").write_text("student: {class_path: adc.pruning.load_studnt}\nratios: {body: 0.5}\n")
    (tmp_path / "several.yaml").write_text("config: [plugin.yaml, teacher.yaml]\n")
    (tmp_path / "loop.yaml").write_text("config: loop.yaml\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(argv)
    lines = capsys.readouterr().err.splitlines()
    assert stop.value.code in (1, 2) and len(lines) == 1 and says in lines[0] and "ADC_DEBUG" not in lines[0], lines


@pytest.mark.parametrize(
    ("words", "taken"),
    [
        (["--formats", "onnx"], ["--formats=[onnx]"]),
        (["s", "--formats", "onnx", "torch", "-o", "x"], ["s", "--formats=[onnx,torch]", "-o", "x"]),
        (["--formats", "[onnx, torch]"], ["--formats=[onnx,torch]"]),
        (["--formats=[onnx,torch]", "s"], ["--formats=[onnx,torch]", "s"]),
        (["--formats=onnx", "s"], ["--formats=[onnx]", "s"]),
        (["--title", "a", "b"], ["--title", "a", "b"]),
    ],
)
def test_lists_are_written_in_one_way(words, taken):
    assert words_of_lists(words, ("formats",)) == taken
