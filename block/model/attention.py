"""A minimal transformer block over the cells of a grid. TensorFlow Lite Micro runs all its operators in int8."""

import math

import torch
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """Self-attention with one head, then a two-layer network per cell (Vaswani et al. 2017). Both are residual.

    Convolutions encode little of a cell's position, but "left of" depends on the positions of two cells. Therefore a
    learned position vector is first added to the features of each cell.
    """

    def __init__(self, channels: int, grid: int) -> None:
        super().__init__()
        self.places = nn.Parameter(position_vectors(channels, grid))
        self.queries, self.keys = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.values, self.project = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.widen, self.narrow = nn.Conv2d(channels, 2 * channels, 1), nn.Conv2d(2 * channels, channels, 1)
        # the usual scale; the queries can learn a sharper or a flatter softmax
        self.scale = 1 / math.sqrt(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, channels, grid, grid) to features of the same shape."""
        x = x + self.places
        shape = x.shape
        queries = (self.queries(x) * self.scale).flatten(2).transpose(1, 2)  # (B, cells, channels)
        weights = torch.softmax(queries @ self.keys(x).flatten(2), dim=-1)  # (B, cells, cells)
        attended = weights @ self.values(x).flatten(2).transpose(1, 2)  # (B, cells, channels)
        x = x + self.project(attended.transpose(1, 2).reshape(shape))
        return x + self.narrow(torch.relu(self.widen(x)))


def position_vectors(channels: int, grid: int) -> Tensor:
    """Initial position vectors (1, channels, grid, grid): sines and cosines of column and row at some wavelengths."""
    waves = channels // 4
    cells = torch.arange(grid, dtype=torch.float32)
    # from half a period across the grid, which distinguishes any two cells, to four periods
    turns = 0.5 * 2 ** (torch.arange(waves) * 3 / max(1, waves - 1))
    angles = 2 * math.pi * cells / grid * turns.unsqueeze(1)  # (waves, grid)
    wave = torch.cat([angles.sin(), angles.cos()])  # (channels / 2, grid)
    columns = wave.unsqueeze(1).expand(-1, grid, -1)
    rows = wave.unsqueeze(2).expand(-1, -1, grid)
    return torch.cat([columns, rows]).unsqueeze(0)
