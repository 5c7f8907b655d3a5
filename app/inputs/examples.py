"""Support sets, queries and targets: from what JSON or a form carried to arrays and to blobs.

It decides what an example is, and must not know HTTP, rows or networks.
No refusal shows the value that it refuses.
"""

import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from app.errors import kind_of, refusal, refuse_places
from app.inputs.class_names import read_names
from app.inputs.images import (
    ImageLimits,
    UploadedPicture,
    decode_data_url,
    picture_area,
    read_picture,
    shrunk_anyway,
)
from app.inputs.numbers import read_numbers, shape_in_words
from app.inputs.vectors import read_vector
from app.values.description import ANY_WIDTH, InputSpec

PICTURES_NDIM: Final = 4  # (S, C, H, W)
DEFLATED, INVERTED, SHAPE = ".deflated", ".inverted", ".shape"


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

    A leading axis of length 1 may be missing; of any width, the first example decides. Raises
    ServiceError at an example that does not fit.
    """
    spec = _measured(spec, values, pointer)
    places = [f"{pointer}/{index}" for index in range(len(values))]
    found = [_without_url(v, spec, place) for v, place in zip(values, places, strict=True)]
    _check_area(found, spec, limits, pointer)
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
    """The arrays as safetensors bytes; equal arrays give equal bytes.

    Pictures, whose numbers are grey levels in float32, become bytes again, deflated.
    """
    packed: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        packed |= _as_levels(name, array) or {name: np.asarray(array, order="C")}
    return safetensors.numpy.save(packed)


def unpack_arrays(data: bytes) -> dict[str, NDArray[Any]]:
    """The writable arrays that ``pack_arrays`` made these bytes of, to the bit."""
    packed = safetensors.numpy.load(data)
    arrays = {n: array.copy() for n, array in packed.items() if "." not in n}
    for picture in [n for n in packed if n.endswith(DEFLATED)]:
        name = picture.removesuffix(DEFLATED)
        levels = np.frombuffer(zlib.decompress(packed[picture].tobytes()), np.uint8)
        of_picture = _from_levels(levels, inverted=name.endswith(INVERTED))
        arrays[name.removesuffix(INVERTED)] = of_picture.reshape(packed[f"{name}{SHAPE}"])
    return arrays


def _as_levels(name: str, array: NDArray[Any]) -> dict[str, NDArray[Any]] | None:
    """Grey levels deflated, and their shape; None where the numbers are not just that."""
    if array.dtype != np.float32 or array.ndim != PICTURES_NDIM:
        return None
    for inverted in (False, True):
        levels = np.rint((1 - array if inverted else array) * 255)
        if not (levels >= 0).all() or not (levels <= 255).all():  # a NaN is neither
            return None
        levels = levels.astype(np.uint8)
        if _from_levels(levels, inverted=inverted).tobytes() == array.tobytes():  # -0.0 is not 0.0
            name = name + INVERTED if inverted else name
            deflated = np.frombuffer(zlib.compress(levels.tobytes(), 1), np.uint8)
            return {f"{name}{DEFLATED}": deflated, f"{name}{SHAPE}": np.array(array.shape)}
    return None


def _from_levels(levels: NDArray[np.uint8], *, inverted: bool) -> NDArray[np.float32]:
    """Bytes -> float32 in [0, 1] by the very operations of models/pictures/inputs.py."""
    pixels = levels.astype(np.float32) / np.float32(255)
    return 1 - pixels if inverted else pixels


def _without_url(value: object, spec: InputSpec, pointer: str) -> object:
    """The value, a picture's bytes in place of its data URL; refuses any other string."""
    if isinstance(value, str):
        if value[:5].lower() != "data:":
            detail = f"expected {_forms_in_words(spec)}, got a string"
            raise refusal("validation", pointer, detail)
        _check_takes_pictures(spec, pointer)
        return decode_data_url(value, pointer=pointer)
    if isinstance(value, UploadedPicture):
        _check_takes_pictures(spec, pointer)
    return value


def _check_area(
    examples: Sequence[object], spec: InputSpec, limits: ImageLimits, pointer: str
) -> None:
    """Refuses before any decoding what small files would make of one request's work."""
    most = limits.max_together_px
    if spec.preprocessing is None or len(examples) * limits.max_area_px <= most:
        return  # each is bounded by itself
    area = 0
    for index, example in enumerate(examples):
        if isinstance(example, UploadedPicture):
            place = f"{pointer}/{index}"
            area += picture_area(example, spec=spec.preprocessing, pointer=place, limits=limits)
        if area > most:
            what = f"at most {most} pixels in all pictures together"
            detail = f"expected {what}, got more; {shrunk_anyway(spec.preprocessing)}"
            raise refusal("image-too-large", pointer, detail)


def _read_example(
    example: object, spec: InputSpec, pointer: str, limits: ImageLimits
) -> NDArray[np.floating[Any]]:
    if not spec.takes_pictures:
        return read_vector(example, spec.shape, spec.preprocessing, pointer)
    if isinstance(example, UploadedPicture) and spec.preprocessing is not None:
        return read_picture(example, spec=spec.preprocessing, pointer=pointer, limits=limits)
    return read_numbers(example, spec.shape, pointer)


def _measured(spec: InputSpec, values: Sequence[Any], pointer: str) -> InputSpec:
    """The spec with the width of the first example, where any is taken."""
    if spec.shape != ANY_WIDTH or not values:
        return spec
    if not isinstance(values[0], list) or not values[0]:
        detail = f"expected a list of numbers, got {kind_of(values[0])}"
        raise refusal("shape-mismatch", f"{pointer}/0", detail)
    spec = replace(spec, shape=(len(values[0]),))
    for index, value in enumerate(values):  # before there is room for all of them
        if not isinstance(value, list) or len(value) != len(values[0]):
            read_numbers(value, spec.shape, f"{pointer}/{index}")
    return spec


def _check_takes_pictures(spec: InputSpec, pointer: str) -> None:
    if not spec.takes_pictures:
        detail = f"expected {_forms_in_words(spec)}, got a picture"
        raise refusal("shape-mismatch", pointer, detail)


def _forms_in_words(spec: InputSpec) -> str:
    picture = " or a data URL (data:image/png;base64,…)" if spec.takes_pictures else ""
    return shape_in_words(spec.shape) + picture


def _places(names: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    place = {name: index for index, name in enumerate(classes)}
    return np.array([place[name] for name in names], np.int64)
