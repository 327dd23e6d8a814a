"""Two networks that must be one: the weights to the last bit, the outputs nearly.

Equal weights that lie elsewhere in memory, read from a file, need not give the last bit of an output on every CPU.
"""

import torch


def assert_same_weights(one, other):
    """All tensors have the same names and the same numbers."""
    first, second = one.state_dict(), other.state_dict()
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def assert_close(one, other):
    """Nearly equal tensors, of one shape and type."""
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
