"""Flow matching, guidance distillation and progressive distillation on tiny networks."""

import copy
from functools import partial

import pytest
import torch
from adc_tiny import TinyConditioner, TinyDenoiser
from lightning.pytorch import Callback
from training import Clips, trainer

from adc.inference.latent import LatentDiffusion
from adc.interfaces import Denoiser
from adc.ops.clip import soften
from adc.ops.flow import TimeLaw, add_noise, time_grid
from adc.ops.random import ClipRandom
from adc.ops.sampling import euler
from adc.stages import FlowMatching, GuidanceDistillation, ProgressiveDistillation
from adc.testing import check_stage
from adc.training import Role
from adc.training.callbacks import StopAfter
from adc.training.denoising import Latents

SGD = partial(torch.optim.SGD, lr=0.05)
Adam = partial(torch.optim.Adam, lr=1e-3)
Falling = partial(torch.optim.lr_scheduler.LinearLR, start_factor=1.0, end_factor=0.1, total_iters=2)


def student(seed=0, **options):
    return LatentDiffusion(TinyDenoiser(8, seed=seed), TinyConditioner(**options), steps=2, shift=1.0)


def batch(clips=2):
    generator = torch.Generator().manual_seed(0)
    lr = torch.rand(clips, 1, 3, 16, 16, generator=generator) * 2 - 1
    hr = torch.rand(clips, 1, 3, 64, 64, generator=generator) * 2 - 1
    return {"lr": lr, "hr": hr, "name": [str(number) for number in range(clips)]}


def flow_matching(**options):
    return FlowMatching(student(negative="soft"), {"student": Role(SGD)}, **options)


def guidance(seed=1, **options):
    return GuidanceDistillation(student(), TinyDenoiser(8, seed=seed), {"student": Role(SGD)}, **options)


def progressive(optimizer=SGD, **options):
    role = Role(optimizer, scheduler=Falling)
    given = {"steps_from": 8, "updates_per_round": 2, "shift": 1.0, **options}
    return ProgressiveDistillation(student(), TinyDenoiser(8), {"student": role}, **given)


class Constant(Denoiser):
    """The velocity of one clean latent: z_t - x0 over t, exact for every t."""

    depth = 1

    def __init__(self, clean):
        super().__init__()
        self.clean = torch.nn.Parameter(clean)

    def forward(self, z_t, t, condition, taps=(), stop_early=False):
        return (z_t - self.clean) / t.view(-1, 1, 1, 1, 1).clamp(min=1e-6), []


def drawn(stage, given):
    """What a stage prepares of a batch, outside of a trainer."""
    stage.random_of = lambda batch: ClipRandom(len(batch["lr"]), 0)
    return stage.prepare(given)


def quiet(stage):
    stage.log = lambda *arguments, **options: None
    return stage


@pytest.mark.parametrize("make", [flow_matching, guidance, progressive])
def test_contract(make):
    check_stage(make(), batch(), batches=5)


@pytest.mark.slow
@pytest.mark.parametrize("make", [flow_matching, guidance, progressive])
def test_processes_and_sharded_networks_agree(make):
    check_stage(make(), batch(4), batches=5, processes=2)


def test_the_true_velocity_costs_nothing():
    stage = flow_matching()
    latents = drawn(stage, batch(1))
    stage.student.denoiser = Constant(latents.clean)
    assert stage.student_loss(latents)["flow"].item() == pytest.approx(0, abs=1e-9)
    stage.student.denoiser = Constant(latents.clean + 0.5)
    stage.times = TimeLaw(low=0.5, high=0.5)
    assert stage.student_loss(latents)["flow"].item() == pytest.approx(1.0, rel=1e-5)  # (0.5 / t)^2


def test_texts_are_dropped_and_negative_in_their_shares():
    stage = flow_matching(text_dropout=0.2, negative_share=0.3)
    given = batch(1)
    many = {"lr": given["lr"].expand(600, -1, -1, -1, -1), "hr": given["hr"].expand(600, -1, -1, -1, -1), "name": []}
    latents = drawn(stage, many)
    texts = latents.condition["text"]
    usual, negative = (stage.conditioner.condition({**given, "text": [text]})["text"] for text in ("restored", "soft"))
    shares = [(texts == one).all(dim=1).float().mean().item() for one in (torch.zeros(1, 4), negative, usual)]
    assert shares == pytest.approx([0.2, 0.3, 0.5], abs=0.05)
    softened = stage.conditioner.autoencoder.encode(soften(given["hr"], 4))
    is_soft = (latents.clean == softened).flatten(1).all(dim=1)
    assert torch.equal(is_soft, (texts == negative).all(dim=1))
    assert torch.equal(latents.clean[~is_soft][:1], stage.conditioner.clean(given))


def test_cached_latents_replace_the_autoencoder():
    stage, given = flow_matching(text_dropout=0.0, negative_share=1.0), batch(1)
    clean, lr = (stage.conditioner.clean(given), stage.conditioner.condition(given)["lr"])
    cached = {"lr": given["lr"], "name": ["0"], "hr_latents": clean, "lr_latents": lr, "negative_latents": clean + 1}
    stage.conditioner.autoencoder = None
    latents = drawn(stage, cached)
    assert torch.equal(latents.clean, clean + 1)
    assert torch.equal(latents.condition["lr"], lr)


def test_noise_in_lr_latents():
    stage, given = flow_matching(lr_noise=(0.5, 0.5)), batch(1)
    lr, noisy = stage.conditioner.condition(given)["lr"], drawn(stage, given).condition["lr"]
    assert (noisy - 0.5 * lr).std().item() == pytest.approx(0.5, rel=0.1)


def test_shares_that_are_none():
    with pytest.raises(ValueError, match=r"text_dropout, negative_share: 0.8 \+ 0.3; shares"):
        flow_matching(text_dropout=0.8, negative_share=0.3)
    with pytest.raises(ValueError, match=r"lr_noise: \[0.6, 0.3\]"):
        flow_matching(lr_noise=(0.6, 0.3))


def test_guidance_of_scale_one_on_the_teacher_itself_costs_nothing():
    stage = quiet(guidance(seed=0, guidance_scale=1.0))
    assert stage.student_loss(drawn(stage, batch()))["guidance"].item() == 0


def test_guidance_target():
    stage = quiet(guidance(seed=0, guidance_scale=3.0))
    latents = drawn(stage, batch())
    loss = stage.student_loss(latents)["guidance"].item()
    latents.random = ClipRandom(2, 0)
    noise, t = latents.random.normal(latents.clean), stage.times.draw(latents.random)
    z_t = add_noise(latents.clean, noise, t)
    conditions = latents.condition, stage.conditioner.unconditional(latents.condition)
    text, null = (stage.teacher(z_t, t, condition)[0] for condition in conditions)
    assert loss == pytest.approx((2 * (text - null)).square().mean().item(), rel=1e-5)  # student = teacher: (s - 1) d
    assert loss > 1e-6


def test_guidance_that_adds_nothing_is_said_once(caplog):
    stage = quiet(guidance(seed=0))
    stage.conditioner.negative = stage.conditioner.text
    for _ in range(2):
        stage.student_loss(drawn(stage, batch()))
    assert caplog.text.count("guidance has nothing to add") == 1


def run(stage, updates, folder, callbacks=()):
    trainer(folder, [*callbacks, StopAfter("student", updates)]).fit(stage, datamodule=Clips(2))
    return stage


class Teachers(Callback):
    """Teacher, student, optimizer and rate before each batch and at the end."""

    def __init__(self):
        self.seen = []

    def note(self, stage):
        state = [copy.deepcopy(one.state_dict()) for one in (stage.teacher, stage.student.denoiser)]
        optimizer = stage.optimizer_of("student").optimizer
        self.seen.append((stage.steps, *state, len(optimizer.state), optimizer.param_groups[0]["lr"]))

    def on_train_batch_start(self, trainer, stage, *rest):
        self.note(stage)

    def on_train_end(self, trainer, stage):
        self.note(stage)


def same(one, other):
    return all(torch.equal(one[key], other[key]) for key in one)


def test_rounds(tmp_path):
    notes = Teachers()
    run(progressive(Adam), 6, tmp_path, [notes])
    steps, teachers, students, states, rates = zip(*notes.seen, strict=True)
    assert steps == (4, 4, 2, 2, 1, 1, 1)
    assert same(teachers[0], students[0])
    for number in range(1, 7):
        replaced = number in (2, 4)
        assert same(teachers[number], teachers[number - 1]) != replaced
        assert same(teachers[number], students[number]) == replaced
        assert (states[number] == 0) == replaced
    assert rates == pytest.approx((1e-3, 5.5e-4, 1e-3, 5.5e-4, 1e-3, 5.5e-4, 1e-4))
    for name, number in (("4", 2), ("2", 4), ("1", 6)):
        written = TinyDenoiser(8, source=str(tmp_path / "rounds" / name))
        assert same(written.state_dict(), students[number])


def test_an_optimizer_that_is_kept(tmp_path):
    notes = Teachers()
    run(progressive(Adam, reset_optimizer=False), 5, tmp_path, callbacks=[notes])
    assert [states for *_, states, _ in notes.seen[1:]] == [8] * 5
    assert notes.seen[-1][-1] == pytest.approx(1e-4)


def test_a_fresh_optimizer_begins_a_round_as_a_run_of_its_own(tmp_path):
    """A stage that starts with the first round's student as student and teacher ends with the same weights."""
    notes = Teachers()
    whole = run(progressive(Adam), 4, tmp_path, callbacks=[notes])
    second = progressive(Adam, steps_from=4)
    for network in (second.teacher, second.student.denoiser):
        network.load_state_dict(notes.seen[2][2])
    second.batches_seen, second.seed = 2, whole.seed  # the noise of the third batch
    run(second, 2, tmp_path)
    assert same(second.student.denoiser.state_dict(), whole.student.denoiser.state_dict())


@pytest.mark.parametrize(("space", "weight"), [("velocity", 1.0), ("state", 0.25**2)])
def test_halving_towards_a_teacher_that_is_right(space, weight):
    """A teacher with the true velocity goes straight, so the student with it is right; half a latent off is not."""
    stage = quiet(progressive(loss_space=space))  # four steps of a quarter
    latents = Latents(torch.zeros(1, 1, 12, 4, 4), {}, ClipRandom(1, 0))
    stage.teacher, stage.student.denoiser = (Constant(torch.zeros(1, 1, 12, 4, 4)) for _ in range(2))
    assert stage.student_loss(latents)["halving"].item() == pytest.approx(0, abs=1e-9)
    stage.student.denoiser = Constant(torch.full((1, 1, 12, 4, 4), 0.5))
    latents.random = ClipRandom(1, 0)
    place = ClipRandom(1, 0).integer(1, 4).item() / 4
    assert stage.student_loss(latents)["halving"].item() == pytest.approx(weight * (0.5 / place) ** 2, rel=1e-4)


def test_wrong_steps_and_shapes():
    with pytest.raises(ValueError, match="steps_from: 12; a power of two"):
        progressive(steps_from=12)
    with pytest.raises(ValueError, match="updates_per_round: 0"):
        progressive(updates_per_round=0)
    with pytest.raises(ValueError, match="teacher: its shape is not the student's"):
        ProgressiveDistillation(student(), TinyDenoiser(9), {"student": Role(SGD)})


def test_one_step_comes_near_to_where_the_teachers_steps_end(tmp_path):
    """What the ladder is for: the distance to the end of the teacher's eight steps, from the same noise, falls."""
    torch.manual_seed(0)
    stage = progressive(partial(torch.optim.Adam, lr=3e-3), updates_per_round=40, loss_space="velocity")
    teacher, given = copy.deepcopy(stage.teacher), batch(8)
    condition = stage.conditioner.condition(given)
    noise = torch.randn_like(condition["lr"])

    def end(network, steps):
        with torch.no_grad():
            return euler(lambda z, t: network(z, t, condition)[0], noise, time_grid(steps))

    before = (end(teacher, 1) - end(teacher, 8)).square().mean().item()
    run(stage, 120, tmp_path)
    assert (end(stage.student.denoiser, 1) - end(teacher, 8)).square().mean().item() < before / 3
