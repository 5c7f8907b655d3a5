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
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from PIL import Image

from models.preprocessing import input_from_picture
from models.tasks.cache import Arrays, kept_arrays
from models.tasks.classes import LabelledExamples

ARCHIVES = ("images_background.zip", "images_evaluation.zip")
PREPROCESSING: dict[str, Any] = {
    "kind": "picture",
    "mode": "L",
    "size": [28, 28],
    "resample": "lanczos",
    "invert": True,
    "background": 255,
    "corrects": ["polarity", "frame"],
}
SPLIT_FILE = Path(__file__).parents[1] / "splits" / "omniglot.json"
DRAWINGS = 20


def load_omniglot(
    folder: Path,
    *,
    cache: Path | None = None,
    mirror: bool = False,
    distort: float = 0.0,
    progress: Callable[[int], None] = lambda done: None,
) -> LabelledExamples:
    """Omniglot from a folder with the two official zips; ``cache`` keeps the shrunken pictures.

    mirror, distort: what training adds to the paper's quarter turns.

    Raises FileNotFoundError where a zip is missing, ValueError where their content is not
    Omniglot's.
    """
    archives = [folder / name for name in ARCHIVES]
    for archive in archives:
        if not archive.is_file():
            raise FileNotFoundError(f"{archive} is missing: expected the folder of {ARCHIVES}")
    digest = _digest(archives)
    kept = cache / f"omniglot-{digest[:16]}.npz" if cache else None
    arrays = kept_arrays(kept, lambda: _read_archives(archives, progress))
    names, pictures = [str(name) for name in arrays["names"]], arrays["pictures"]
    return LabelledExamples(
        name="omniglot",
        examples=torch.from_numpy(pictures).reshape(-1, 1, *pictures.shape[2:]),
        counts=(DRAWINGS,) * len(names),
        names=tuple(names),
        splits=_splits(names),
        digest=f"sha256:{digest}",
        preprocessing=PREPROCESSING,
        turns=True,
        mirror=mirror,
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


def _read_archives(archives: list[Path], progress: Callable[[int], None]) -> Arrays:
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
    pictures = np.stack([np.stack(drawings[name]) for name in names])
    return {"names": np.array(names), "pictures": pictures}


def _shrink(png: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
        levels = np.rint(input_from_picture(picture, PREPROCESSING)[0] * 255)
    return np.asarray(levels, dtype=np.uint8)


def _splits(names: list[str]) -> dict[str, list[int]]:
    index = {name: position for position, name in enumerate(names)}
    listed: dict[str, list[str]] = json.loads(SPLIT_FILE.read_text())
    return {split: [index[name] for name in members] for split, members in listed.items()}
