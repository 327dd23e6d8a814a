"""`check_stage` on the project's stages, on one that replaces its teacher, and with faults planted."""

import copy
from functools import partial

import pytest
import torch
from adc_tiny import TinyStudent
from training import clip_pair, decoding, distillation, regression

from adc.testing import check_stage
from adc.training import Phase, Role, Stage

SGD = partial(torch.optim.SGD, lr=1e-2)


def batch():
    pairs = [clip_pair(index) for index in range(2)]
    return {key: torch.stack([pair[key] for pair in pairs]) for key in ("lr", "hr")} | {"name": ["0", "1"]}


class Rounds(Stage):
    """A student distilled from a teacher that it replaces after each round of two updates."""

    frozen = ("teacher",)

    def __init__(self, optimizer=SGD):
        super().__init__({"student": Role(optimizer)}, [["student"]])
        torch.manual_seed(0)
        self.student = TinyStudent(width=4)
        self.teacher = copy.deepcopy(self.student)

    def phases(self):
        return {"student": Phase(self.student_loss, ("student",))}

    @property
    def restorer(self):
        return self.student

    def student_loss(self, batch):
        with torch.no_grad():
            target = self.teacher.restore(batch["lr"])
        restored = self.student.restore(batch["lr"])
        return {"teacher": (restored - target).abs().mean(), "truth": (restored - batch["hr"]).abs().mean()}

    def on_phase_end(self, phase):
        if self.updates["student"] % 2 == 0:
            self.replace_teacher()

    def replace_teacher(self):
        self.teacher.load_state_dict(self.student.state_dict())


class Pair(Stage):
    """Two students, one update each in turn."""

    def __init__(self, optimizer=SGD):
        super().__init__({name: Role(optimizer) for name in ("first", "second")}, [["first"], ["second"]])
        torch.manual_seed(0)
        self.first, self.second = TinyStudent(width=4), TinyStudent(width=4)

    def phases(self):
        return {name: Phase(partial(self.loss, name), (name,)) for name in self.roles}

    @property
    def restorer(self):
        return self.first

    def loss(self, name, batch):
        return {"truth": (self.module_of(name).restore(batch["lr"]) - batch["hr"]).abs().mean()}


class NotSaved(Rounds):
    excluded_from_checkpoint = ("teacher",)


class Training(Rounds):
    def on_train_start(self):
        super().on_train_start()
        self.teacher.train()


class Leaking(Pair):
    def loss(self, name, batch):
        with torch.no_grad():
            next(self.second.parameters()).add_(0.1)
        return super().loss(name, batch)


class Counting(Pair):
    calls = 0

    def loss(self, name, batch):
        self.calls += 1
        return {key: self.calls * value for key, value in super().loss(name, batch).items()}


class Drawing(Pair):
    def __init__(self):
        super().__init__()
        self.seen = torch.Generator().manual_seed(0).get_state()

    def loss(self, name, batch):
        generator = torch.Generator()
        generator.set_state(self.seen)
        weight = torch.rand((), generator=generator)
        self.seen = generator.get_state()
        return {key: weight * value for key, value in super().loss(name, batch).items()}


class Idle(Pair):
    def should_run(self, phase):
        return phase == "first"


class Summed(Pair):
    def loss(self, name, batch):
        return {"truth": (self.module_of(name).restore(batch["lr"]) - batch["hr"]).abs().sum() * 1e-4}


class Collected(Pair):
    """Its optimizers get parameters that were collected before sharding."""

    def setup(self, stage):
        super().setup(stage)
        self.early = {name: list(self.module_of(name).parameters()) for name in self.roles}

    def parameters_of(self, role):
        return self.early[role]


@pytest.mark.parametrize(
    "make",
    [
        partial(distillation, roles={name: Role(SGD) for name in ("student", "discriminators")}, accumulate=2),
        partial(decoding, roles={name: Role(SGD) for name in ("decoder", "discriminator")}, adversarial_start=1),
        partial(regression, role=Role(SGD)),
        Pair,
    ],
)
def test_stages_keep_the_contract(make):
    check_stage(make(), batch())


def test_a_teacher_that_is_replaced_is_resumed():
    check_stage(Rounds(), batch(), batches=5)


def test_the_check_leaves_the_stage_as_it_is():
    stage = Pair()
    before = copy.deepcopy(stage.state_dict())
    check_stage(stage, batch())
    assert all(torch.equal(tensor, before[key]) for key, tensor in stage.state_dict().items())
    assert stage.updates == {"first": 0, "second": 0}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (NotSaved, "resumed after batch 2 of 5, it must end as one run does; "),
        (Training, "TinyStudent is frozen, yet training"),
        (Leaking, "phase 'first' must move first; second.*moved"),
        (Counting, "resumed after batch 1 of 5"),
        (Drawing, "resumed after batch 1 of 5"),
        (Idle, "role 'second' had no update"),
        (partial(Pair, partial(torch.optim.SGD, lr=0.0)), "role 'first' had 3 updates, yet no weight moved"),
    ],
)
def test_a_planted_fault_is_found(make, message):
    with pytest.raises(AssertionError, match=message):
        check_stage(make(), batch(), batches=5)


def test_what_is_no_stage_is_refused():
    with pytest.raises(AssertionError, match=r"Linear: must be a subclass of adc\.training\.Stage"):
        check_stage(torch.nn.Linear(1, 1), batch())


@pytest.mark.slow
def test_processes_and_sharded_networks_agree():
    check_stage(Pair(), batch(), processes=2)


@pytest.mark.slow
@pytest.mark.parametrize(("make", "message"), [(Summed, "ddp in 2 processes"), (Collected, "sharded in 2 processes")])
def test_processes_that_disagree_are_found(make, message):
    with pytest.raises(AssertionError, match=message):
        check_stage(make(), batch(), batches=2, processes=2)
