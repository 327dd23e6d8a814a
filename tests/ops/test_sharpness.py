import pytest
import torch

from adc.ops.sharpness import laplacian_variance


def test_flat_and_sloping_pictures_are_not_sharp():
    slope = torch.arange(12.0).view(1, 1, 1, 12).expand(1, 1, 9, 12)
    assert laplacian_variance(torch.full((2, 1, 9, 12), 7.0)).tolist() == [0, 0]
    assert laplacian_variance(slope).item() == 0


def test_a_chess_board_has_a_closed_form():
    """A board of +a and -a has the Laplacian -8a and 8a: variance 64 a^2."""
    rows, columns = torch.meshgrid(torch.arange(10), torch.arange(12), indexing="ij")
    board = 3.0 * (1 - 2 * ((rows + columns) % 2))
    assert laplacian_variance(board[None, None]).item() == pytest.approx(64 * 9)


def test_too_small():
    with pytest.raises(ValueError, match="at least 3 pixels"):
        laplacian_variance(torch.zeros(1, 1, 2, 5))
