"""Files of pictures as uint8 examples: opened with bounds, preprocessed as served, kept compactly.

Which file is of which class is its callers' subject.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.pictures.inputs import RESAMPLING, input_from_picture, key_of
from models.pictures.opening import ImageLimits, NotTaken, opened
from models.pictures.sheets import Levels, to_levels
from models.tasks.cache import Arrays, kept_arrays
from models.tasks.contents import say_repeated

MAX_INPUT_PX = 512
ENOUGH = 1000  # pictures to tell their ground from
EVEN = 0.1  # grey levels that a ground may differ by


def picture_spec(
    *,
    size: int | Sequence[int] = 32,
    mode: str = "RGB",
    resample: str = "lanczos",
    invert: bool | None = None,
    background: int = 255,
) -> dict[str, Any]:
    """The preprocessing that these settings ask for; size: a side, or [height, width]; invert: as
    the pictures are where it is None.

    Raises ValueError for a setting that ``input_from_picture`` does not take.
    """
    sides = [size, size] if isinstance(size, int) else list(size)
    if len(sides) != 2 or not all(type(s) is int and 1 <= s <= MAX_INPUT_PX for s in sides):
        raise ValueError(f"size: expected pixels of up to {MAX_INPUT_PX} a side, got {size}")
    if mode not in ("L", "RGB"):
        raise ValueError(f"mode: expected 'L' or 'RGB', got {mode!r}")
    if resample not in RESAMPLING:
        raise ValueError(f"resample: expected one of {', '.join(RESAMPLING)}, got {resample!r}")
    if invert is not None and type(invert) is not bool:
        raise ValueError(f"invert: expected true or false, got {invert!r}")
    if type(background) is not int or not 0 <= background <= 255:
        raise ValueError(f"background: expected a grey level from 0 to 255, got {background!r}")
    return {
        "kind": "picture",
        "mode": mode,
        "size": sides,
        "resample": resample,
        "invert": bool(invert),
        "background": background,
    }


def read_pictures(
    files: Mapping[str, Path],
    spec: Mapping[str, Any],
    *,
    name: str,
    cache: Path | None,
    progress: Callable[[int], None],
) -> tuple[Tensor, str, tuple[str, ...]]:
    """(M, C, H, W) uint8 examples of the files in their order, the SHA-256 of names and bytes, and
    a warning where a picture is there twice.

    files: by ``class/file``, the name of the example. Raises ValueError at the first file that is
    no PNG, JPEG or WebP, or is too large.
    """
    contents = {n: hashlib.sha256(file.read_bytes()).hexdigest() for n, file in files.items()}
    digest = _digest(contents)
    key = hashlib.sha256(f"{digest} {key_of(spec)}".encode()).hexdigest()
    kept = cache / f"{name}-{key[:16]}.npz" if cache else None
    arrays = kept_arrays(kept, lambda: _read(list(files.values()), spec, progress))
    classes = (example.rpartition("/")[0] for example in files)
    said = say_repeated(contents.values(), files, classes, "picture")
    return torch.from_numpy(arrays["examples"]), digest, said


def is_dark_on_light(examples: Tensor) -> bool:
    """Whether these pictures (M, C, H, W) uint8 show something dark on an even light ground.

    The ground is the median of all borders in grey: light, the same within a tenth at three of four
    border pixels, and brighter than what else is in the pictures.
    """
    some = examples[:: -(-len(examples) // ENOUGH)]
    grey = some.float().mean(dim=1) / 255  # (M, H, W)
    edge = torch.ones(grey.shape[1:], dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    border = grey[:, edge]
    ground = border.median()
    even = ((border - ground).abs() <= EVEN).float().mean() >= 0.75
    apart = (grey - ground)[(grey - ground).abs() > EVEN]
    return bool(ground > 0.5 and even and len(apart) > 0 and apart.mean() < 0)


def levels_of(file: Path, spec: Mapping[str, Any]) -> Levels:
    """(C, H, W) uint8 of one picture, 255 for an input of 1. Raises ValueError, naming the file."""
    try:
        with opened(file.read_bytes(), ImageLimits()) as picture:
            return to_levels(input_from_picture(picture, spec))
    except (NotTaken, OSError) as fault:
        raise ValueError(f"{file} cannot be read: {fault}") from fault


def _digest(contents: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for name, content in contents.items():
        digest.update(f"{json.dumps(name)} {content}\n".encode())
    return digest.hexdigest()


def _read(
    files: Sequence[Path], spec: Mapping[str, Any], progress: Callable[[int], None]
) -> Arrays:
    channels = 1 if spec["mode"] == "L" else 3
    examples = np.empty((len(files), channels, *spec["size"]), np.uint8)
    for example, file in zip(examples, files, strict=True):
        example[...] = levels_of(file, spec)
        progress(1)
    return {"examples": examples}
