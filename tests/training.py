"""Stages of the tiny networks and a trainer that trains them in milliseconds: what tests of training share."""

from functools import partial

import torch
from adc_tiny import TinyAutoencoder, TinyDiscriminator, TinySpace, TinyStudent, TinyTeacher
from lightning.pytorch import Callback, LightningDataModule, Trainer
from torch.utils.data import DataLoader, Dataset

from adc.data.sources import Real
from adc.losses import L1, MSE
from adc.stages import AdversarialDistillation, DecoderPretraining, Example, Regression
from adc.training import Role
from adc.training.callbacks import StopAfter
from adc.training.checkpoint import AtomicCheckpointIO

SGD = partial(torch.optim.SGD, lr=0.1)
Adam = partial(torch.optim.Adam, lr=1e-3)


def clip_pair(index, small=16):
    """A pair of random clips that depends on its number only."""
    generator = torch.Generator().manual_seed(index)
    lr = torch.rand(1, 3, small, small, generator=generator) * 2 - 1
    return {"lr": lr, "hr": torch.nn.functional.interpolate(lr, scale_factor=4), "name": str(index)}


class Numbered(Dataset):
    def __init__(self, first, count):
        self.first, self.count = first, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return clip_pair(self.first + index)


class Clips(LightningDataModule):
    """Clips by their number; goes on where the stage is."""

    def __init__(self, batch_size=2):
        super().__init__()
        self.batch_size = batch_size

    def train_dataloader(self):
        first = self.trainer.lightning_module.batches_seen * self.batch_size
        return DataLoader(Numbered(first, 10_000), batch_size=self.batch_size)

    def val_dataloader(self):
        return DataLoader(Numbered(20_000, 2), batch_size=1)

    test_dataloader = predict_dataloader = val_dataloader


def distillation(seed=0, critics=("feature",), roles=None, losses=None, **options):
    """AdcSR's second stage on tiny networks."""
    torch.manual_seed(seed)
    student = TinyStudent(width=6, channels=4)
    discriminators = [TinyDiscriminator(domain, 3 if domain == "pixel" else 4) for domain in critics]
    examples = {"student": Example({"realism": -1}), "real": Example({"realism": 1}, Real())} if critics else None
    return AdversarialDistillation(
        student=student,
        losses=losses or [L1("feature", "teacher"), MSE("pixel", "real")],
        roles=roles or {"student": Role(Adam), **({"discriminators": Role(Adam)} if critics else {})},
        teacher=TinyTeacher(width=4),
        space=TinySpace(channels=4),
        discriminators=discriminators,
        **{"examples": examples, **options},
    )


def decoding(seed=0, judged=True, roles=None, **options):
    """AdcSR's first stage on tiny networks."""
    torch.manual_seed(seed)
    return DecoderPretraining(
        student=TinyStudent(width=6, channels=4),
        autoencoder=TinyAutoencoder(),
        losses=[L1()],
        roles=roles or {"decoder": Role(Adam), **({"discriminator": Role(Adam)} if judged else {})},
        discriminator=TinyDiscriminator("pixel", 3) if judged else None,
        **{"adversarial_start": 0, **options},
    )


def regression(seed=0, role=None, **options):
    """Supervised training of a tiny student."""
    torch.manual_seed(seed)
    return Regression(TinyStudent(width=6, channels=4), [L1()], {"network": role or Role(Adam)}, **options)


def trainer(folder=None, callbacks=(), **options):
    """Quiet, on the CPU, without an end of its own."""
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return Trainer(
        **{
            **quiet,
            "accelerator": "cpu",
            "devices": 1,
            "max_epochs": -1,
            "limit_val_batches": 0,
            "enable_checkpointing": any(hasattr(callback, "keep") for callback in callbacks),
            "use_distributed_sampler": False,
            "default_root_dir": folder,
            "callbacks": list(callbacks),
            "plugins": [AtomicCheckpointIO()],
            **options,
        }
    )


def train(stage, updates, role=None, folder=None, callbacks=(), batch_size=2, resume=None, **options):
    """Train until a role, the first if none is named, has had some updates."""
    stop = StopAfter(role or next(iter(stage.roles)), updates)
    run = trainer(folder, [*callbacks, stop], **options)
    run.fit(stage, datamodule=Clips(batch_size), ckpt_path=resume, weights_only=True)
    return run


def weights(module):
    """A copy of all tensors."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def same(first, second):
    """Whether two tables hold the same tensors, bit by bit."""
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


class Watch(Callback):
    """Calls a function with the stage and a role's name just before that role's optimizer steps."""

    def __init__(self, function):
        self.function = function

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        index = [id(o) for o in trainer.optimizers].index(id(optimizer))
        self.function(pl_module, list(pl_module.roles)[index])


class AfterBatch(Callback):
    """Calls a function with trainer and stage after each batch."""

    def __init__(self, function):
        self.function = function

    def on_train_batch_end(self, trainer, pl_module, *rest):
        self.function(trainer, pl_module)
