import pytest
import torch
from adc_tiny import TinyStudent, TinyTeacher
from lightning.pytorch import Callback
from training import Adam, AfterBatch, Clips, Watch, decoding, distillation, regression, same, train, trainer, weights

from adc.losses import L1
from adc.pruning import load_student
from adc.stages import Regression
from adc.training import Role
from adc.training.callbacks import Export, Samples, SaveEvery, StopAfter, StudentEMA
from adc.training.checkpoint import checkpoint_path, checkpoints

LONG = [["discriminators"], ["discriminators"], ["student"]]


def names(folder):
    return [int(path.stem) for path in checkpoints(folder)]


def test_a_run_stops_after_a_roles_updates():
    stage = distillation(cycle=LONG)
    train(stage, 2, "student")
    assert stage.updates == {"student": 2, "discriminators": 4}
    stage = distillation(cycle=LONG)
    train(stage, 3, "discriminators")
    assert stage.updates == {"student": 1, "discriminators": 3}


def test_a_finished_run_that_is_resumed_takes_no_step(tmp_path):
    train(distillation(), 2, folder=tmp_path, callbacks=[SaveEvery("student", 5)])
    stage, stepped = distillation(), []
    watch = Watch(lambda stage, role: stepped.append(role))
    export = tmp_path / "export"
    train(stage, 2, folder=tmp_path, callbacks=[watch, Export(str(export))], resume=checkpoint_path(tmp_path, 2))
    assert stage.updates == {"student": 2, "discriminators": 2} and not stepped
    assert same(weights(load_student(str(export))), weights(stage.student))


@pytest.mark.parametrize("callback", [StopAfter, SaveEvery])
def test_a_role_that_is_not_there_is_named(tmp_path, callback):
    with pytest.raises(ValueError, match="role: Regression has no role 'student'; it has network"):
        train(regression(), 1, folder=tmp_path, callbacks=[callback("student", 1)])


def test_an_average_of_a_role_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="role: Regression has no role 'student'; it has network"):
        train(regression(), 1, callbacks=[StudentEMA()])


def test_checkpoints_follow_a_roles_updates_and_the_newest_stay(tmp_path):
    history = []
    note = AfterBatch(lambda *_: history.append(names(tmp_path)))
    train(distillation(cycle=LONG), 5, folder=tmp_path, callbacks=[SaveEvery("student", 2, keep=2), note])
    assert history[:6] == [[]] * 6
    assert history[6] == [6] and history[12] == [6, 12]
    assert names(tmp_path) == [12, 15]


def test_the_last_state_is_written_once(tmp_path, monkeypatch):
    written = []
    save = SaveEvery.save
    monkeypatch.setattr(
        SaveEvery, "save", lambda self, *rest: written.append(rest[1].batches_seen) or save(self, *rest)
    )
    train(regression(), 4, folder=tmp_path, callbacks=[SaveEvery("network", 2)])
    train(regression(), 3, folder=tmp_path / "b", callbacks=[SaveEvery("network", 2)])
    assert written == [2, 4, 2, 3]


def test_checkpoints_of_an_abandoned_attempt_are_set_aside(tmp_path):
    """Whoever starts over in the same folder must not resume from what is ahead; nothing of it is lost."""
    train(regression(), 9, folder=tmp_path, callbacks=[SaveEvery("network", 2)])
    assert names(tmp_path) == [8, 9]
    train(regression(), 3, folder=tmp_path, callbacks=[SaveEvery("network", 2)])
    assert names(tmp_path) == [2, 3]
    assert sorted(path.name for path in (tmp_path / "checkpoints" / "set_aside").iterdir()) == [
        "00000008.ckpt",
        "00000009.ckpt",
    ]


def test_only_what_is_proven_replaced_is_removed(tmp_path):
    """Checkpoints that this process neither wrote nor read stay until two newer ones are known to be whole."""
    train(regression(), 6, folder=tmp_path, callbacks=[SaveEvery("network", 2, keep=3)])
    assert names(tmp_path) == [2, 4, 6]
    history, note = [], AfterBatch(lambda *_: history.append(names(tmp_path)))
    resume = checkpoint_path(tmp_path, 4)
    train(regression(), 10, folder=tmp_path, callbacks=[SaveEvery("network", 2), note], resume=resume)
    assert history[1] == [2, 4, 6] and history[2] == [4, 6] and names(tmp_path) == [8, 10]
    fresh = tmp_path / "fresh"
    fresh.joinpath("checkpoints").mkdir(parents=True)
    for number in (1, 2):
        checkpoint_path(fresh, number).write_bytes(b"unknown")
    history.clear()
    note.function = lambda *_: history.append(names(fresh))
    train(regression(), 5, folder=fresh, callbacks=[SaveEvery("network", 3), note])
    assert history[3] == [1, 2, 3] and names(fresh) == [3, 5]


def test_several_savers_each_keep_their_own(tmp_path):
    savers = [SaveEvery("network", 6, keep=3), SaveEvery("network", 1, keep=2)]
    train(regression(), 22, folder=tmp_path, callbacks=savers)
    assert names(tmp_path) == [12, 18, 21, 22]
    train(regression(), 25, folder=tmp_path, callbacks=savers, resume=checkpoint_path(tmp_path, 22))
    assert names(tmp_path) == [22, 24, 25]


def test_impossible_counts_are_refused():
    for make in (lambda: StopAfter("student", -5), lambda: SaveEvery("student", 0), lambda: StudentEMA(decay=1.5)):
        with pytest.raises(ValueError, match=r"(StopAfter|SaveEvery|StudentEMA)\.\w+: "):
            make()
    with pytest.raises(ValueError, match=r"clip: 0\.0; above 0"):
        Role(Adam, clip=0.0)


def test_one_checkpoint_is_not_enough():
    with pytest.raises(ValueError, match=r"SaveEvery\.keep: 1 checkpoints; at least 2"):
        SaveEvery("student", 10, keep=1)


def test_the_average_in_closed_form():
    """``m_n = d_n m_{n-1} + (1 - d_n) w_n`` with ``d_n = min(decay, (1 + n) / (10 + n))``."""
    stage, average, path = distillation(cycle=LONG), StudentEMA(decay=0.35), []
    begin = [p.detach().double() for p in stage.student.parameters()]
    note = AfterBatch(lambda t, s: path.append([p.detach().double() for p in s.student.parameters()]))
    train(stage, 5, "student", callbacks=[average, note])
    expected = begin
    for n, current in enumerate(path[2::3], start=1):
        decay = min(0.35, (1 + n) / (10 + n))
        expected = [decay * m + (1 - decay) * w for m, w in zip(expected, current, strict=True)]
    assert average.count == 5 and len(path) == 15
    for own, exact in zip(average.average, expected, strict=True):
        assert own.dtype == torch.float32
        assert torch.allclose(own.double(), exact, atol=1e-6)


class Look(Callback):
    """Notes the student's weights when it is looked at."""

    def __init__(self):
        self.seen = {"training": [], "validation": [], "restored": []}

    def on_train_batch_end(self, trainer, pl_module, *rest):
        self.seen["training"].append(weights(pl_module.restorer))

    def on_validation_batch_start(self, trainer, pl_module, *rest):
        self.seen["validation"].append(weights(pl_module.restorer))

    def on_train_batch_start(self, trainer, pl_module, *rest):
        self.seen["restored"].append(weights(pl_module.restorer))


def of(average, stage):
    by_parameter = {id(p): m for p, m in zip(stage.parameters_of(average.role), average.average, strict=True)}
    return {name: by_parameter[id(p)] for name, p in stage.restorer.named_parameters()}


def test_validation_sees_the_average_and_training_the_weights():
    stage, average, look = distillation(), StudentEMA(), Look()
    train(
        stage, 3, callbacks=[average, look],
        limit_val_batches=1.0, val_check_interval=1, check_val_every_n_epoch=None, num_sanity_val_steps=0,
    )  # fmt: skip
    assert all(same(*pair) for pair in zip(look.seen["training"][:-1], look.seen["restored"][1:], strict=True))
    assert same(look.seen["validation"][-1], of(average, stage))
    assert not same(look.seen["validation"][-1], look.seen["training"][-1])
    assert same(look.seen["training"][-1], weights(stage.student))


def test_a_checkpoint_is_measured_by_its_average(tmp_path):
    """Validating, testing and predicting with a file see what training's own validation saw."""
    stage, average = distillation(), StudentEMA()
    train(stage, 3, folder=tmp_path, callbacks=[average, SaveEvery("student", 9)])
    expected = of(average, stage)
    for command, verbose in (("validate", {"verbose": False}), ("test", {"verbose": False}), ("predict", {})):
        look, fresh = Look(), distillation(seed=1)
        look.on_test_batch_start = look.on_predict_batch_start = look.on_validation_batch_start
        run = trainer(tmp_path, [StudentEMA(), look], limit_val_batches=1.0)
        path = checkpoint_path(tmp_path, 3)
        getattr(run, command)(fresh, datamodule=Clips(), ckpt_path=path, weights_only=True, **verbose)
        assert look.seen["validation"] and all(same(seen, expected) for seen in look.seen["validation"])
        assert same(weights(fresh.student), weights(stage.student))


def test_export_writes_the_average_and_leaves_the_weights(tmp_path):
    stage, average = distillation(), StudentEMA(decay=0.5)
    train(stage, 3, folder=tmp_path, callbacks=[average, Export()])
    exported = weights(load_student(str(tmp_path)))
    assert same(exported, of(average, stage))
    assert not same(exported, weights(stage.student))


def test_export_of_the_decoders_stage_is_the_whole_student(tmp_path):
    stage = decoding()
    train(stage, 1, callbacks=[Export(str(tmp_path / "student"))])
    assert same(weights(load_student(str(tmp_path / "student"))), weights(stage.student))


def test_what_cannot_be_written_is_refused(tmp_path):
    stage = Regression(TinyTeacher(width=4), [L1()], {"network": Role(Adam)})
    with pytest.raises(ValueError, match="Export: TinyTeacher is no Student and has no save_pretrained"):
        train(stage, 1, folder=tmp_path, callbacks=[Export()])


class Wall:
    def __init__(self):
        self.images = []

    def add_image(self, name, grid, step):
        self.images.append((name, grid, step))


def test_samples_are_rows_of_bicubic_restored_and_truth():
    from lightning.pytorch.loggers.logger import DummyLogger

    class Logger(DummyLogger):
        wall = Wall()

        @property
        def experiment(self):
            return self.wall

    stage, logger = regression(), Logger()
    train(
        stage, 2, callbacks=[Samples(clips=2, size=32)], logger=logger,
        limit_val_batches=1.0, val_check_interval=2, check_val_every_n_epoch=None, num_sanity_val_steps=0,
    )  # fmt: skip
    ((name, grid, step),) = logger.wall.images
    assert name == "validation/bicubic_restored_truth" and step == 2
    assert grid.shape == (3, 2 * 32, 3 * 32) and grid.min() >= 0 and grid.max() <= 1
    assert isinstance(stage.restorer, TinyStudent)
