"""A minimal transformer block over the cells of a grid, of operators that TensorFlow Lite Micro runs in int8."""

import math

import torch
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """One head, then a small network a cell, both added to what comes in (Vaswani et al. 2017).

    Convolutions say little about where a cell is, and left or right of another is a matter of both places: each cell's
    features get a learned vector of its place first.
    """

    def __init__(self, channels: int, grid: int) -> None:
        super().__init__()
        self.places = nn.Parameter(place_vectors(channels, grid))
        self.queries, self.keys = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.values, self.project = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.widen, self.narrow = nn.Conv2d(channels, 2 * channels, 1), nn.Conv2d(2 * channels, channels, 1)
        # sharper or blunter than the usual 1 / sqrt(channels) is for the queries to learn
        self.scale = 1 / math.sqrt(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, channels, grid, grid), and out the same shape."""
        x = x + self.places
        shape = x.shape
        queries = (self.queries(x) * self.scale).flatten(2).transpose(1, 2)  # (B, cells, channels)
        weights = torch.softmax(queries @ self.keys(x).flatten(2), dim=-1)  # (B, cells, cells)
        seen = weights @ self.values(x).flatten(2).transpose(1, 2)  # (B, cells, channels)
        x = x + self.project(seen.transpose(1, 2).reshape(shape))
        return x + self.narrow(torch.relu(self.widen(x)))


def place_vectors(channels: int, grid: int) -> Tensor:
    """Sines and cosines of a cell's column and row at a few wavelengths, (1, channels, grid, grid)."""
    waves = channels // 4
    cells = torch.arange(grid, dtype=torch.float32)
    # from half a turn across the grid, which tells any two cells apart, to a few turns
    turns = 0.5 * 2 ** (torch.arange(waves) * 3 / max(1, waves - 1))
    angles = 2 * math.pi * cells / grid * turns.unsqueeze(1)  # (waves, grid)
    wave = torch.cat([angles.sin(), angles.cos()])  # (channels / 2, grid)
    columns = wave.unsqueeze(1).expand(-1, grid, -1)
    rows = wave.unsqueeze(2).expand(-1, -1, grid)
    return torch.cat([columns, rows]).unsqueeze(0)
