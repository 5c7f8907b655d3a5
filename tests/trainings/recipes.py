"""The shipped recipes for people's own data, cut to a few outer steps, and data for them."""

import re
from pathlib import Path

import numpy as np

from models.meta_training.recipes import FOLDER


def shortened(name: str, folder: Path, *, iterations: int, episodes: int) -> str:
    """The path of a copy of the shipped recipe whose stages and validation are so short, its
    convolutions narrow.
    """
    text = (FOLDER / f"{name}.toml").read_text()
    text = re.sub(r"(?m)^iterations = .*$", f"iterations = {iterations}", text)
    text = re.sub(r"(?m)^every = .*$", f"every = {iterations}", text)
    text = text.replace("filters = 64", "filters = 16")
    before, last = text.split("[validation]")
    last = re.sub(r"(?m)^episodes = .*$", f"episodes = {episodes}", last)
    file = folder / f"{name}.toml"
    file.write_text(f"{before}[validation]{last}")
    return str(file)


def write_vectors(file: Path, *, factor: float = 1.0, shift: float = 0.0) -> Path:
    """20 classes of 14 vectors around a centre each, in other units where it is asked for."""
    draw = np.random.default_rng(8)
    centres, y = draw.normal(size=(20, 12)), np.repeat(np.arange(20), 14)
    x = centres[y] + draw.normal(size=(280, 12)) * 0.7
    np.savez(file, x=(factor * x + shift).astype(np.float32), y=y)
    return file


def write_curves(file: Path, *, factor: float = 1.0, shift: float = 0.0) -> Path:
    """40 lines of a slope and an offset of their own at 30 places, in other units where asked."""
    draw = np.random.default_rng(9)
    x = draw.uniform(-1, 1, size=(40, 30))
    slope, offset = draw.normal(size=(2, 40, 1))
    np.savez(file, x=(factor * x + shift).astype(np.float32), y=(slope * x + offset).astype("f4"))
    return file
