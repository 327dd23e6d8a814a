"""Video transformers of every family as denoisers: what they are given, what is read off them, their folders."""

import copy
import json
import pickle
from dataclasses import replace

import pytest
import torch
from adc_tiny import TinyAutoencoder
from adc_video import VideoDenoiser, cogvideox
from adc_video.denoiser import words
from adc_video.families import FAMILIES
from adc_video.layouts import TOKENS
from adc_wan import OneStepVideo, ScoreHead, WanConditioner

from adc.inference.latent import LatentDiffusion
from adc.ops.flow import TimeLaw, add_noise
from adc.pruning import load_student, save_student
from adc.stages import DualStreamDistillation, FlowMatching
from adc.testing import check_denoiser, check_stage
from adc.training import Role

WIDTH, ROWS, CHANNELS = 16, 6, 12
HEADS = {"in_channels": CHANNELS, "out_channels": CHANNELS, "num_attention_heads": 2, "attention_head_dim": 12}
WAN = {**HEADS, "ffn_dim": 32, "num_layers": 3, "text_dim": WIDTH, "rope_max_seq_len": 32}
COGVIDEOX = {
    **HEADS,
    "attention_head_dim": 16,
    "time_embed_dim": 8,
    "text_embed_dim": WIDTH,
    "num_layers": 3,
    "sample_width": 8,
    "sample_height": 8,
    "sample_frames": 9,
    "max_text_seq_length": ROWS,
}
HUNYUAN = {
    **HEADS,
    "num_layers": 2,
    "num_single_layers": 2,
    "num_refiner_layers": 1,
    "text_embed_dim": WIDTH,
    "pooled_projection_dim": 8,
    "rope_axes_dim": [4, 4, 4],
}
SANA = {
    **HEADS,
    "num_layers": 3,
    "num_cross_attention_heads": 2,
    "cross_attention_head_dim": 12,
    "cross_attention_dim": 24,
    "caption_channels": WIDTH,
    "rope_max_seq_len": 32,
}
MOCHI = {**HEADS, "num_layers": 3, "pooled_projection_dim": WIDTH, "text_embed_dim": WIDTH, "time_embed_dim": 8}
TINY = {
    "wan21": ("wan21", WAN),
    "skyreels_v2": ("skyreels_v2", WAN),
    "sana_video": ("sana_video", SANA),
    "ltx": ("ltx", {**HEADS, "cross_attention_dim": 24, "caption_channels": WIDTH, "num_layers": 3}),
    "hunyuan": ("hunyuan", HUNYUAN),
    "mochi": ("mochi", MOCHI),
    "cogvideox": ("cogvideox", COGVIDEOX),
    "cogvideox 5b": ("cogvideox", {**COGVIDEOX, "use_rotary_positional_embeddings": True}),
    "cogvideox 1.5": ("cogvideox", {**COGVIDEOX, "use_rotary_positional_embeddings": True, "patch_size_t": 2}),
}
STRAIGHT = [name for name in TINY if FAMILIES[TINY[name][0]].schedule is None]
every = pytest.mark.parametrize("name", TINY)


def tiny(name, **options):
    import diffusers

    family, config = TINY[name]
    if not hasattr(diffusers, FAMILIES[family].network):
        pytest.skip(f"diffusers {diffusers.__version__} has no {FAMILIES[family].network}")
    return VideoDenoiser(family, config=config, **options).eval()


def inputs(clips=2, frames=4, height=4, width=6):
    generator = torch.Generator().manual_seed(0)
    z_t, lr = (torch.randn(clips, frames, CHANNELS, height, width, generator=generator) for _ in range(2))
    text = torch.randn(clips, ROWS, WIDTH, generator=generator)
    text[0, 3:] = 0
    return z_t, torch.rand(clips, generator=generator), {"text": text, "lr": lr}


def conditioner():
    return WanConditioner(TinyAutoencoder(), text="sharp", length=ROWS, width=WIDTH)


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


@pytest.mark.parametrize("name", STRAIGHT)
def test_time_is_not_rounded(name):
    denoiser, (z_t, t, condition) = tiny(name), inputs()
    with torch.no_grad():
        one, other = (denoiser(z_t, t + shift, condition)[0] for shift in (0, 1e-4))
    assert (one - other).abs().amax(dim=(1, 2, 3, 4)).min() > 0


@every
def test_padding(name):
    """Rows of zeros behind a text are hidden where the family has a mask, and else take part."""
    denoiser, (z_t, t, condition) = tiny(name), inputs()
    row = FAMILIES[denoiser.family]
    cut = {**condition, "text": condition["text"][:, :3]}
    with torch.no_grad():
        whole = denoiser(z_t[:1], t[:1], {key: value[:1] for key, value in condition.items()})[0]
        if row.text_rows is not None:
            with pytest.raises(ValueError, match=r"have the length 3, but \w+ takes 6 \(max_text_seq_length\)"):
                denoiser(z_t, t, cut)
            return
        words_alone = denoiser(z_t[:1], t[:1], {key: value[:1] for key, value in cut.items()})[0]
    assert torch.allclose(whole, words_alone, atol=1e-5) == row.masked


def test_words():
    text = torch.zeros(3, 4, 2)
    text[0, :2] = 1
    text[1, 2] = 1  # zeros before the last word are no padding
    assert words(text).int().tolist() == [[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0]]


@pytest.mark.parametrize("name", [name for name in TINY if FAMILIES[TINY[name][0]].masked])
def test_an_empty_text(name):
    denoiser, (z_t, t, condition) = tiny(name), inputs()
    assert denoiser(z_t, t, {**condition, "text": torch.zeros_like(condition["text"])})[0].isfinite().all()


def test_pooled_text_and_guidance():
    denoiser, (z_t, t, condition) = tiny("hunyuan"), inputs()
    other = tiny("hunyuan", guidance=1.0)
    assert (denoiser.guidance, other.guidance) == (6.0, 1.0)
    with torch.no_grad():
        usual = denoiser(z_t, t, condition)[0]
        assert torch.equal(denoiser(z_t, t, {**condition, "pooled": torch.zeros(2, 8)})[0], usual)
        assert not torch.equal(denoiser(z_t, t, {**condition, "pooled": torch.ones(2, 8)})[0], usual)
        assert not torch.equal(other(z_t, t, condition)[0], usual)


def test_packed_latents():
    latents = torch.arange(2 * 4 * 3 * 4 * 6).view(2, 4, 3, 4, 6)
    tokens = TOKENS.pack(latents, (2, 2, 3))
    assert tokens.shape == (2, 2 * 2 * 2, 3 * 2 * 2 * 3)
    patch = latents[1, 2:4, :, 0:2, 3:6]  # the second frame of the grid, its first row, its second column
    assert torch.equal(tokens[1, 5], patch.transpose(0, 1).flatten())
    assert torch.equal(TOKENS.unpack(tokens, (2, 2, 2), (2, 2, 3)), latents)


def test_a_frame_that_is_missing_stands_in_front():
    denoiser, (z_t, t, condition) = tiny("cogvideox 1.5"), inputs(frames=3)
    doubled = [torch.cat([one[:, :1], one], dim=1) for one in (z_t, condition["lr"])]
    with torch.no_grad():
        velocity, (feature,) = denoiser(z_t, t, condition, taps=(1,))
        expected, (expected_feature,) = denoiser(doubled[0], t, {**condition, "lr": doubled[1]}, taps=(1,))
    assert torch.equal(velocity, expected[:, 1:])
    assert torch.equal(feature, expected_feature[:, 1:])
    assert torch.equal(expected_feature[:, 2], expected_feature[:, 3])


@pytest.mark.parametrize(
    ("sides", "trained", "corners"),
    [((30, 45), (30, 45), ((0, 0), (30, 45))), ((34, 60), (30, 45), ((2, 0), (28, 45)))],
)
def test_positions_fit_the_trained_frame(sides, trained, corners):
    assert cogvideox.fitted(sides, trained) == corners


class Oracle(torch.nn.Module):
    """The velocity ``a eps - s x0`` of one clean latent and one noise, at the step that is asked for."""

    def __init__(self, clean, noise, alphas):
        super().__init__()
        self.clean, self.noise, self.alphas, self.given = clean, noise, alphas, []

    def forward(self, hidden_states, timestep, **rest):
        self.given.append((hidden_states, timestep))
        alpha = self.alphas[timestep].float().view(-1, 1, 1, 1, 1)
        return (alpha.sqrt() * self.noise - (1 - alpha).sqrt() * self.clean,)


def test_a_perfect_network_of_preserved_variance_gives_the_velocity():
    denoiser, (noise, _, condition) = tiny("cogvideox", lr_channels=False), inputs()
    clean, alphas = condition["lr"], cogvideox.alphas(denoiser.schedule)
    denoiser.network = oracle = Oracle(clean, noise, alphas)
    for steps in ([0, 300], [999, 998]):
        t = denoiser.process.times[steps].float()
        velocity, _ = denoiser(add_noise(clean, noise, t), t, condition)
        torch.testing.assert_close(velocity, noise - clean, rtol=1e-4, atol=1e-4)
        latents, asked = oracle.given[-1]
        assert asked.tolist() == steps
        a, s = alphas[steps].sqrt().float(), (1 - alphas[steps]).sqrt().float()
        mixed = a.view(2, 1, 1, 1, 1) * clean + s.view(2, 1, 1, 1, 1) * noise
        torch.testing.assert_close(latents, mixed, rtol=1e-5, atol=1e-5)
    pure, ones = noise, torch.ones(2)
    velocity, _ = denoiser(pure, ones, condition)
    assert alphas[-1] == 0
    assert oracle.given[-1][1].tolist() == [999, 999]
    assert torch.equal(oracle.given[-1][0], noise)
    torch.testing.assert_close(velocity, noise - clean)


def test_steps_are_the_nearest():
    process = tiny("cogvideox").process
    middle = (process.times[400] + process.times[401]) / 2
    t = torch.tensor([0.0, middle - 1e-5, middle + 1e-5, 1.0])
    assert process.inputs(torch.zeros(4, 1), t)[1].tolist() == [0, 400, 401, 999]


def called_as_published(name, network, z, time, text):
    """A network of diffusers, called as its pipeline does; what it predicts, ``(B, T', C, h, w)``."""
    first = z.transpose(1, 2)
    mask = (text.abs().sum(dim=2) > 0).long()
    frames, rows, columns = z.shape[1], z.shape[3], z.shape[4]
    common = {"encoder_hidden_states": text, "timestep": time, "return_dict": False}
    if name in ("wan21", "skyreels_v2"):
        return network(first, **common, **({"fps": [1, 1]} if name == "skyreels_v2" else {}))[0].transpose(1, 2)
    if name in ("sana_video", "mochi"):
        return network(first, encoder_attention_mask=mask, **common)[0].transpose(1, 2)
    if name == "hunyuan":
        pooled, guidance = torch.zeros(2, 8), torch.tensor([6.0, 6.0]) * 1000.0
        given = {"pooled_projections": pooled, "guidance": guidance, "encoder_attention_mask": mask}
        return network(first, **given, **common)[0].transpose(1, 2)
    if name == "ltx":
        tokens = z.permute(0, 1, 3, 4, 2).reshape(2, frames * rows * columns, -1)
        sizes = {"num_frames": frames, "height": rows, "width": columns, "rope_interpolation_scale": (8 / 25, 32, 32)}
        found = network(tokens, encoder_attention_mask=mask, **sizes, **common)[0]
        return found.reshape(2, frames, rows, columns, -1).permute(0, 1, 4, 2, 3)
    return network(z, image_rotary_emb=published_positions(name, (frames, rows // 2, columns // 2)), **common)[0]


def published_positions(name, grid):
    from diffusers.models.embeddings import get_3d_rotary_pos_embed

    if name == "cogvideox":
        return None
    if name == "cogvideox 1.5":
        options = {"temporal_size": grid[0] // 2, "grid_type": "slice", "max_size": (4, 4), "crops_coords": None}
    else:  # a grid of 2 x 3 patches in the trained one of 4 x 4
        options = {"temporal_size": grid[0], "crops_coords": ((0, 0), (3, 4))}
    return get_3d_rotary_pos_embed(16, grid_size=grid[1:], **options)


def bare(denoiser, folder):
    """The network, read by diffusers."""
    import diffusers

    denoiser.save_pretrained(str(folder))
    kind = getattr(diffusers, FAMILIES[denoiser.family].network)
    return kind.from_pretrained(str(folder / "transformer")).eval()


@pytest.mark.parametrize("name", STRAIGHT)
def test_a_step_of_the_published_sampler(name, tmp_path):
    """Diffusers' network and scheduler on one side, an Euler step of the velocity on the other."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    denoiser, (z, _, condition) = tiny(name, lr_channels=False), inputs()
    network = bare(denoiser, tmp_path)
    backwards = name == "mochi"
    scheduler = FlowMatchEulerDiscreteScheduler(invert_sigmas=backwards)
    scheduler.set_timesteps(4)
    step, end = scheduler.sigmas[1], scheduler.sigmas[2]
    t, t_end = (1 - step, 1 - end) if backwards else (step, end)
    assert t > t_end > 0
    scheduler.set_begin_index(1)
    with torch.no_grad():
        predicted = called_as_published(name, network, z, scheduler.timesteps[1].expand(2), condition["text"])
        expected = scheduler.step(predicted, scheduler.timesteps[1], z, return_dict=False)[0]
        velocity, _ = denoiser(z, t.expand(2), condition)
    torch.testing.assert_close(z - (t - t_end) * velocity, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in TINY if name not in STRAIGHT])
@pytest.mark.parametrize("number", [0, 2])
def test_a_step_of_the_published_sampler_of_preserved_variance(name, number, tmp_path):
    from diffusers import CogVideoXDDIMScheduler

    shift = 3.0 if name == "cogvideox" else 1.0
    denoiser, (z_vp, _, condition) = tiny(name, lr_channels=False, schedule={"snr_shift_scale": shift}), inputs()
    network = bare(denoiser, tmp_path)
    scheduler = CogVideoXDDIMScheduler(
        rescale_betas_zero_snr=True, snr_shift_scale=shift, prediction_type="v_prediction", timestep_spacing="trailing"
    )
    scheduler.set_timesteps(4)
    pair = scheduler.timesteps[number : number + 2]
    step, alphas = pair[0], scheduler.alphas_cumprod[pair]
    (a, a_after), (s, s_after) = alphas.sqrt(), (1 - alphas).sqrt()
    t, end = s / (a + s), s_after / (a_after + s_after)
    with torch.no_grad():
        predicted = called_as_published(name, network, z_vp, step.expand(2), condition["text"])
        expected = scheduler.step(predicted, step, z_vp, return_dict=False)[0]
        z_t = z_vp / (a + s)
        velocity, _ = denoiser(z_t, t.expand(2), condition)
    reached = (a_after + s_after) * (z_t - (t - end) * velocity)
    torch.testing.assert_close(reached, expected, rtol=1e-3, atol=1e-4)


def batch():
    generator = torch.Generator().manual_seed(0)
    lr = torch.rand(2, 1, 3, 8, 8, generator=generator) * 2 - 1
    hr = torch.rand(2, 1, 3, 32, 32, generator=generator) * 2 - 1
    return {"lr": lr, "hr": hr, "name": ["0", "1"]}


def adam(parameters):
    return torch.optim.Adam(parameters, lr=1e-3)


def test_flow_matching_of_a_masked_family():
    student = LatentDiffusion(tiny("ltx"), conditioner(), steps=2)
    stage = FlowMatching(student, {"student": Role(adam)}, gradient_checkpointing=True)
    check_stage(stage, batch(), batches=2)


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
