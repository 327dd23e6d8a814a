"""Updates that are not finite are skipped and counted, and at last stop the run with all that helps."""

import copy
import json
import logging
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from adc_tiny import TinyDiscriminator, TinyStudent
from lightning.pytorch.plugins import MixedPrecision
from safetensors import safe_open
from training import SGD, AfterBatch, decoding, distillation, regression, same, train, weights

from adc.losses import L1
from adc.ops.clip import per_frame
from adc.stages import Regression
from adc.training import Role
from adc.training.callbacks import Divergence, Export, SaveEvery, StudentEMA
from adc.training.callbacks.divergence import verdict
from adc.training.checkpoint import checkpoint_path, checkpoints
from adc.training.guard import check_finite

HALVES = partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
OPTIMIZERS = {
    "SGD": partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.1),
    "Adam": partial(torch.optim.Adam, lr=1e-3, weight_decay=0.1),
    "AdamW": partial(torch.optim.AdamW, lr=1e-3, weight_decay=0.1, fused=True),
    "RAdam": partial(torch.optim.RAdam, lr=1e-3, weight_decay=0.1),
    "Adafactor": partial(torch.optim.Adafactor, lr=1e-3, weight_decay=0.1),
}


class Planted(L1):
    """A loss that at some of its calls is not finite, or only its gradient is not."""

    def __init__(self, what="gradient", calls=(), **options):
        super().__init__(**options)
        self.what, self.calls, self.count = what, calls, 0

    def forward(self, prediction, target):
        value, self.count = super().forward(prediction, target), self.count + 1
        if self.calls != "all" and self.count not in self.calls:
            return value
        if self.what == "gradient":
            return value + (prediction - prediction.detach()).sum().sqrt()  # 0, with the gradient inf
        return value * float(self.what)


class NormedStudent(TinyStudent):
    """A student with running statistics."""

    def __init__(self, **options):
        super().__init__(**options)
        self.norm = torch.nn.BatchNorm2d(3)

    def encode(self, lr):
        return super().encode(per_frame(self.norm, lr))


def normed(what, calls, **options):
    torch.manual_seed(0)
    return Regression(NormedStudent(width=6, channels=4), [Planted(what, calls)], {"network": Role(SGD)}, **options)


def planted(what="gradient", calls="all", role=None, **options):
    stage = regression(role=role, **options)
    stage.losses[0] = Planted(what, calls)
    return stage


class States:
    """All that a batch may move, after each batch."""

    def __init__(self, average=None):
        self.average, self.seen = average, []

    def __call__(self, trainer, stage):
        (optimizer,) = trainer.optimizers
        state = {
            "weights": weights(stage),
            "optimizer": copy.deepcopy(optimizer.state_dict()),
            "average": [] if self.average is None else [tensor.clone() for tensor in self.average.average],
            "updates": dict(stage.updates),
        }
        self.seen.append(state)


def equal(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(equal(*pair) for pair in zip(one, other, strict=True))
    return one == other


@pytest.mark.parametrize("what", ["gradient", "nan", "inf"])
@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_update_that_is_not_finite_moves_nothing_and_is_not_counted(what, clip, optimizer):
    average = StudentEMA("network")
    states = States(average)
    stage = planted(what, (3,), role=Role(OPTIMIZERS[optimizer], HALVES, clip=clip))
    run = train(stage, 3, callbacks=[average, AfterBatch(states)])
    first, before, skipped, after = states.seen
    assert equal(before, skipped) and before["updates"] == {"network": 2}
    assert not same(first["weights"], before["weights"]) and not same(skipped["weights"], after["weights"])
    assert all(tensor.isfinite().all() for tensor in after["weights"].values())
    assert stage.updates == {"network": 3} and stage.batches_seen == 4 and stage.guard.skipped == {"network": 1}
    assert run.callback_metrics["skipped/network"] == 1 and run.callback_metrics["updates/network"] == 3
    assert stage.guard.in_a_row == {"network": 0}


def test_the_norm_of_every_gradient_is_logged():
    run = train(distillation(), 1)
    assert run.callback_metrics["gradient/student"] > 0 and run.callback_metrics["gradient/discriminators"] > 0


@pytest.mark.parametrize("what", ["gradient", "nan"])
def test_one_bad_batch_of_an_accumulated_update_skips_it(what):
    states, stage = States(), planted(what, (3,), accumulate=2)
    train(stage, 2, callbacks=[AfterBatch(states)])
    assert stage.batches_seen == 6 and stage.updates == {"network": 2}
    assert equal(states.seen[1], states.seen[3]) and not same(states.seen[3]["weights"], states.seen[5]["weights"])


def test_the_batch_whose_loss_was_not_finite_is_told_at_the_end_of_its_update(tmp_path):
    with pytest.raises(ValueError, match=r"the loss is not finite after 2 batches \(Planted nan\)"):
        train(planted("nan", (2,), accumulate=3), 1, folder=tmp_path, callbacks=[Divergence(limit=0)])


def test_an_update_that_is_to_be_skipped_is_so_after_resuming(tmp_path):
    path = tmp_path / "half.ckpt"
    save = AfterBatch(lambda trainer, stage: stage.batches_seen == 3 and trainer.save_checkpoint(path))
    whole, resumed = planted("inf", (3,), accumulate=2), planted("inf", (), accumulate=2)
    train(whole, 2, folder=tmp_path, callbacks=[save])
    train(resumed, 2, folder=tmp_path, resume=path)
    assert same(weights(whole), weights(resumed))
    assert whole.guard.skipped == resumed.guard.skipped == {"network": 1}


def test_a_skipped_update_does_not_end_its_phase():
    """At the end of a round of progressive distillation the student becomes the teacher; once."""
    ended, stage = [], planted("nan", (2,))
    stage.on_phase_end = lambda phase: ended.append(stage.batches_seen)
    train(stage, 2)
    assert ended == [0, 2]


def test_running_statistics_go_back_with_a_skipped_update():
    seen = []
    note = AfterBatch(lambda trainer, stage: seen.append(weights(stage.network.norm)))
    stage = normed("nan", (2,))
    train(stage, 2, callbacks=[note])
    assert same(seen[0], seen[1]) and not same(seen[1], seen[2])
    assert seen[2]["num_batches_tracked"] == 2


class NormedDiscriminator(TinyDiscriminator):
    """A discriminator with running statistics."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.trunk.append(torch.nn.BatchNorm2d(8))


@pytest.mark.parametrize("order", [["student", "discriminators"], ["discriminators", "student"]])
def test_running_statistics_move_in_the_phase_of_their_role_alone(order):
    stage = distillation(cycle=[order])
    stage.discriminators[0] = NormedDiscriminator("feature", 4)
    train(stage, 3)
    norm = stage.discriminators[0].trunk[-1]
    assert norm.num_batches_tracked == 6  # two examples in each of three updates; the student's phase adds none


def test_a_student_keeps_its_statistics_while_only_discriminators_learn():
    stage = distillation(cycle=[["discriminators"], ["student"]])
    torch.manual_seed(0)
    stage.student = NormedStudent(width=6, channels=4)
    train(stage, 2)
    assert stage.updates == {"student": 2, "discriminators": 2}
    assert stage.student.norm.num_batches_tracked == 2


@pytest.mark.parametrize("fused", [False, True])
def test_a_scaler_looks_for_its_scale_beyond_the_limit(fused):
    stage = distillation(
        roles={
            name: Role(partial(torch.optim.Adam, lr=1e-3, fused=fused), clip=1.0)
            for name in ("student", "discriminators")
        }
    )
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    plugin = MixedPrecision("16-mixed", "cpu", scaler)
    run = train(stage, 3, callbacks=[Divergence(limit=1)], plugins=[plugin])
    assert stage.updates["student"] == 3 and stage.guard.skipped["student"] > 2
    assert scaler.get_scale() < 2.0**40
    assert run.callback_metrics["gradient/student"] < 100
    assert all(p.isfinite().all() for p in stage.parameters())


def test_a_loss_that_is_never_finite_stops_a_run_with_a_scaler_too(tmp_path):
    plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
    with pytest.raises(ValueError, match="the loss is not finite after 2 batches"):
        train(planted("nan"), 1, folder=tmp_path, callbacks=[Divergence(limit=2)], plugins=[plugin])


def test_the_end_is_one_line_with_all_that_helps(tmp_path):
    stage = planted("nan", range(4, 99))
    save = SaveEvery("network", 1, keep=5)
    with pytest.raises(ValueError) as caught:
        train(stage, 9, folder=tmp_path, callbacks=[Divergence(limit=2), save])
    dump, good = tmp_path / "diverged" / "00000005_rank0.safetensors", checkpoint_path(tmp_path, 3)
    assert str(caught.value) == (
        "phase 'network', role 'network': the loss is not finite after 5 batches (Planted nan); 3 updates in a row "
        f"were skipped. Batch of rank 0: 10, 11, written to {dump}. {good} is good, and the same command resumes from "
        "it; lower the rate of roles.network.optimizer, set roles.network.clip, or leave these files out."
    )
    assert checkpoints(tmp_path)[-1] == good
    with safe_open(dump, "pt") as file:
        assert file.get_tensor("lr").shape == (2, 1, 3, 16, 16) and set(file.keys()) == {"lr", "hr"}
        assert json.loads(file.metadata()["name"]) == ["10", "11"]


def test_a_limit_of_none_and_no_dump(tmp_path, caplog):
    with pytest.raises(ValueError, match="the gradient is not finite after 0 batches") as caught:
        train(planted(), 1, folder=tmp_path, callbacks=[Divergence(limit=0, dump=False)])
    assert "Batch of rank 0: 0, 1. No checkpoint was written yet; lower the rate" in str(caught.value)
    assert not (tmp_path / "diverged").exists()
    with pytest.raises(ValueError, match=r"Divergence\.limit: -1; at least 0"):
        Divergence(limit=-1)


def test_without_the_callback_a_run_ends_by_the_usual_limit(tmp_path, caplog):
    stage = planted()
    with caplog.at_level(logging.WARNING), pytest.raises(ValueError, match="11 updates in a row were skipped"):
        train(stage, 1, folder=tmp_path)
    assert stage.batches_seen == 11
    warnings = [record.getMessage() for record in caplog.records if "skipped" in record.getMessage()]
    assert len(warnings) == 1 and warnings[0].endswith("the update was skipped. Batch of rank 0: 0, 1")


def test_weights_that_lead_nowhere_name_the_older_checkpoint(tmp_path):
    train(planted("nan", ()), 3, folder=tmp_path, callbacks=[SaveEvery("network", 1, keep=5)])
    with pytest.raises(ValueError) as caught:
        train(planted("nan"), 9, folder=tmp_path, resume=checkpoint_path(tmp_path, 3), callbacks=[Divergence(limit=1)])
    assert str(caught.value).endswith(
        f"No update of the role succeeded since the run resumed from {checkpoint_path(tmp_path, 3)}; "
        f"go on from an older one: --resume {checkpoint_path(tmp_path, 2)}."
    )


def test_skips_are_kept_in_checkpoints(tmp_path):
    train(planted("nan", (2,)), 3, folder=tmp_path, callbacks=[SaveEvery("network", 3)])
    resumed = planted("nan", (1,))
    train(resumed, 5, folder=tmp_path, resume=checkpoints(tmp_path)[-1])
    assert resumed.guard.skipped == {"network": 2} and resumed.updates == {"network": 5}


def ruin(updates):
    """Weights that are not finite by no loss and no gradient: those of the last update."""

    def change(trainer, stage):
        if stage.updates["network"] == updates:
            with torch.no_grad():
                stage.network.guess.bias[1] = float("nan")

    return AfterBatch(change)


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    with pytest.raises(ValueError, match=r"role 'network': tensor guess\.bias is not finite after 4 batches") as caught:
        train(regression(), 4, folder=tmp_path, callbacks=[ruin(4), SaveEvery("network", 2)])
    assert "\n" not in str(caught.value) and "nothing was written" in str(caught.value)
    assert checkpoints(tmp_path) == [checkpoint_path(tmp_path, 2)]


def test_weights_that_are_not_finite_are_not_exported(tmp_path):
    with pytest.raises(ValueError, match=r"role 'network': tensor guess\.bias is not finite"):
        train(regression(), 2, folder=tmp_path, callbacks=[ruin(2), Export()])
    assert not (tmp_path / "model.safetensors").exists()


def test_statistics_are_looked_at_and_masks_may_be_infinite():
    stage = normed("nan", ())
    stage.network.register_buffer("mask", torch.full((2,), -torch.inf))
    stage.all_reduce_mean = lambda tensor: tensor
    check_finite(stage)
    stage.network.norm.running_var[0] = float("nan")
    with pytest.raises(ValueError, match=r"tensor norm\.running_var is not finite"):
        check_finite(stage)


@pytest.mark.parametrize(("make", "head"), [(distillation, "feature_realism"), (decoding, "pixel_realism")])
def test_margin_and_accuracy_of_heads_are_logged(make, head):
    run = train(make(), 2)
    assert 0 <= run.callback_metrics[f"gan/{head}_accuracy"] <= 1
    assert run.callback_metrics[f"gan/{head}_margin"].isfinite()


def test_heads_of_one_name_are_numbered():
    run = train(distillation(critics=("pixel", "pixel")), 1)
    assert {"gan/pixel_realism_accuracy", "gan/pixel_realism_2_accuracy"} <= set(run.callback_metrics)


@pytest.mark.parametrize(
    ("margin", "accuracy", "found"),
    [
        (3.0, 0.99, "separates real from fake always (accuracy 0.99, margin 3.00); lower its rate"),
        (0.01, 0.51, "has collapsed, it does not separate real from fake (accuracy 0.51, margin 0.01)"),
        (0.5, 0.5, None),
        (0.01, 0.7, None),
        (1.0, 0.9, None),
        (float("nan"), 0.5, None),
    ],
)
def test_the_verdict_on_a_head(margin, accuracy, found):
    line = verdict("pixel_realism", margin, accuracy)
    assert line is None if found is None else line.startswith("head pixel_realism: ") and found in line


def test_a_head_that_dominates_is_named_once_in_each_window(caplog):
    def separate(trainer, stage):
        stage.separation = {"pixel_realism": torch.tensor([2.0, 1.0])}

    with caplog.at_level(logging.WARNING):
        train(regression(), 7, callbacks=[AfterBatch(separate), Divergence(window=3)])
    lines = [record.getMessage() for record in caplog.records if "separates" in record.getMessage()]
    assert len(lines) == 2 and lines[0].startswith("head pixel_realism: the discriminator separates")


def test_a_verdict_is_written_into_the_logger():
    written = []
    logger = SimpleNamespace(experiment=SimpleNamespace(add_text=lambda *text: written.append(text)))
    stage = SimpleNamespace(separation={"detail": torch.tensor([0.0, 0.5])}, batches_seen=7)
    Divergence(window=1)._watch_heads(SimpleNamespace(is_global_zero=True, loggers=[logger]), stage)
    ((key, line, batches),) = written
    assert (key, batches) == ("divergence", 7) and line.startswith("head detail: the discriminator has collapsed")
