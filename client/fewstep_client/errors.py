"""What can go wrong, by who can act on it. Every refusal carries what the service said."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A wrong place in what was sent: a JSON pointer, and what was expected and got there."""

    pointer: str
    detail: str


class FewstepError(Exception):
    """The service refused a request, or did not answer.

    status: of the answer, 0 where there was none; code: of docs/api.md; places: what was wrong.
    """

    def __init__(
        self, detail: str, *, code: str = "", status: int = 0, places: Sequence[Place] = ()
    ) -> None:
        where = "".join(f"\n  {one.pointer or '/'}: {one.detail}" for one in places)
        super().__init__(f"{code}: {detail}{where}" if code else detail)
        self.detail, self.code, self.status, self.places = detail, code, status, tuple(places)


class NotSignedIn(FewstepError):
    """No valid key was sent."""


class NotAllowed(FewstepError):
    """The key may not do this."""


class NotFound(FewstepError):
    """There is nothing of this name or id, for this key."""


class Gone(FewstepError):
    """The adaptation has expired."""


class Invalid(FewstepError):
    """What was sent is wrong; ``places`` says where."""


class Busy(FewstepError):
    """There is too much at once: slow down, or wait for some to end."""


class Unavailable(FewstepError):
    """Nothing answered, or the service cannot now, for as long as it was tried."""


class AdaptationFailed(FewstepError):
    """The adaptation ended without a result; ``code`` says why."""


BY_STATUS: dict[int, type[FewstepError]] = {
    400: Invalid,
    401: NotSignedIn,
    403: NotAllowed,
    404: NotFound,
    410: Gone,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: Busy,
    503: Unavailable,
}


def error_of(problem: Any, status: int) -> FewstepError:
    """The error that a problem (RFC 9457) stands for; what is none has its status alone."""
    about = problem if isinstance(problem, dict) else {}
    kind = BY_STATUS.get(status, FewstepError)
    if about.get("code") == "adaptation-failed":
        kind = AdaptationFailed
    places = [
        Place(pointer=str(one.get("pointer", "")), detail=str(one.get("detail", "")))
        for one in about.get("errors", [])
    ]
    detail = str(about.get("detail") or f"the service answered with the status {status}")
    return kind(detail, code=str(about.get("code", "")), status=status, places=places)
