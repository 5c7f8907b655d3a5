"""Support sets, queries and targets: from what JSON or a form carried to arrays and to blobs.

It decides what an example is, and must not know HTTP, rows or networks.
No refusal shows the value that it refuses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from app.class_names import read_names
from app.errors import refusal, refuse_places
from app.images import ImageLimits, UploadedPicture, decode_data_url, picture_area, read_picture
from app.numbers import read_numbers, shape_in_words

MAX_FULL_SIZE_PICTURES: Final = 16  # decoding so many takes seconds already


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """What a checkpoint takes for one example.

    shape: (C, H, W) of a picture, or () or (1,) for one number; preprocessing: how a picture
    becomes that input, None where the checkpoint takes no pictures.
    """

    shape: tuple[int, ...]
    preprocessing: Mapping[str, Any] | None = None


def check_lengths(inputs: Sequence[Any], targets: Sequence[Any], pointer: str) -> None:
    """Refuses lists that do not belong together.

    Raises ServiceError: length-mismatch, or empty-support where both are empty.
    """
    if len(inputs) != len(targets):
        detail = f"expected as many targets as inputs, got {len(inputs)} and {len(targets)}"
        raise refusal("length-mismatch", pointer, detail)
    if not inputs:
        raise refusal("empty-support", pointer, "expected at least one example, got none")


def read_examples(
    values: Sequence[Any], spec: InputSpec, *, pointer: str, limits: ImageLimits
) -> NDArray[np.float32]:
    """(S, *shape) float32, C-contiguous, from number arrays, data URLs and uploaded pictures.

    A leading axis of length 1 may be missing. Raises ServiceError at an example that does not fit.
    """
    places = [f"{pointer}/{index}" for index in range(len(values))]
    found = [_without_url(v, spec, place) for v, place in zip(values, places, strict=True)]
    _check_area(found, limits, pointer)
    examples = np.empty((len(values), *spec.shape), np.float32)
    for index, (example, place) in enumerate(zip(found, places, strict=True)):
        examples[index] = _read_example(example, spec, place, limits)
    return examples


def read_values(
    targets: Sequence[Any], shape: tuple[int, ...], *, pointer: str
) -> NDArray[np.float32]:
    """Regression targets as (S, *shape) float32; a bare number where the shape is () or (1,).

    Raises ServiceError at the first target that does not fit.
    """
    values = np.empty((len(targets), *shape), np.float32)
    for index, target in enumerate(targets):
        values[index] = read_numbers(target, shape, f"{pointer}/{index}")
    return values


def read_classes(
    targets: Sequence[Any], *, pointer: str
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The class names in order of first appearance, and each target's place among them, (S,) int64.

    Raises ServiceError validation, with up to 20 places, for what is no class name.
    """
    names = read_names(targets, pointer=pointer)
    classes = tuple(dict.fromkeys(names))
    return classes, _places(names, classes)


def read_labels(
    targets: Sequence[Any], classes: Sequence[str], *, pointer: str
) -> NDArray[np.int64]:
    """The place of each target among known classes as (Q,) int64.

    Raises ServiceError validation, with up to 20 places, for what is none of them.
    """
    names, known = read_names(targets, pointer=pointer), set(classes)
    strangers = (index for index, name in enumerate(names) if name not in known)
    refuse_places(strangers, "expected one of the support's classes, got another", pointer=pointer)
    return _places(names, classes)


def pack_arrays(**arrays: NDArray[Any]) -> bytes:
    """The arrays as safetensors bytes; equal arrays give equal bytes."""
    return safetensors.numpy.save(
        {name: np.asarray(array, order="C") for name, array in arrays.items()}
    )


def unpack_arrays(data: bytes) -> dict[str, NDArray[Any]]:
    """The writable arrays that ``pack_arrays`` made these bytes of."""
    return {name: array.copy() for name, array in safetensors.numpy.load(data).items()}


def _without_url(value: object, spec: InputSpec, pointer: str) -> object:
    """The value, a picture's bytes in place of its data URL; refuses any other string."""
    if isinstance(value, str):
        if value[:5].lower() != "data:":
            detail = f"expected {_forms_in_words(spec)}, got a string"
            raise refusal("validation", pointer, detail)
        _check_takes_pictures(spec, pointer)
        media_type, data = decode_data_url(value, pointer=pointer)
        return UploadedPicture(media_type=media_type, data=data)
    if isinstance(value, UploadedPicture):
        _check_takes_pictures(spec, pointer)
    return value


def _check_area(examples: Sequence[object], limits: ImageLimits, pointer: str) -> None:
    """Refuses before any decoding what small files would make of one request's work."""
    if len(examples) <= MAX_FULL_SIZE_PICTURES:
        return  # each is bounded by itself
    most = MAX_FULL_SIZE_PICTURES * limits.max_area_px
    area = 0
    for index, example in enumerate(examples):
        if isinstance(example, UploadedPicture):
            place = f"{pointer}/{index}"
            area += picture_area(example.data, example.media_type, pointer=place, limits=limits)
        if area > most:
            detail = f"expected at most {most} pixels in all pictures together, got more"
            raise refusal("image-too-large", pointer, detail)


def _read_example(
    example: object, spec: InputSpec, pointer: str, limits: ImageLimits
) -> NDArray[np.floating[Any]]:
    if isinstance(example, UploadedPicture) and spec.preprocessing is not None:
        data, media_type = example.data, example.media_type
        return read_picture(
            data, media_type, spec=spec.preprocessing, pointer=pointer, limits=limits
        )
    return read_numbers(example, spec.shape, pointer)


def _check_takes_pictures(spec: InputSpec, pointer: str) -> None:
    if spec.preprocessing is None:
        detail = f"expected {_forms_in_words(spec)}, got a picture"
        raise refusal("shape-mismatch", pointer, detail)


def _forms_in_words(spec: InputSpec) -> str:
    picture = "" if spec.preprocessing is None else " or a data URL"
    return shape_in_words(spec.shape) + picture


def _places(names: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    place = {name: index for index, name in enumerate(classes)}
    return np.array([place[name] for name in names], np.int64)
