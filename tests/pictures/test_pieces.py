"""Pieces of ink that hang together, against a flood fill by hand."""

import numpy as np
from numpy.typing import NDArray

from models.pictures.paper import connected


def flooded(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The same by walking from every pixel to its eight neighbours."""
    numbers = np.zeros(mask.shape, np.int64)
    for start in np.argwhere(mask):
        if numbers[tuple(start)]:
            continue
        number, open_ones = numbers.max() + 1, [tuple(start)]
        while open_ones:
            row, column = open_ones.pop()
            inside = 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]
            if inside and mask[row, column] and not numbers[row, column]:
                numbers[row, column] = number
                open_ones += [(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    return numbers


def test_pieces_are_those_of_a_flood_fill() -> None:
    random = np.random.default_rng(5)
    for _ in range(200):
        share = random.choice([0, 0.1, 0.3, 0.5, 0.8, 1])
        mask = random.random(random.integers(1, 20, 2)) < share

        found, expected = connected(mask), flooded(mask)

        pairs = np.unique(np.stack([found.ravel(), expected.ravel()]), axis=1)
        assert (found > 0).tolist() == mask.tolist()
        assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]
