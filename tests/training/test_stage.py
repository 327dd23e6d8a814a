import random
from functools import partial

import numpy as np
import pytest
import torch
from training import SGD, AfterBatch, Clips, Watch, decoding, distillation, regression, same, train, weights

from adc.ops.clip import upsample_bicubic
from adc.training import Role, unique_names
from adc.training.callbacks import Divergence


def roles(**options):
    return {name: Role(SGD, **options) for name in ("student", "discriminators")}


def updates(stage, batches):
    """The counts after each batch."""
    history = []

    def note(trainer, stage):
        history.append(tuple(stage.updates.values()))
        trainer.should_stop |= len(history) == batches

    train(stage, 10_000, callbacks=[AfterBatch(note)])
    return history


def test_each_role_counts_its_own_updates():
    cycle = [["discriminators"], ["discriminators"], ["student"]]
    assert updates(distillation(cycle=cycle), 6) == [(0, 1), (0, 2), (1, 2), (1, 3), (1, 4), (2, 4)]
    assert updates(distillation(cycle=cycle, accumulate=2), 8)[1::2] == [(0, 1), (0, 2), (1, 2), (1, 3)]
    assert updates(distillation(), 2) == [(1, 1), (2, 2)]


def test_a_window_of_accumulation_belongs_to_one_entry_of_the_cycle():
    stage, turns = distillation(cycle=[["discriminators"], ["student"]], accumulate=3), []
    train(stage, 2, callbacks=[AfterBatch(lambda trainer, stage: turns.append(stage.active_phases[0]))])
    assert turns == (["discriminators"] * 3 + ["student"] * 3) * 2


@pytest.mark.parametrize("make", [partial(decoding, adaptive=False), regression, distillation])
def test_two_batches_accumulated_are_one_batch_of_twice_the_size(make):
    """Losses are means over a batch, so gradients are averaged."""
    results = []
    for accumulate, size in ((1, 4), (2, 2), (4, 1)):
        stage = make(accumulate=accumulate)
        for role in stage.roles.values():
            role.optimizer = SGD
        train(stage, 3, batch_size=size)
        assert stage.batches_seen == 3 * accumulate
        results.append(weights(stage))
    for key, expected in results[0].items():
        for other in results[1:]:
            assert torch.allclose(other[key], expected, atol=1e-6), key


def norm(parameters):
    return torch.stack([p.grad.norm() for p in parameters]).norm().item()


def test_each_role_is_clipped_by_its_own_norm():
    free, clipped = {}, {}
    for seen, clips in ((free, (None, None)), (clipped, (1e-3, 1e6))):
        stage = distillation(roles={name: Role(SGD, clip=clip) for name, clip in zip(roles(), clips, strict=True)})
        train(stage, 1, callbacks=[Watch(lambda s, role, seen=seen: seen.update({role: norm(s.parameters_of(role))}))])
    assert free["student"] > 1e-3
    after = regression(role=Role(SGD, clip=1e-3))
    moved = weights(after.network)
    train(after, 1)
    distance = torch.stack([(moved[k] - v).norm() for k, v in after.network.state_dict().items()]).norm()
    assert distance.item() == pytest.approx(0.1 * 1e-3, rel=1e-2)
    assert clipped["discriminators"] == pytest.approx(free["discriminators"], rel=1e-6)


def test_clipping_one_role_leaves_what_another_has_accumulated():
    moves = []
    for clip in (None, 1e-4):
        stage = distillation(
            roles={"student": Role(SGD, clip=1.0), "discriminators": Role(SGD, clip=clip)}, accumulate=2
        )
        before = torch.cat([p.detach().flatten().clone() for p in stage.discriminators.parameters()])
        train(stage, 1)
        moves.append(torch.cat([p.detach().flatten() for p in stage.discriminators.parameters()]) - before)
    free, clipped = moves
    assert clipped.norm().item() == pytest.approx(0.1 * 1e-4, rel=1e-2)
    assert torch.nn.functional.cosine_similarity(free, clipped, dim=0).item() == pytest.approx(1, abs=1e-4)


def test_schedules_follow_the_updates_of_their_role():
    cycle = [["discriminators"], ["discriminators"], ["student"]]
    scheduled = {
        "student": Role(SGD, partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)),
        "discriminators": Role(SGD, partial(torch.optim.lr_scheduler.MultiStepLR, milestones=[3], gamma=0.1)),
    }
    stage, rates = distillation(cycle=cycle, roles=scheduled), []

    def note(trainer, stage):
        rates.append(tuple(round(o.param_groups[0]["lr"], 9) for o in trainer.optimizers))

    train(stage, 2, callbacks=[AfterBatch(note)])
    assert rates == [(0.1, 0.1), (0.1, 0.1), (0.05, 0.1), (0.05, 0.01), (0.05, 0.01), (0.025, 0.01)]


def test_a_schedule_that_waits_for_a_metric_is_refused():
    role = Role(SGD, torch.optim.lr_scheduler.ReduceLROnPlateau)
    with pytest.raises(ValueError, match=r"roles\.network\.scheduler: ReduceLROnPlateau waits for a metric"):
        train(regression(role=role), 1)


def test_what_is_logged():
    stage = distillation(roles=roles(clip=1.0))
    run = train(stage, 2)
    told = {key: value.item() for key, value in run.callback_metrics.items()}
    assert told["updates/student"] == told["updates/discriminators"] == 2
    assert told["rate/student"] == pytest.approx(0.1)
    assert {"student/L1_feature_teacher", "discriminators/feature_realism_real", "gradient/student"} <= set(told)


def test_a_loss_that_is_not_finite_stops_in_one_line(tmp_path):
    stage = distillation()
    stage.losses[0].weight = float("nan")
    found = "phase 'student', role 'student': the loss is not finite after 0 batches"
    with pytest.raises(ValueError, match=found) as caught:
        train(stage, 1, folder=tmp_path, callbacks=[Divergence(limit=0)])
    assert "\n" not in str(caught.value)
    assert "L1_feature_teacher nan, MSE_pixel_real 0." in str(caught.value)


def drawn(stage, batches, start=0):
    """What the random generators give during each step."""
    found, prepare = [], stage.prepare

    def note(batch):
        found.append((random.random(), float(np.random.rand()), torch.rand(1).item()))
        return prepare(batch)

    stage.prepare, stage.batches_seen = note, start
    train(stage, batches)
    return found


def test_the_randomness_of_a_step_is_a_function_of_seed_and_batch():
    first = drawn(regression(seed=5), 4)
    random.seed(9), np.random.seed(9)
    assert drawn(regression(seed=5), 4) == first
    assert drawn(regression(seed=5), 2, start=2) == first[2:]
    assert len({*first, *drawn(regression(seed=6), 4)}) == 8


def test_half_precision_of_brain_floats_trains_float32_weights():
    stage = distillation()
    train(stage, 2, precision="bf16-mixed")
    assert {p.dtype for p in stage.parameters()} == {torch.float32}
    exact = distillation()
    train(exact, 2)
    for name, parameter in exact.named_parameters():
        assert torch.allclose(parameter, stage.get_parameter(name), atol=1e-2), name
    assert not same(weights(exact.student), weights(stage.student))


class Scaler:
    """Does what a gradient scaler does on a GPU: gradients carry a factor until `unscale_`."""

    factor = 1024.0

    def __init__(self):
        self.calls = []

    def scale(self, loss):
        return loss * self.factor

    def unscale_(self, optimizer):
        self.calls.append("unscale")
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad.div_(self.factor)

    def step(self, optimizer, **options):
        self.calls.append("step")
        optimizer.step()

    def update(self):
        self.calls.append("update")

    def state_dict(self):
        return {"scale": self.factor}


def test_with_a_scaler_gradients_are_clipped_after_they_are_unscaled():
    from lightning.pytorch.plugins import MixedPrecision

    class Exact(MixedPrecision):
        """The scaler's path without half precision, which a CPU hardly has."""

        def autocast_context_manager(self):
            return torch.autocast("cpu", enabled=False)

    results = []
    for plugins in ([], [Exact("16-mixed", "cpu", Scaler())]):
        stage = distillation(roles={"student": Role(SGD, clip=0.02), "discriminators": Role(SGD, clip=0.01)})
        run = train(stage, 3, plugins=plugins)
        results.append(weights(stage))
    assert run.precision_plugin.scaler.calls == ["unscale", "step", "update"] * 6
    for key, tensor in results[0].items():
        assert torch.allclose(tensor, results[1][key], atol=1e-7), key


def test_half_precision_with_a_real_scaler():
    from lightning.pytorch.plugins import MixedPrecision

    stage = distillation(roles=roles(clip=1.0))
    before = weights(stage.student)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    run = train(stage, 3, plugins=[MixedPrecision("16-mixed", "cpu", scaler)])
    assert run.callback_metrics["gradient/student"] < 100
    assert not same(before, weights(stage.student))
    assert all(p.isfinite().all() for p in stage.parameters())


def test_terms_of_one_name_are_numbered():
    one, two, three = (torch.tensor(float(i)) for i in range(3))
    assert unique_names([("a", one), ("b", two), ("a", three)]) == {"a": one, "b": two, "a_2": three}


def test_validation_and_test_measure_the_restorer():
    from training import trainer

    stage = regression()
    stage.network.restore = lambda lr: upsample_bicubic(lr, 4)
    run = trainer(limit_val_batches=1.0)
    (validated,) = run.validate(stage, datamodule=Clips(), verbose=False)
    (tested,) = run.test(stage, datamodule=Clips(), verbose=False)
    assert validated["validation/psnr_y"] == tested["test/psnr_y"] > 5
    assert 0 < validated["validation/ssim_y"] == tested["test/ssim_y"] < 1


def test_video_networks_keep_their_layout():
    """Five-dimensional weights have no layout of images."""

    class Moving(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.flow = torch.nn.Conv3d(3, 3, 3)
            self.frame = torch.nn.Conv2d(3, 3, 3)

    stage = regression()
    stage.network.extra = Moving()
    stage.setup("fit")
    assert stage.network.extra.frame.weight.is_contiguous(memory_format=torch.channels_last)
    assert stage.network.extra.flow.weight.is_contiguous()


def test_everything_is_frozen_before_processes_join():
    """DDP takes what asks for gradients when it wraps the stage, after `setup` and before the optimizers."""
    stage = distillation()
    stage.setup("fit")
    asking = {name.split(".")[0] for name, p in stage.named_parameters() if p.requires_grad}
    assert asking == {"student", "discriminators"}
    stage = decoding()
    stage.setup("fit")
    asking = [name for name, p in stage.named_parameters() if p.requires_grad]
    assert all(name.startswith(("student.decoder.", "discriminator.")) for name in asking)


def test_a_validation_keeps_half_accumulated_gradients():
    def trained(**options):
        stage = regression(accumulate=2)
        train(stage, 3, check_val_every_n_epoch=None, num_sanity_val_steps=0, **options)
        return weights(stage)

    assert same(trained(), trained(val_check_interval=3, limit_val_batches=1))
