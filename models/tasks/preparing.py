"""Which preparation suits a folder of pictures: tried on some of the training pictures themselves.

The judge is the simplest there is, the nearest of five prepared pictures of as many classes, so a
preparation is taken where it brings pictures of one class together and classes apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.episodes import Noticed
from models.pictures.ink import STROKE, stroke_of_picture
from models.pictures.inputs import (
    AS_IS,
    DRAWN,
    INK,
    PEN_ON_PAPER,
    PHOTO,
    input_from_picture,
    upright,
)
from models.pictures.opening import ImageLimits, NotTaken, opened
from models.pictures.sheets import resized

CLASSES, OF_EACH = 20, 6  # that are looked at, at most
WAY, EPISODES = 5, 400
COARSE_PX = 14  # of a side: what is compared forgives a pixel or two
CLEARLY = 0.02, 2.0  # better by this share, and by so many standard errors
SEED = 1


def notice_preparation(classes: Sequence[Sequence[Path]], spec: Mapping[str, Any]) -> Noticed:
    """The settings ``preparation`` and, for ink, ``stroke`` that suit these classes of files, and a
    sentence that says so.
    """
    members = [
        [one for file in files[:OF_EACH] if (one := _looked_at(file, spec)) is not None]
        for files in classes[:CLASSES]
    ]
    members = [each for each in members if len(each) >= 2]
    if len(members) < 2:
        return Noticed(settings={"preparation": AS_IS})
    right = {
        name: _judged([[one.seen[name] for one in each] for each in members])
        for name in _CANDIDATES
    }
    chosen = AS_IS
    for name in _CANDIDATES[1:]:
        if _is_clearly_better(right[name], right[chosen]):
            chosen = name
    settings: dict[str, Any] = {"preparation": chosen}
    if chosen in DRAWN:
        settings["stroke"] = _usual([one.strokes[chosen] for each in members for one in each])
    return Noticed(settings=settings, said=(_in_words(chosen, right),))


@dataclass(frozen=True, slots=True, kw_only=True)
class _LookedAt:
    """What is kept of a picture, by preparation: a coarse input, flat, and how wide strokes are."""

    seen: Mapping[str, NDArray[np.float32]]
    strokes: Mapping[str, float | None]


_CANDIDATES = (AS_IS, PHOTO, INK, PEN_ON_PAPER)


def _in_words(chosen: str, right: Mapping[str, NDArray[np.float64]]) -> str:
    scores = ", ".join(f"{name} {100 * each.mean():.0f} %" for name, each in right.items())
    return (
        f"preparation becomes {chosen}; by the nearest of {WAY} training pictures, one of each "
        f"class: {scores}"
    )


def _is_clearly_better(right: NDArray[np.float64], usual: NDArray[np.float64]) -> bool:
    gain = right - usual
    least, errors = CLEARLY
    return bool(gain.mean() > max(least, errors * gain.std() / np.sqrt(len(gain))))


def _judged(seen: Sequence[Sequence[NDArray[np.float32]]]) -> NDArray[np.float64]:
    """(episodes,) 1 where a picture's nearest is of its own class, the same episodes for any
    preparation.
    """
    random, way = np.random.default_rng(SEED), min(WAY, len(seen))
    right = np.empty(EPISODES)
    for episode in range(EPISODES):
        places = random.permutation(len(seen))[:way]
        draws = [random.permutation(len(seen[place]))[:2] for place in places]
        support = np.stack([seen[p][first] for p, (first, _) in zip(places, draws, strict=True)])
        query = seen[places[0]][draws[0][1]]
        right[episode] = np.square(support - query).sum(axis=1).argmin() == 0
    return right


def _seen(picture: Image.Image, spec: Mapping[str, Any]) -> NDArray[np.float32]:
    planes = input_from_picture(picture, spec)
    box = Image.Resampling.BOX
    return np.stack([resized(plane, COARSE_PX, COARSE_PX, box) for plane in planes]).ravel()


def _usual(widths: Sequence[float | None]) -> float:
    known = [width for width in widths if width is not None]
    return round(float(np.median(known)), 4) if known else STROKE


def _looked_at(file: Path, spec: Mapping[str, Any]) -> _LookedAt | None:
    """None where the picture cannot be read: its reader will say so."""
    height, width = spec["size"]
    try:
        with opened(file.read_bytes(), ImageLimits()) as picture:
            seen = {n: _seen(picture, dict(spec) | {"preparation": n}) for n in _CANDIDATES}
            strokes = {
                n: stroke_of_picture(upright(picture), (height, width), on_paper=n == PEN_ON_PAPER)
                for n in DRAWN
            }
            return _LookedAt(seen=seen, strokes=strokes)
    except (NotTaken, OSError):
        return None
