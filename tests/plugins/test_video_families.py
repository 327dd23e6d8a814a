"""What video transformers are given and what is read off them: against diffusers' schedulers, and in closed form."""

import pytest
import torch
from adc_video import DOVE, VideoDenoiser, cogvideox
from adc_video.denoiser import words
from adc_video.families import FAMILIES
from adc_video.layouts import TOKENS
from video_denoisers import STRAIGHT, TINY, every, inputs, tiny

from adc.ops.flow import add_noise, clean_from_velocity


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


@torch.no_grad()
def test_a_folder_of_dove(tmp_path):
    """Its one step from the velocity of its network."""
    vae = {"block_out_channels": [4, 4, 8, 8], "layers_per_block": 1, "norm_num_groups": 2}
    network = {"num_attention_heads": 2, "num_layers": 2, "text_embed_dim": 6, "max_text_seq_length": 3}
    teacher = DOVE(transformer=network, vae=vae, precision="float32", published_rounding=False).eval()
    teacher.save_pretrained(str(tmp_path))
    denoiser = VideoDenoiser("cogvideox", str(tmp_path), lr_channels=False).eval()
    z_vp = torch.randn(2, 3, 16, 4, 6, generator=torch.Generator().manual_seed(0))
    t = denoiser.process.times[[teacher.timestep]].float().expand(2)
    z_t = z_vp * (1 - t[0]) / teacher.alpha**0.5
    velocity, _ = denoiser(z_t, t, {"text": teacher.prompt.expand(2, -1, -1)})
    torch.testing.assert_close(clean_from_velocity(z_t, velocity, t), teacher._clean(z_vp), rtol=1e-4, atol=1e-5)
