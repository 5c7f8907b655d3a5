"""Support sets, queries and targets: from what JSON or a form carried to arrays and to blobs.

It decides what an example and a class name are, and must not know HTTP, rows or networks.
No refusal shows the value that it refuses.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from app.errors import refusal, refuse_places
from app.images import ImageLimits, UploadedPicture, decode_data_url, read_picture
from app.numbers import read_numbers, shape_in_words

MAX_LABEL_CHARACTERS: Final = 64


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

    A leading axis of length 1 may be missing. Raises ServiceError at the first example that does
    not fit.
    """
    examples = np.empty((len(values), *spec.shape), np.float32)
    for index, value in enumerate(values):
        examples[index] = _read_example(value, spec, f"{pointer}/{index}", limits)
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
    names = _read_names(targets, pointer)
    classes = tuple(dict.fromkeys(names))
    return classes, _places(names, classes)


def read_labels(
    targets: Sequence[Any], classes: Sequence[str], *, pointer: str
) -> NDArray[np.int64]:
    """The place of each target among known classes as (Q,) int64.

    Raises ServiceError validation, with up to 20 places, for what is none of them.
    """
    names, known = _read_names(targets, pointer), set(classes)
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


def _read_example(
    value: object, spec: InputSpec, pointer: str, limits: ImageLimits
) -> NDArray[np.floating]:
    if isinstance(value, UploadedPicture):
        return _read_picture(value, spec, pointer, limits)
    if not isinstance(value, str):
        return read_numbers(value, spec.shape, pointer)
    if value[:5].lower() == "data:":
        return _read_picture(value, spec, pointer, limits)
    detail = f"expected {_forms_in_words(spec)}, got a string"
    raise refusal("validation", pointer, detail)


def _forms_in_words(spec: InputSpec) -> str:
    picture = "" if spec.preprocessing is None else " or a data URL"
    return shape_in_words(spec.shape) + picture


def _read_picture(
    value: str | UploadedPicture, spec: InputSpec, pointer: str, limits: ImageLimits
) -> NDArray[np.float32]:
    if spec.preprocessing is None:
        detail = f"expected {_forms_in_words(spec)}, got a picture"
        raise refusal("shape-mismatch", pointer, detail)
    if isinstance(value, UploadedPicture):
        media_type, data = value.media_type, value.data
    else:
        media_type, data = decode_data_url(value, pointer=pointer)
    return read_picture(data, media_type, spec=spec.preprocessing, pointer=pointer, limits=limits)


def _read_names(targets: Sequence[Any], pointer: str) -> list[str]:
    """The targets as class names in NFC; an integer is its decimal digits."""
    names = [_name(target) for target in targets]
    nameless = (index for index, name in enumerate(names) if name is None)
    rule = f"expected a string of 1 to {MAX_LABEL_CHARACTERS} characters without control characters"
    refuse_places(nameless, f"{rule}, or an integer, got something else", pointer=pointer)
    sound = [name for name in names if name is not None]
    clash = "expected each class as a string or as an integer, got one as both"
    refuse_places(_clashes(targets, sound), clash, pointer=pointer)
    return sound


def _name(target: object) -> str | None:
    """The class name that a target stands for; None where it stands for none."""
    if type(target) is int:
        name = str(target) if target.bit_length() < 4 * MAX_LABEL_CHARACTERS else ""
    elif isinstance(target, str) and len(target) <= 4 * MAX_LABEL_CHARACTERS:
        name = unicodedata.normalize("NFC", target)  # makes one character of at most four
    else:
        return None
    controls = any(unicodedata.category(character) == "Cc" for character in name)
    return None if controls or not 1 <= len(name) <= MAX_LABEL_CHARACTERS else name


def _clashes(targets: Sequence[Any], names: Sequence[str]) -> Iterator[int]:
    """Where a name comes as an integer after it came as a string, or the other way round."""
    kinds: dict[str, type] = {}
    for index, (target, name) in enumerate(zip(targets, names, strict=True)):
        if kinds.setdefault(name, type(target)) is not type(target):
            yield index


def _places(names: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    place = {name: index for index, name in enumerate(classes)}
    return np.array([place[name] for name in names], np.int64)
