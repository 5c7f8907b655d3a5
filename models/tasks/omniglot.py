"""Omniglot episodes (Lake et al. 2015) as in Finn et al. 2017: 28 x 28, strokes 1, whole classes
rotated.

The split is the committed list ``models/splits/omniglot.json`` over the pooled 1,623 characters.
"""

import hashlib
import io
import json
import zipfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from models.episodes import Episodes, EpisodeShape
from models.preprocessing import input_from_picture

ARCHIVES = ("images_background.zip", "images_evaluation.zip")
PREPROCESSING: dict[str, Any] = {
    "kind": "picture",
    "mode": "L",
    "size": [28, 28],
    "resample": "lanczos",
    "invert": True,
    "background": 255,
}
SPLIT_FILE = Path(__file__).parents[1] / "splits" / "omniglot.json"
DRAWINGS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Omniglot:
    """pictures: (characters, 20, 28, 28) uint8, strokes 255; names: ``Alphabet/characterNN``.

    distort: small random affine changes of every training picture (0: none, as in the paper).
    """

    pictures: Tensor
    names: tuple[str, ...]
    splits: dict[str, list[int]]
    digest: str
    distort: float = 0.0

    def draw(
        self, split: str, episodes: int, shape: EpisodeShape, generator: torch.Generator
    ) -> Episodes:
        """N classes without replacement, each rotated by its own k · 90°, K + Q drawings of each.

        support_x: (E, N·K, 1, 28, 28) float32 in [0, 1]; labels are new in every episode.
        """
        drawn = self._draw_pictures(split, episodes, shape, generator)
        if split == "train" and self.distort:
            drawn = distort_pictures(drawn, self.distort, generator)
        labels = torch.arange(shape.way)[None, :, None].expand(drawn.shape[:3])
        return Episodes(
            support_x=drawn[:, :, : shape.shot].flatten(1, 2),
            support_y=labels[:, :, : shape.shot].flatten(1, 2),
            query_x=drawn[:, :, shape.shot :].flatten(1, 2),
            query_y=labels[:, :, shape.shot :].flatten(1, 2),
            outputs=shape.way,
        )

    def describe(self) -> dict[str, object]:
        test_classes = [self.names[index] for index in self.splits["test"]]
        return {"name": "omniglot", "digest": self.digest, "test_classes": test_classes}

    def _draw_pictures(
        self, split: str, episodes: int, shape: EpisodeShape, generator: torch.Generator
    ) -> Tensor:
        pool = torch.tensor(self.splits[split])
        if shape.way > len(pool) or shape.shot + shape.query > DRAWINGS:
            raise ValueError(
                f"expected way up to {len(pool)} and shot + query up to {DRAWINGS}, got way "
                f"{shape.way} and shot + query {shape.shot + shape.query}"
            )
        order = torch.rand(episodes, len(pool), generator=generator).argsort(dim=1)
        classes = pool[order[:, : shape.way]]  # (E, N)
        tickets = torch.rand(episodes, shape.way, DRAWINGS, generator=generator)
        drawings = tickets.argsort(dim=2)[:, :, : shape.shot + shape.query]  # (E, N, K + Q)
        pictures = self.pictures[classes[:, :, None], drawings].float() / 255
        turns = torch.randint(4, (episodes, shape.way), generator=generator)
        return turn_pictures(pictures, turns)[:, :, :, None]


def turn_pictures(pictures: Tensor, turns: Tensor) -> Tensor:
    """(E, N, P, H, W) pictures, those of each class turned by (E, N) quarter turns."""
    turned = pictures.clone()
    for k in (1, 2, 3):
        turned[turns == k] = torch.rot90(pictures[turns == k], k, dims=(-2, -1))
    return turned


def distort_pictures(pictures: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """(…, 1, H, W) pictures, each under its own small affine map; strength 1: up to 17 % and 2
    pixels.
    """
    flat = pictures.flatten(0, -4)
    jitter = torch.rand(len(flat), 2, 3, generator=generator) * 2 - 1
    bounds = torch.tensor([[0.12, 0.17, 0.14], [0.17, 0.12, 0.14]]) * strength
    maps = torch.eye(2, 3) + jitter * bounds
    grid = F.affine_grid(maps, list(flat.shape), align_corners=False)
    return F.grid_sample(flat, grid, align_corners=False).view_as(pictures)


def load_omniglot(
    folder: Path,
    *,
    cache: Path | None = None,
    distort: float = 0.0,
    progress: Callable[[int], None] = lambda done: None,
) -> Omniglot:
    """Omniglot from a folder with the two official zips; ``cache`` keeps the shrunken pictures.

    Raises FileNotFoundError where a zip is missing, ValueError where their content is not
    Omniglot's.
    """
    archives = [folder / name for name in ARCHIVES]
    for archive in archives:
        if not archive.is_file():
            raise FileNotFoundError(f"{archive} is missing: expected the folder of {ARCHIVES}")
    digest = _digest(archives)
    kept = cache / f"omniglot-{digest[:16]}.npz" if cache else None
    if kept is None or not kept.is_file():
        names, pictures = _read_archives(archives, progress)
        _keep(kept, names, pictures)
    else:
        with np.load(kept, allow_pickle=False) as file:
            names, pictures = [str(name) for name in file["names"]], file["pictures"]
    return Omniglot(
        pictures=torch.from_numpy(pictures),
        names=tuple(names),
        splits=_splits(names),
        digest=f"sha256:{digest}",
        distort=distort,
    )


def _digest(archives: list[Path]) -> str:
    """SHA-256 over the members' names and CRCs, so that a re-zipped copy counts as the same
    data.
    """
    digest = hashlib.sha256()
    for archive in archives:
        with zipfile.ZipFile(archive) as zipped:
            members = sorted((m.filename, m.CRC) for m in zipped.infolist() if not m.is_dir())
        digest.update(json.dumps(members).encode())
    return digest.hexdigest()


def _read_archives(
    archives: list[Path], progress: Callable[[int], None]
) -> tuple[list[str], np.ndarray[Any, np.dtype[np.uint8]]]:
    drawings: dict[str, list[np.ndarray[Any, np.dtype[np.uint8]]]] = defaultdict(list)
    for archive in archives:
        with zipfile.ZipFile(archive) as zipped:
            for member in sorted(n for n in zipped.namelist() if n.endswith(".png")):
                alphabet, character = PurePosixPath(member).parts[-3:-1]
                drawings[f"{alphabet}/{character}"].append(_shrink(zipped.read(member)))
                progress(1)
    names = sorted(drawings)
    if len(names) != 1623 or any(len(drawings[name]) != DRAWINGS for name in names):
        raise ValueError(
            f"expected 1623 characters of {DRAWINGS} drawings, got {len(names)} characters"
        )
    return names, np.stack([np.stack(drawings[name]) for name in names])


def _shrink(png: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
        levels = np.rint(input_from_picture(picture, PREPROCESSING)[0] * 255)
    return np.asarray(levels, dtype=np.uint8)


def _keep(
    kept: Path | None, names: list[str], pictures: np.ndarray[Any, np.dtype[np.uint8]]
) -> None:
    if kept is None:
        return
    kept.parent.mkdir(parents=True, exist_ok=True)
    partial = kept.with_suffix(".partial.npz")
    np.savez_compressed(partial, names=np.array(names), pictures=pictures)
    partial.replace(kept)


def _splits(names: list[str]) -> dict[str, list[int]]:
    index = {name: position for position, name in enumerate(names)}
    listed: dict[str, list[str]] = json.loads(SPLIT_FILE.read_text())
    return {split: [index[name] for name in members] for split, members in listed.items()}
