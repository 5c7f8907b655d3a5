"""Omniglot episodes (Lake et al. 2015) as in Finn et al. 2017: 28 x 28, strokes 1, whole classes
rotated.

The split is the committed list ``models/splits/omniglot.json`` over the pooled 1,623 characters.
"""

import hashlib
import io
import json
import zipfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models.pictures.inputs import AS_IS, input_from_picture, key_of, preparation_settings
from models.pictures.sheets import Levels, to_levels
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
    preparation: str = AS_IS,
    unprepared: float = 0.0,
    progress: Callable[[int], None] = lambda done: None,
) -> LabelledExamples:
    """Omniglot from a folder with the two official zips; ``cache`` keeps the shrunken pictures.

    mirror, distort: what training adds to the paper's quarter turns; preparation:
    ``models/pictures/inputs.py``; unprepared: the share of pictures that training shows as they
    are, since numbers are served so.

    Raises FileNotFoundError where a zip is missing, ValueError where their content is not
    Omniglot's, or for another preparation.
    """
    archives = [folder / name for name in ARCHIVES]
    for archive in archives:
        if not archive.is_file():
            raise FileNotFoundError(f"{archive} is missing: expected the folder of {ARCHIVES}")
    digest = _digest(archives)

    def read(spec: dict[str, Any]) -> tuple[list[str], Tensor]:
        key = hashlib.sha256(f"{digest} {key_of(spec)}".encode()).hexdigest()
        kept = cache / f"omniglot-{key[:16]}.npz" if cache else None
        arrays = kept_arrays(kept, lambda: _read_archives(archives, spec, progress))
        pictures = torch.from_numpy(arrays["pictures"])
        return [str(name) for name in arrays["names"]], pictures.flatten(0, 1)[:, None]

    spec = prepared(preparation)
    names, pictures = read(spec)
    return LabelledExamples(
        name="omniglot",
        examples=pictures,
        counts=(DRAWINGS,) * len(names),
        names=tuple(names),
        splits=_splits(names),
        digest=f"sha256:{digest}",
        preprocessing=spec,
        turns=True,
        mirror=mirror,
        distort=distort,
        unprepared=read(PREPROCESSING)[1] if unprepared else None,
        unprepared_share=unprepared,
    )


def prepared(preparation: str) -> dict[str, Any]:
    """Omniglot's preprocessing with a preparation, which sees for itself what is dark and where.

    Raises ValueError for an unknown one.
    """
    settings = preparation_settings(preparation)
    if not settings:
        return PREPROCESSING
    kept = {name: value for name, value in PREPROCESSING.items() if name != "corrects"}
    return kept | settings


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
    archives: list[Path], spec: Mapping[str, Any], progress: Callable[[int], None]
) -> Arrays:
    drawings: dict[str, list[Levels]] = defaultdict(list)
    for archive in archives:
        with zipfile.ZipFile(archive) as zipped:
            for member in sorted(n for n in zipped.namelist() if n.endswith(".png")):
                alphabet, character = PurePosixPath(member).parts[-3:-1]
                drawings[f"{alphabet}/{character}"].append(_shrink(zipped.read(member), spec))
                progress(1)
    names = sorted(drawings)
    if len(names) != 1623 or any(len(drawings[name]) != DRAWINGS for name in names):
        raise ValueError(
            f"expected 1623 characters of {DRAWINGS} drawings, got {len(names)} characters"
        )
    pictures = np.stack([np.stack(drawings[name]) for name in names])
    return {"names": np.array(names), "pictures": pictures}


def _shrink(png: bytes, spec: Mapping[str, Any]) -> Levels:
    with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
        return to_levels(input_from_picture(picture, spec)[0])


def _splits(names: list[str]) -> dict[str, list[int]]:
    index = {name: position for position, name in enumerate(names)}
    listed: dict[str, list[str]] = json.loads(SPLIT_FILE.read_text())
    return {split: [index[name] for name in members] for split, members in listed.items()}
