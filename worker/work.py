"""One row's part of a batch, and why a row has no result."""

from dataclasses import dataclass

from app.values.arrays import Arrays


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """support: its support set's named arrays, each (S, …); a ``mask`` says which of the S examples
    count. start: of a policy that goes on from another adaptation, the parameters of that.
    """

    support: Arrays
    step_size: float | None
    start: Arrays | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a row has no result."""

    code: str
    detail: str
