"""How a checkpoint's bytes can be wrong. No torch here: a server refuses most of them without."""

from collections.abc import Sequence


class InvalidCheckpoint(ValueError):
    """The bytes are not a checkpoint of this format, or its tensors are not its network's."""


class TensorMismatch(InvalidCheckpoint):
    """Tensors that are not the network's: each with what was expected and got, the first of them in
    the message.
    """

    def __init__(self, places: Sequence[tuple[str, str]]) -> None:
        name, detail = places[0]
        super().__init__(f"{name}: {detail}")
        self.places = tuple(places)


class NonFinite(InvalidCheckpoint):
    """A weight that is no finite number."""
