"""Wrong recipes: one line that names key, value and way out."""

import re
from pathlib import Path

import pytest
import yaml

import adc.cli.train  # noqa: F401 (its loggers must not hold the captured stream of one test)


def init(content):
    return content["model"]["init_args"]


CASES = {
    "misspelt stage": (
        lambda c: c["model"].update(class_path="Regresion"),
        ["model.class_path", "no component 'Regresion'", "did you mean Regression", "`adc list`"],
    ),
    "misspelt component": (
        lambda c: init(c)["network"].update(class_path="TinyStudnt"),
        ["model.init_args.network.class_path", "'TinyStudnt'", "did you mean TinyStudent"],
    ),
    "misspelt in a list": (
        lambda c: init(c)["losses"].append({"class_path": "Charbonier"}),
        ["model.init_args.losses[1].class_path", "'Charbonier'", "did you mean Charbonnier?"],
    ),
    "misspelt callback": (
        lambda c: c["trainer"]["callbacks"][0].update(class_path="StopAftr"),
        ["trainer.callbacks[0].class_path", "did you mean StopAfter?"],
    ),
    "misspelt optimizer": (
        lambda c: init(c)["roles"]["network"]["optimizer"].update(class_path="Adm"),
        ["model.init_args.roles.network.optimizer.class_path", "'Adm'", "did you mean Adam"],
    ),
    "wrong kind": (
        lambda c: init(c)["network"].update(class_path="TinyDiscriminator"),
        [
            "model.init_args.network.class_path",
            "TinyDiscriminator is a Discriminator",
            "takes a Restorer",
            "Bicubic",
        ],
    ),
    "wrong kind by full path": (
        lambda c: init(c)["network"].update(class_path="adc_tiny.TinyDiscriminator"),
        ["model.init_args.network.class_path", "adc_tiny.TinyDiscriminator is no Restorer"],
    ),
    "abstract": (
        lambda c: init(c)["network"].update(class_path="adc.interfaces.Student"),
        ["model.init_args.network.class_path", "is abstract"],
    ),
    "no such module": (
        lambda c: init(c)["network"].update(class_path="nothere.Student"),
        ["model.init_args.network", "no module 'nothere'", "ADC_PLUGIN_PATH"],
    ),
    "no such class": (
        lambda c: init(c)["network"].update(class_path="adc_tiny.TinyStudnt"),
        ["model.init_args.network.class_path", "'adc_tiny' has no 'TinyStudnt'", "did you mean TinyStudent"],
    ),
    "unknown key of a component": (
        lambda c: init(c)["network"]["init_args"].update(widht=4),
        ["model.init_args.network.init_args.widht", "TinyStudent has no 'widht'", "did you mean width?"],
    ),
    "unknown key far from any": (
        lambda c: init(c)["network"]["init_args"].update(zzz=4),
        ["TinyStudent has no 'zzz'", "channels, depth, width", "`adc list TinyStudent`"],
    ),
    "unknown key that is right elsewhere": (
        lambda c: init(c)["network"]["init_args"].update(accelerator="cpu"),
        ["model.init_args.network.init_args.accelerator: TinyStudent has no 'accelerator'"],
    ),
    "unknown key of a stage": (
        lambda c: init(c).update(netwrk=4),
        ["Regression has no 'netwrk'", "did you mean network?"],
    ),
    "unknown key of a role": (
        lambda c: init(c)["roles"]["network"].update(optimiser=4),
        ["Role has no 'optimiser'", "did you mean optimizer?"],
    ),
    "unknown key of an optimizer": (
        lambda c: init(c)["roles"]["network"]["optimizer"]["init_args"].update(lrr=4),
        ["model.init_args.roles.network.optimizer.init_args.lrr", "Adam has no 'lrr'", "did you mean lr"],
    ),
    "unknown key of the trainer": (
        lambda c: c["trainer"].update(max_epoch=1),
        ["trainer.max_epoch", "trainer has no 'max_epoch'", "did you mean max_epochs"],
    ),
    "unknown key at the top": (
        lambda c: c.update(modle=1),
        ["a recipe has no 'modle'", "did you mean model?"],
    ),
    "missing argument of a stage": (
        lambda c: init(c).pop("network"),
        ["model: Regression needs network, which is not given", "`adc list Regression`"],
    ),
    "missing argument of a component": (
        lambda c: init(c).update(network={"class_path": "ToyTeacher"}),
        ["model.network: ToyTeacher needs weights"],
    ),
    "missing model": (lambda c: c.pop("model"), ["the recipe needs model"]),
    "wrong type": (
        lambda c: init(c)["network"]["init_args"].update(width="8x"),
        ["model.init_args.network.init_args.width", "expected int, got '8x'"],
    ),
    "wrong choice": (
        lambda c: init(c)["losses"][0]["init_args"].update(domain="pixels"),
        ["model.init_args.losses[0].init_args.domain", "one of 'feature', 'pixel'", "'pixels'"],
    ),
    "wrong type of the trainer": (
        lambda c: c["trainer"].update(max_epochs="many"),
        ["trainer.max_epochs", "expected int, got 'many'"],
    ),
    "interpolation of nothing": (
        lambda c: init(c)["network"]["init_args"].update(width="${data.init_args.sise}"),
        ["model.init_args.network.init_args.width", "data.init_args.sise"],
    ),
    "missing file of a component": (
        lambda c: init(c).update(network={"class_path": "ToyTeacher", "init_args": {"weights": "weights/none.pth"}}),
        ["model.init_args.network.init_args.weights: ", "teacher weights 'weights/none.pth' not found"],
    ),
    "a constructor that refuses": (
        lambda c: init(c).update(roles={"student": init(c)["roles"]["network"]}),
        ["roles: Regression trains network; found student."],
    ),
    "no run folder": (
        lambda c: c["trainer"].pop("default_root_dir"),
        ["trainer.default_root_dir is not given"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_wrong_recipe(adc, recipe, case):
    change, words = CASES[case]
    path = recipe(change)
    status, _, complaint = adc("fit", "-c", path)
    assert status == 2, complaint
    assert complaint.startswith("adc: error: ")
    assert complaint.count("\n") == 1, complaint
    assert all(word in complaint for word in words), complaint


def test_the_line_of_the_file_is_named(adc, recipe):
    path = recipe(lambda c: init(c)["network"].update(class_path="TinyStudnt"))
    lines = Path(path).read_text().splitlines()
    line = next(number for number, text in enumerate(lines, start=1) if "TinyStudnt" in text)
    assert f"{path}:{line}: " in adc("fit", "-c", path)[2]


def test_the_overlay_that_is_wrong_is_named(adc, recipe, tmp_path):
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(yaml.safe_dump({"model": {"init_args": {"network": {"init_args": {"widht": 3}}}}}))
    status, _, complaint = adc("fit", "-c", recipe(), "-c", overlay)
    assert status == 2
    assert f"{overlay}:5: model.init_args.network.init_args.widht: " in complaint


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--trainer.max_epoch", "3"], "did you mean --trainer.max_epochs"),
        (["--model.init_args.network.init_args.widht", "3"], "TinyStudent has no 'widht'"),
        (["extra"], "unknown argument 'extra'"),
        (["-c", "nowhere.yaml"], "there is no recipe nowhere.yaml"),
        (["--resume", "nowhere.ckpt"], "--resume: there is no checkpoint nowhere.ckpt"),
    ],
)
def test_wrong_command_line(adc, recipe, arguments, says):
    status, _, complaint = adc("fit", "-c", recipe(), *arguments)
    assert status == 2
    assert says in complaint
    assert complaint.count("\n") == 1


@pytest.mark.parametrize(("text", "says"), [("a: [1\nb: 2\n", "is no YAML"), ("hello", "a mapping of keys")])
def test_no_yaml(adc, toy, tmp_path, text, says):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    status, _, complaint = adc("fit", "-c", path)
    assert status == 2
    assert says in complaint
    assert str(path) in complaint
    assert complaint.count("\n") == 1


def test_a_bug_in_a_constructor_is_one_line_and_keeps_its_traceback_for_who_asks(adc, recipe, monkeypatch):
    from adc import cli

    path = recipe(lambda c: init(c).update(network={"class_path": "ToyBug"}))
    status, _, complaint = adc("fit", "-c", path)
    assert status == 1 and complaint.count("\n") == 1
    assert re.search(r"'key' \(KeyError at plugins/\w+\.py:\d+; ADC_DEBUG=1 shows where\)", complaint), complaint
    monkeypatch.setenv("ADC_DEBUG", "1")
    with pytest.raises(KeyError, match="key"):
        cli.main(["fit", "-c", path])


def test_two_components_of_one_name(adc, recipe, tmp_path, monkeypatch):
    folder = tmp_path / "twins"
    folder.mkdir()
    for name in ("twin_one", "twin_two"):
        (folder / f"{name}.py").write_text("from adc_tiny import Bicubic\n\n\nclass TwinTeacher(Bicubic):\n    pass\n")
    path = recipe(lambda c: init(c).update(network={"class_path": "TwinTeacher"}))
    status, _, complaint = adc("fit", "-c", path, "--plugins", folder)
    assert status == 2
    assert "model.init_args.network.class_path: more than one component is called 'TwinTeacher'" in complaint
    assert "twin_one.TwinTeacher" in complaint
    assert "twin_two.TwinTeacher" in complaint
    assert complaint.count("\n") == 1
    status, _, complaint = adc("list", "TwinTeacher", "--plugins", folder)
    assert status == 2
    assert "twin_one.TwinTeacher, twin_two.TwinTeacher" in complaint
    assert adc("list", "twin_two.TwinTeacher", "--plugins", folder)[0] == 0


def test_a_broken_plugin_is_named_where_its_component_may_be(adc, recipe, tmp_path):
    folder = tmp_path / "lost"
    folder.mkdir()
    (folder / "lost_plugin.py").write_text("import not_installed_anywhere\n")
    status, _, complaint = adc(
        "fit", "-c", recipe(lambda c: init(c).update(network="LostTeacher")), "--plugins", folder
    )
    assert status == 2
    assert "adc: warning: plugin lost_plugin" in complaint.splitlines()[0]
    assert "no component 'LostTeacher'" in complaint.splitlines()[1]
    assert "not_installed_anywhere" in complaint.splitlines()[1]
