import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.ops import DeformConv2d

from adc.metrics.efficiency import count, meta_copy, peak_memory


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.project = nn.Linear(8, 8)
        self.unused = nn.Linear(3, 3)

    def forward(self, x):
        x = self.project(x)
        return F.scaled_dot_product_attention(x, x, x)


class Entered(nn.Module):
    """Enters a child by another door than forward."""

    def __init__(self):
        super().__init__()
        self.halves = nn.ModuleDict({"a": nn.Linear(4, 6), "b": nn.Linear(6, 2, bias=False)})
        self.gain = nn.Parameter(torch.ones(2))

    def forward(self, x):
        return self.halves["b"](self.halves["a"](x)) * self.gain


@pytest.mark.parametrize(
    ("network", "shape", "parameters", "macs"),
    [
        (nn.Conv2d(3, 8, 3, padding=1), (2, 3, 10, 10), 3 * 8 * 9 + 8, 2 * 3 * 8 * 9 * 100),
        (nn.Conv2d(8, 8, 3, groups=8, bias=False), (1, 8, 5, 5), 72, 72 * 9),
        (nn.Conv3d(2, 4, 3, padding=1), (1, 2, 3, 4, 5), 2 * 4 * 27 + 4, 2 * 4 * 27 * 60),
        (nn.Conv1d(2, 4, 3, stride=2), (1, 2, 9), 28, 2 * 4 * 3 * 4),
        (nn.ConvTranspose2d(4, 6, 2, stride=2), (1, 4, 5, 5), 102, 4 * 6 * 4 * 25),
        (nn.Linear(5, 7), (3, 4, 5), 42, 12 * 35),
        (nn.GroupNorm(2, 4), (1, 4, 3, 3), 8, 0),
        (Attention(), (2, 1, 10, 8), 72, 2 * 10 * 64 + 2 * 2 * 10 * 10 * 8),
        (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (1, 5, 8), 600, 5 * 192 + 5 * 64 + 400 + 2 * 5 * 128),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_count_by_hand(network, shape, parameters, macs, device):
    if device == "meta":
        (network,) = meta_copy(network)
    found = count(network, torch.zeros(shape, device=device))
    assert (found.parameters, found.macs) == (parameters, macs)


class Unknown(nn.Module):
    """What multiplies here is in no table of torch's."""

    def __init__(self, network, *sizes):
        super().__init__()
        self.network, self.sizes = network, sizes

    def forward(self, x):
        more = [torch.zeros(size, device=x.device) for size in self.sizes]
        return F.interpolate(self.network(x, *more)[0].flatten()[None, None], scale_factor=2.0, mode="linear")


@pytest.mark.parametrize(
    ("network", "shape", "named"),
    [
        (Unknown(DeformConv2d(3, 4, 3, padding=1), (1, 18, 8, 8)), (1, 3, 8, 8), ("torchvision::deform_conv2d",)),
        (Unknown(nn.Bilinear(4, 5, 6), (2, 5)), (2, 4), ("aten::_trilinear",)),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Upsample(scale_factor=2, mode="bilinear")),
         (1, 3, 8, 8), ()),
        (nn.MultiheadAttention(8, 2), None, ()),
        (nn.GRU(4, 5), (3, 2, 4), ()),
    ],
    ids=["deformable", "bilinear layer", "layers", "attention", "recurrent"],
)  # fmt: skip
def test_what_cannot_be_counted_is_named(network, shape, named, caplog):
    example = [torch.zeros(3, 2, 8)] * 3 if shape is None else [torch.zeros(shape)]
    for context in (torch.no_grad, torch.inference_mode):
        caplog.clear()
        with context():
            assert count(network, *example).uncounted == named
        assert [record.args for record in caplog.records] == ([named] if named else [])


def test_parts():
    network = nn.Sequential(Attention(), nn.Linear(8, 3))
    found = count(network, torch.zeros(1, 10, 8))
    assert found.parts["0"].macs == 640 + 2 * 10 * 10 * 8
    assert found.parts["1"].macs == 240
    assert sum(part.macs for part in found.parts.values()) == found.macs
    chosen = count(network, torch.zeros(1, 10, 8), parts={"both": nn.ModuleList([network[0].unused, network[1]])})
    assert (chosen.parts["both"].parameters, chosen.parts["both"].macs) == (27, 240)


def test_a_part_that_is_never_called_itself():
    found = count(Entered(), torch.zeros(5, 4))
    assert (found.parts["halves"].parameters, found.parts["halves"].macs) == (24 + 6 + 12, 5 * 36)
    assert found.parameters == 44


def test_nothing_is_left_behind():
    network = nn.Sequential(Attention(), nn.Dropout(0.5), nn.Linear(8, 3)).train()
    network[1].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    count(network, torch.rand(1, 10, 8))
    assert network.training and network[0].training and not network[1].training
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in network.modules())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_hooks_go_when_the_pass_fails():
    network = nn.Sequential(nn.Linear(3, 3))
    with pytest.raises(RuntimeError):
        count(network, torch.zeros(1, 4))
    assert not network[0]._forward_hooks and network.training


def test_meta_twin_leaves_the_original_and_what_is_shared():
    network = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    twin, part = meta_copy(network, network[0])
    assert twin[0] is part and part.weight.is_meta and twin[1].running_mean.is_meta
    assert not network[0].weight.is_meta


def test_peak_memory_sees_what_is_freed_again():
    found = peak_memory(lambda: torch.ones(25_000_000).sum())
    assert 90e6 < found < 200e6
    assert peak_memory(lambda: None) < 20e6


def test_peak_memory_sees_it_when_freed_memory_is_kept():
    """As in training on a CPU, in a process of its own: how glibc allocates cannot be taken back."""
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "import torch; from adc.training.memory import keep_freed_memory; keep_freed_memory();"
            "from adc.metrics.efficiency import peak_memory; torch.ones(25_000_000);"
            "print(peak_memory(lambda: torch.ones(25_000_000).sum()))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert 90e6 < int(told.stdout) < 300e6
