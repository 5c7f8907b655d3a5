"""A value with an end."""

import math
from dataclasses import dataclass
from typing import Generic, TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lasting(Generic[Value]):
    """What a row says, and for how many seconds from when it was asked; infinite: for ever."""

    value: Value
    left_s: float = math.inf
