"""Video transformers of every family as denoisers: contract, taps, folders, stages, errors."""

import copy
import json
import pickle
from dataclasses import replace

import pytest
import torch
from adc_video import VideoDenoiser
from adc_video.families import FAMILIES
from adc_wan import OneStepVideo, ScoreHead
from video_denoisers import COGVIDEOX, conditioner, every, inputs, tiny

from adc.inference.latent import LatentDiffusion
from adc.ops.flow import TimeLaw
from adc.pruning import load_student, save_student
from adc.stages import DualStreamDistillation, FlowMatching
from adc.testing import check_denoiser, check_stage
from adc.training import Role


@every
def test_contract(name):
    denoiser = tiny(name)
    check_denoiser(denoiser, conditioner(), taps=(0, denoiser.depth - 1), size=8)


@every
def test_the_first_forward_of_a_widened_network_is_the_old_one(name, tmp_path):
    plain = tiny(name, lr_channels=False)
    plain.save_pretrained(str(tmp_path))
    widened = VideoDenoiser(plain.family, str(tmp_path)).eval()
    given = inputs()
    with torch.no_grad():
        before = plain(*given)[0]
        assert torch.equal(widened(*given)[0], before)
        layer = widened.network.get_submodule(FAMILIES[plain.family].widened)
        half = layer.weight.shape[1] // 2
        assert not layer.weight[:, half:].any()
        layer.weight[:, half:] += 0.1
        assert not torch.equal(widened(*given)[0], before)


@every
def test_folders(name, tmp_path):
    denoiser, given = tiny(name), inputs()
    denoiser.save_pretrained(str(tmp_path))
    for place in (tmp_path, tmp_path / "transformer"):
        found = VideoDenoiser(denoiser.family, str(place)).eval()
        assert found.config == denoiser.config
        assert found.schedule == denoiser.schedule
        state = found.network.state_dict()
        assert all(torch.equal(state[key], value) for key, value in denoiser.network.state_dict().items())
        with torch.no_grad():
            torch.testing.assert_close(found(*given)[0], denoiser(*given)[0])


@every
def test_copies_and_processes(name):
    denoiser, given = tiny(name), inputs()
    with torch.no_grad():
        for other in (copy.deepcopy(denoiser), pickle.loads(pickle.dumps(denoiser))):
            assert torch.equal(other(*given)[0], denoiser(*given)[0])


@every
def test_taps(name):
    denoiser, given = tiny(name), inputs()
    taps = (denoiser.depth - 2, 0)
    width = denoiser.config["num_attention_heads"] * denoiser.config["attention_head_dim"]
    with torch.no_grad():
        plain, _ = denoiser(*given)
        velocity, features = denoiser(*given, taps=taps)
        nothing, early = denoiser(*given, taps=taps, stop_early=True)
    assert nothing is None
    assert torch.equal(velocity, plain)
    assert {feature.shape for feature in features} == {(2, 4, width, 4 // denoiser.multiple, 6 // denoiser.multiple)}
    assert all(torch.equal(one, other) for one, other in zip(features, early, strict=True))
    assert not torch.equal(*features)


def blocks_of(denoiser):
    return [block for name in FAMILIES[denoiser.family].blocks for block in getattr(denoiser.network, name)]


def counted(denoiser):
    """Runs of each block from here on."""
    runs = [0] * denoiser.depth
    for number, block in enumerate(blocks_of(denoiser)):

        def count(*_, number=number):
            runs[number] += 1

        block.register_forward_pre_hook(count)
    return runs


@pytest.mark.parametrize("name", ["ltx", "hunyuan", "cogvideox"])
def test_an_early_end_runs_no_later_block(name):
    denoiser = tiny(name)
    blocks, runs = blocks_of(denoiser), counted(denoiser)
    denoiser(*inputs(), taps=(0, 1), stop_early=True)
    assert runs == [1, 1] + [0] * (denoiser.depth - 2)
    assert blocks_of(denoiser) == blocks


def test_an_error_within_leaves_nothing_behind():
    denoiser, given = tiny("ltx"), inputs()
    before = denoiser(*given)[0]

    def fail(*_):
        raise RuntimeError("block")

    handle = blocks_of(denoiser)[1].register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="block"):
        denoiser(*given, taps=(0,))
    handle.remove()
    assert torch.equal(denoiser(*given)[0], before)


@every
@pytest.mark.parametrize("early", [False, True])
def test_checkpointing_changes_no_gradient(name, early):
    gradients = []
    for again in (False, True):
        denoiser = tiny(name)
        runs, denoiser.checkpoint_activations = counted(denoiser), again
        velocity, (feature,) = denoiser(*inputs(), taps=(1,), stop_early=early)
        (feature.square().mean() + (0 if early else velocity.square().mean())).backward()
        assert runs == [1 + again if number < 2 or not early else 0 for number in range(denoiser.depth)]
        gradients.append([p.grad for p in denoiser.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 0
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


def place(tensor):
    return tensor.untyped_storage().data_ptr()


@pytest.mark.parametrize("name", ["ltx", "hunyuan", "cogvideox"])
def test_checkpointing_keeps_taps_once(name):
    """A tap is the input that the next block is computed from again, and nothing else is kept for it."""
    kept, given = [], set()

    def note(block, arguments, options):
        given.update(place(one) for one in (*arguments, *options.values()) if isinstance(one, torch.Tensor))

    for taps in ((), (0, 1)):
        denoiser, sizes = tiny(name), {}
        denoiser.checkpoint_activations = True
        for block in blocks_of(denoiser):
            block.register_forward_pre_hook(note, with_kwargs=True)
        weights = {place(parameter) for parameter in denoiser.parameters()}

        def pack(tensor, sizes=sizes, weights=weights):
            sizes.update({} if place(tensor) in weights else {place(tensor): tensor.untyped_storage().nbytes()})
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            _, features = denoiser(*inputs(), taps=taps)
        assert {place(feature) for feature in features} <= given
        kept.append(sum(sizes.values()))
    assert kept[0] == kept[1]


def batch(clips=2):
    generator = torch.Generator().manual_seed(0)
    lr = torch.rand(clips, 1, 3, 8, 8, generator=generator) * 2 - 1
    hr = torch.rand(clips, 1, 3, 32, 32, generator=generator) * 2 - 1
    return {"lr": lr, "hr": hr, "name": [str(number) for number in range(clips)]}


def adam(parameters):
    return torch.optim.Adam(parameters, lr=1e-3, eps=1e-4)


def flow_matching():
    student = LatentDiffusion(tiny("ltx"), conditioner(), steps=2)
    return FlowMatching(student, {"student": Role(adam)}, gradient_checkpointing=True)


def test_flow_matching_of_a_masked_family():
    check_stage(flow_matching(), batch(), batches=2)


@pytest.mark.slow
def test_processes_and_sharded_networks_agree():
    check_stage(flow_matching(), batch(4), batches=2, processes=2)


def test_dual_stream_distillation_of_cogvideox():
    student = OneStepVideo(tiny("cogvideox"), conditioner())
    roles = {name: Role(adam) for name in ("student", "fake_score", "head")}
    scores, head = (tiny("cogvideox", seed=seed) for seed in (1, 2)), ScoreHead(32, 2, 4)
    given = {"taps": (0, 1), "times": TimeLaw(low=0.2, high=0.8), "cycle": [["auxiliary"], ["student"]]}
    check_stage(DualStreamDistillation(student, *scores, roles, head, **given), batch(), batches=2)


@pytest.mark.parametrize("name", ["hunyuan", "cogvideox 1.5"])
def test_student_folders(name, tmp_path):
    student = OneStepVideo(tiny(name), conditioner()).eval()
    save_student(student, tmp_path)
    found = load_student(str(tmp_path)).eval()
    lr = torch.rand(1, 3, 3, 7, 9, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert student.restore(lr).shape == (1, 3, 3, 28, 36)
        torch.testing.assert_close(found.restore(lr), student.restore(lr))


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_sizes():
    with torch.device("meta"):
        assert count(VideoDenoiser("skyreels_v2")) == 1_435_624_000
        assert count(VideoDenoiser("ltx")) == 1_923_647_616
        assert count(VideoDenoiser("cogvideox")) == 1_693_906_752


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("wan",), ValueError, "family: 'wan'; one of wan21, skyreels_v2, .*cogvideox"),
        (("ltx", None, {"layers": 3}), ValueError, "config: unknown entry 'layers'; known: activation_fn"),
        (
            ("hunyuan", None, {"image_condition_type": "latent_concat"}),
            ValueError,
            "image_condition_type is 'latent",
        ),
        (("cogvideox", None, {"in_channels": 48}), ValueError, r"in_channels is 48; .* \(16, as out_channels\)"),
        (("ltx", None, None, True, {"beta_start": 0.1}), ValueError, "schedule: LTXVideo.* on the straight path"),
        (("cogvideox", None, None, True, {"beta": 0.1}), ValueError, "scheduler: unknown option 'beta'"),
        (("ltx", None, None, True, None, 3.0), ValueError, "guidance: 3.0; LTXVideo.* takes none, leave the key out"),
        (("ltx", "nowhere"), FileNotFoundError, "source: nowhere: no transformer/config.json there"),
    ],
)
def test_wrong_arguments(arguments, error, words):
    with pytest.raises(error, match=words):
        VideoDenoiser(*arguments)


def test_wrong_folders(tmp_path):
    tiny("cogvideox").save_pretrained(str(tmp_path))
    with pytest.raises(ValueError, match=r"config.json: a CogVideoXTransformer3DModel, but this family has LTXVideo"):
        VideoDenoiser("ltx", str(tmp_path))
    with pytest.raises(ValueError, match="holds its configuration; leave one of the two out"):
        VideoDenoiser("cogvideox", str(tmp_path), COGVIDEOX)
    with pytest.raises(ValueError, match=r"schedule: .*scheduler_config.json holds it; leave one of the two out"):
        VideoDenoiser("cogvideox", str(tmp_path), schedule={"snr_shift_scale": 1.0})
    schedule = tmp_path / "scheduler" / "scheduler_config.json"
    assert json.loads(schedule.read_text())["snr_shift_scale"] == 3.0
    schedule.unlink()
    with pytest.raises(FileNotFoundError, match=r"scheduler_config.json: no such file; copy it there, or give"):
        VideoDenoiser("cogvideox", str(tmp_path))
    found = VideoDenoiser("cogvideox", str(tmp_path), schedule={"snr_shift_scale": 1.0})
    assert found.schedule["snr_shift_scale"] == 1.0


def test_rows_of_another_width():
    denoiser, (z_t, t, condition) = tiny("ltx"), inputs()
    with pytest.raises(ValueError, match=r"have the width 8, but LTX\w+ takes 16 \(caption_channels\); give the cond"):
        denoiser(z_t, t, {**condition, "text": condition["text"][:, :, :8]})


def test_a_class_that_diffusers_lacks(monkeypatch):
    monkeypatch.setitem(FAMILIES, "ltx", replace(FAMILIES["ltx"], network="LTX9Transformer3DModel"))
    with pytest.raises(ImportError, match=r"LTX9Transformer3DModel is not in diffusers .*; install a newer one"):
        VideoDenoiser("ltx")
