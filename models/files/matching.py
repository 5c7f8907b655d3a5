"""Whether a file has the tensors that its network has."""

from models.files.faults import TensorMismatch
from models.normalisation import Params


def check_likes(expected: Params, got: Params) -> None:
    """Raises TensorMismatch."""
    found = {name: (str(one.dtype), tuple(one.shape)) for name, one in got.items()}
    wanted = {name: (str(one.dtype), tuple(one.shape)) for name, one in expected.items()}
    places = [
        (name, f"expected {dtype} {shape}, got {_in_words(found.get(name))}")
        for name, (dtype, shape) in wanted.items()
        if found.get(name) != (dtype, shape)
    ]
    if places:
        raise TensorMismatch(places)


def _in_words(found: tuple[str, tuple[int, ...]] | None) -> str:
    return "nothing" if found is None else f"{found[0]} {found[1]}"
