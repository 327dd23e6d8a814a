"""``adc cache``: what is kept, that training from it is training with the teacher, and what is refused."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from adc import cli
from adc.media.images import write_image
from adc.teacher_cache.store import ShardWriter
from adc.training.checkpoint import newest_checkpoint

HERE = Path(__file__).parent
DATA = {"degradation": {"class_path": "SecondOrder", "init_args": {"preset": "adcsr"}}, "size": 64, "batch_size": 2}
TEXT = "a photo"


def listed(*names):
    return [{"class_path": name, "init_args": arguments} for name, arguments in names]


def distillation(losses, **arguments):
    adam = {"optimizer": {"class_path": "Adam", "init_args": {"lr": 1e-3}}}
    return {
        "class_path": "AdversarialDistillation",
        "init_args": {
            "student": {"class_path": "TinyStudent", "init_args": {"width": 6, "channels": 4}},
            "teacher": {"class_path": "TinyTeacher", "init_args": {"width": 8}},
            "losses": losses,
            "roles": {"student": adam},
            **arguments,
        },
    }


def of_features():
    """Features and pixels of a teacher, and a critic of features."""
    losses = listed(
        ("L1", {"domain": "feature", "against": "teacher"}), ("L1", {"domain": "pixel", "against": "teacher"})
    )
    model = distillation(losses, space={"class_path": "TinySpace", "init_args": {"channels": 4}})
    model["init_args"]["discriminators"] = listed(("TinyDiscriminator", {"domain": "feature", "channels": 4}))
    model["init_args"]["examples"] = {
        "student": {"labels": {"realism": -1}},
        "real": {"source": {"class_path": "Real"}, "labels": {"realism": 1}},
    }
    model["init_args"]["roles"]["discriminators"] = model["init_args"]["roles"]["student"]
    return model


def write(folder, name="live", model=None, data=None, updates=6, precision="32", teacher=None):
    """A recipe that trains for some batches of two clips."""
    model = model or of_features()
    if teacher is not None:
        model["init_args"]["teacher"] = teacher
    content = {
        "seed_everything": 3,
        "data": {"class_path": "DegradedClips", "init_args": {**DATA, "workers": 0, **(data or {})}},
        "model": model,
        "trainer": {
            "accelerator": "cpu",
            "precision": precision,
            "default_root_dir": str(folder / name),
            "limit_val_batches": 0,
            "enable_progress_bar": False,
            "callbacks": listed(
                ("StopAfter", {"role": "student", "updates": updates}),
                ("SaveEvery", {"role": "student", "updates": updates}),
            ),
        },
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def cached(folder, made_by=None):
    return {"class_path": "CachedTeacher", "init_args": {"folder": str(folder), "made_by": made_by}}


def call(*arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main([str(argument) for argument in arguments])
    assert not stop.value.code
    return stop


def trained(recipe):
    """The checkpoint that a recipe ends with."""
    call("fit", "-c", recipe)
    newest, damaged = newest_checkpoint(recipe.with_suffix(""))
    assert not damaged
    assert newest is not None
    return torch.load(newest, weights_only=True)


def equal(one, other):
    """Whether two checkpoints say the same, bit by bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(equal(a, b) for a, b in zip(one, other, strict=True))
    return one == other


def told(checkpoint):
    """What there is to compare: weights, optimizers, counters; callbacks know their folder."""
    return {key: checkpoint[key] for key in ("state_dict", "optimizer_states", "adc")}


def shards(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.safetensors"))}


@pytest.mark.parametrize(("precision", "degrade"), [("32", "workers"), ("bf16-mixed", "device")])
def test_training_from_a_cache_is_training_with_the_teacher(precision, degrade, tmp_path):
    options = {"precision": precision, "data": {"degrade": degrade}}
    live = write(tmp_path, **options)
    call("cache", "-c", live, "--folder", tmp_path / "kept", "--batches", 6, "--shard", 5)
    index = json.loads((tmp_path / "kept/cache.json").read_text())
    assert (index["domains"], index["batches"], index["span"]) == (["pixel", "feature"], 6, 2)
    assert len(shards(tmp_path / "kept")) == 3
    with_teacher = trained(live)
    without = trained(write(tmp_path, "cached", teacher=cached(tmp_path / "kept", "TinyTeacher"), **options))
    assert equal(told(with_teacher), told(without))
    started = write(tmp_path, "other", teacher={"class_path": "Bicubic"}, **options)
    assert not equal(told(with_teacher), told(trained(started)))


def repeated(path, epochs):
    """The recipe with a fixed set of clips."""
    content = yaml.safe_load(path.read_text())
    content["data"] = {"class_path": "RepeatedClips", "init_args": {"data": content["data"], "epochs": epochs}}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_a_fixed_set_is_kept_once_for_any_length_of_training(tmp_path, adc):
    options = {"updates": 10, "data": {"degrade": "device", "batch_size": 4}}  # 11 photos: almost four epochs
    live = repeated(write(tmp_path, **options), 2)
    call("cache", "-c", live, "--folder", tmp_path / "kept")
    assert json.loads((tmp_path / "kept/cache.json").read_text())["batches"] == 6
    kept = cached(tmp_path / "kept")
    without = trained(repeated(write(tmp_path, "cached", teacher=kept, **options), 2))
    assert equal(told(trained(live)), told(without))
    status, _, says = adc("fit", "-c", repeated(write(tmp_path, "other", teacher=kept, **options), 3))
    assert (status, "RepeatedClips (epochs: 2, DegradedClips (batch_size: 4" in says) == (1, True)


@pytest.fixture
def outputs(tmp_path):
    """Small photos, what a teacher made of them elsewhere, and the truth."""
    folders = {name: tmp_path / "photos" / name for name in ("lr", "made", "hr")}
    torch.manual_seed(0)
    for number in range(4):
        for name, folder in folders.items():
            side = 24 if name == "lr" else 96
            write_image(folder / f"{number}.png", (torch.rand(side, side, 3) * 255).byte().numpy())
    return folders


def paired(path, lr, hr):
    """The recipe with pairs of photos."""
    content = yaml.safe_load(path.read_text())
    pairs = {"lr": str(lr), "hr": str(hr), "size": 64, "batch_size": 2, "workers": 0}
    content["data"] = {"class_path": "PairedClips", "init_args": pairs}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_outputs_in_files_are_a_teacher(outputs, tmp_path):
    kept = tmp_path / "kept"
    losses = listed(("L1", {"against": "teacher"}), ("L1", {"domain": "feature", "against": "teacher"}))
    space = {"class_path": "TinySpace", "init_args": {"channels": 4}}

    def recipe(name, large, losses=losses):
        options = {"model": distillation(losses, space=space), "teacher": cached(kept)}
        return paired(write(tmp_path, name, **options), outputs["lr"], large)

    source = recipe("source", outputs["made"])
    call("cache", "-c", source, "--folder", kept, "--answers", "data", "--batches", 6)
    index = json.loads((kept / "cache.json").read_text())
    assert (index["scale"], index["domains"], index["batches"]) == (4, ["pixel"], 6)
    from_cache = trained(recipe("cached", outputs["hr"]))  # the truth is not the teacher's answer here
    real = listed(("L1", {"against": "real"}), ("L1", {"domain": "feature", "against": "real"}))
    assert equal(from_cache["state_dict"], trained(recipe("direct", outputs["made"], real))["state_dict"])
    assert not equal(from_cache["state_dict"], trained(recipe("other", outputs["hr"], real))["state_dict"])


@pytest.fixture
def words(tmp_path):
    """Embeddings of two texts, as of ``tools/embed_prompts.py``."""
    from adc_sd21.osediff import OSEDiff
    from adc_sd21.text import name_of

    width = OSEDiff("demo").unet_config["cross_attention_dim"]
    folder = tmp_path / "words"
    folder.mkdir()
    for seed, text in enumerate((TEXT, "another")):
        embedding = torch.randn(5, width, generator=torch.Generator().manual_seed(seed))
        save_file({"prompt_embedding": embedding}, folder / name_of(text))
    return lambda text: {"class_path": "TextPrompt", "init_args": {"cache": str(folder), "text": text}}


def test_a_prompt_is_part_of_the_question(words, tmp_path, adc):
    losses = listed(("L1", {"domain": "pixel", "against": "teacher"}))
    demo = {"class_path": "OSEDiff", "init_args": {"folder": "demo"}}

    def recipe(name, text, teacher):
        model = distillation(losses, **({"prompt": words(text)} if text else {}))
        return write(tmp_path, name, model, updates=2, teacher=teacher)

    live = recipe("live", TEXT, demo)
    call("cache", "-c", live, "--folder", tmp_path / "kept", "--batches", 2)
    kept = cached(tmp_path / "kept")
    assert equal(told(trained(live)), told(trained(recipe("cached", TEXT, kept))))
    status, _, says = adc("fit", "-c", recipe("other", "another", kept))
    assert (status, "with another prompt only" in says) == (1, True)
    status, _, says = adc("fit", "-c", recipe("none", None, kept))
    assert (status, "was made with a prompt, but this recipe has none" in says) == (1, True)


def test_an_interrupted_cache_goes_on(tmp_path, adc, monkeypatch):
    recipe = write(tmp_path)
    options = ["--batches", 7, "--shard", 4, "--domains", "feature"]
    call("cache", "-c", recipe, "--folder", tmp_path / "whole", *options)
    real, written = ShardWriter.write, []

    def write_two(pending, folder, shard, index):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(shard.name)
        real(pending, folder, shard, index)

    monkeypatch.setattr(ShardWriter, "write", write_two)
    status, _, says = adc("cache", "-c", recipe, "--folder", tmp_path / "kept", *options)
    assert status == 130
    assert "the same command goes on with the next shard" in says
    monkeypatch.setattr(ShardWriter, "write", real)
    assert list(shards(tmp_path / "kept")) == written
    status, _, says = adc("fit", "-c", write(tmp_path, "early", teacher=cached(tmp_path / "kept")))
    assert (status, "000002.safetensors: no such shard yet" in says) == (2, True)
    asked = []
    monkeypatch.setattr(ShardWriter, "write", lambda *rest: asked.append(rest[2].name) or real(*rest))
    status, says, _ = adc("cache", "-c", recipe, "--folder", tmp_path / "kept", *options)
    assert (status, "4 of 4 shards" in says) == (0, True)
    assert not set(asked) & set(written)
    assert shards(tmp_path / "kept") == shards(tmp_path / "whole")


def test_more_batches_are_added_and_a_damaged_shard_is_made_anew(tmp_path, adc):
    recipe = write(tmp_path)
    options = ["--shard", 4, "--folder", tmp_path / "kept"]
    call("cache", "-c", recipe, *options, "--batches", 4)
    call("cache", "-c", recipe, "--shard", 4, "--folder", tmp_path / "whole", "--epochs", 2)
    damaged = tmp_path / "kept" / "000-of-001-000000.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-7])
    status, _, says = adc("cache", "-c", recipe, *options, "--epochs", 2)
    assert status == 0
    assert f"adc: warning: {damaged}: truncated or damaged" in says
    assert json.loads((tmp_path / "kept/cache.json").read_text())["batches"] == 11
    assert shards(tmp_path / "kept") == shards(tmp_path / "whole")
    status, _, says = adc("cache", "-c", recipe, *options, "--epochs", 2)
    assert (status, "warning" in says) == (0, False)


def test_several_commands_share_the_work(tmp_path):
    live = write(tmp_path)
    for rank in (1, 0):
        call(
            "cache",
            "-c",
            live,
            "--folder",
            tmp_path / "kept",
            "--batches",
            3,
            "--world",
            2,
            "--rank",
            rank,
            "--shard",
            4,
        )
    names = list(shards(tmp_path / "kept"))
    assert names == [f"{rank:03d}-of-002-{number:06d}.safetensors" for rank in (0, 1) for number in (0, 1)]
    with_teacher = trained(live)
    without = trained(write(tmp_path, "cached", teacher=cached(tmp_path / "kept")))
    for name, weight in with_teacher["state_dict"].items():
        torch.testing.assert_close(without["state_dict"][name], weight)


@pytest.mark.parametrize("changes", [{"data": {"seed": 1}}, {"updates": 9}], ids=["other data", "more epochs"])
def test_a_clip_that_is_not_kept_is_named(changes, tmp_path, adc):
    call("cache", "-c", write(tmp_path), "--folder", tmp_path / "kept", "--batches", 6)
    status, _, says = adc("fit", "-c", write(tmp_path, "other", teacher=cached(tmp_path / "kept"), **changes))
    assert status == 1
    assert says.splitlines()[-1].startswith("adc: error: ")
    assert f": {tmp_path / 'kept'} has no answer to this clip (16x16, " in says
    assert "6 batches of DegradedClips (batch_size: 2" in says
    assert not says.splitlines()[-1].startswith("adc: error: clip ")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data": {"seed": 1}}, "made with data.init_args.seed: 0; here data.init_args.seed is 1"),
        ({"data": {"size": 32}}, "made with data.init_args.size: 64; here data.init_args.size is 32"),
        ({"precision": "64-true"}, 'made with precision: "32-true"; here precision is "64-true"'),
        ({"teacher": {"class_path": "Bicubic"}}, 'made with teacher.class_path: "adc_tiny.TinyTeacher"; here'),
        ({"teacher": {"class_path": "TinyTeacher"}}, "made with teacher.init_args.width: 8; here"),
    ],
)
def test_what_made_a_cache_is_not_mixed(changes, says, tmp_path, adc):
    call("cache", "-c", write(tmp_path), "--folder", tmp_path / "kept", "--batches", 1)
    before = shards(tmp_path / "kept")
    status, _, complaint = adc("cache", "-c", write(tmp_path, "other", **changes), "--folder", tmp_path / "kept")
    assert status == 1
    assert f"{tmp_path / 'kept'}: its answers were {says}" in complaint
    assert shards(tmp_path / "kept") == before


def test_what_training_clips_do_not_depend_on_may_differ(tmp_path):
    call("cache", "-c", write(tmp_path), "--folder", tmp_path / "kept", "--batches", 1)
    call("cache", "-c", write(tmp_path, data={"validation_size": 64, "cache": 1}), "--folder", tmp_path / "kept")


REFUSED = [
    (["--domains", "latent"], {}, "--domains: there is no 'latent'; write pixel, feature or pixel,feature."),
    (["--epochs", "0"], {}, "--epochs: 0 is less than 1."),
    (["--batches", "0"], {}, "--batches: 0 is less than 1."),
    (["--rank", "2", "--world", "2"], {}, "--rank: 2 is not among the numbers 0 to 1 (--world)."),
    (["--answers", "data", "--domains", "pixel,feature"], {}, "--domains: pixel,feature cannot be kept with --answers"),
    (["--answers", "data"], {"data": {"degrade": "device"}}, "data: its LR clips are made on the device"),
    ([], {"teacher": {"class_path": "TinyTeachr"}}, "there is no component 'TinyTeachr'; did you mean TinyTeacher"),
    ([], {"model": distillation([], teacher=None)}, "AdversarialDistillation of this recipe has no teacher to ask"),
    ([], {"teacher": cached("nowhere")}, "nowhere/cache.json: no such file"),
]


@pytest.mark.parametrize(("options", "changes", "says"), REFUSED)
def test_what_cannot_be_cached_is_refused(options, changes, says, tmp_path, adc):
    status, _, complaint = adc("cache", "-c", write(tmp_path, **changes), "--folder", tmp_path / "kept", *options)
    assert status == 2
    assert says in complaint
    assert len(complaint.splitlines()) == 1
    assert not (tmp_path / "kept").exists()


def test_a_cache_of_a_cache_is_refused(tmp_path, adc):
    call("cache", "-c", write(tmp_path), "--folder", tmp_path / "kept", "--batches", 1)
    other = write(tmp_path, "other", teacher=cached(tmp_path / "kept"))
    status, _, complaint = adc("cache", "-c", other, "--folder", tmp_path / "again")
    assert (status, "model.init_args.teacher: is a cache already" in complaint) == (2, True)


def test_data_of_another_kind_are_refused(recipe, tmp_path, adc):
    def change(content):
        content["model"] = distillation(listed(("L1", {"against": "teacher"})))

    status, _, complaint = adc("cache", "-c", recipe(change), "--folder", tmp_path / "kept")
    assert (status, "data: ToyClips has no clips by their number" in complaint) == (2, True)


MORTAL = """
import os, signal
from pathlib import Path
from adc_tiny import TinyTeacher

class Mortal(TinyTeacher):
    \"\"\"Dies once, of its fifth question.\"\"\"
    asked = 0

    def features(self, lr, space):
        self.asked += 1
        if self.asked == 5 and not Path("died").exists():
            Path("died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().features(lr, space)
"""


def in_processes(folder, *jobs, **environment):
    """Run commands, each in a process of its own; what each said and how it ended."""
    command = [sys.executable, str(HERE.parent / "forks.py"), json.dumps(jobs), "adc.cli.cache"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_killed_cache_goes_on(tmp_path):
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "mortal.py").write_text(MORTAL)
    write(tmp_path, teacher={"class_path": "Mortal"})
    job = ["cache", "-c", "live.yaml", "--batches", "7", "--shard", "4", "--domains", "feature", "--folder"]
    done = in_processes(tmp_path, [*job, "kept"], [*job, "kept"], [*job, "whole"], ADC_PLUGIN_PATH=str(plugins))
    assert [one["status"] for one in done] == [-signal.SIGKILL, 0, 0], done
    assert (tmp_path / "died").exists()
    assert len(shards(tmp_path / "kept")) == 4
    assert shards(tmp_path / "kept") == shards(tmp_path / "whole")
