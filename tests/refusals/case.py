"""A line of the catalogue: what is sent, and the one answer that each of its calls must get."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.refusals.calls import Answer, Call
from tests.refusals.world import World

Calls = Callable[[World], Iterable[Call]]
Check = Callable[[World, Sequence[Answer]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """code None: the calls are accepted, with any status from 200 to 202.

    then: what must hold of all the answers besides; within_s: how long one call may take.
    """

    id: str
    calls: Calls
    status: int | None = None
    code: str | None = None
    then: Check | None = None
    within_s: float | None = None


def refused(
    name: str,
    status: int,
    code: str,
    calls: Calls,
    *,
    then: Check | None = None,
    within_s: float | None = None,
) -> Case:
    return Case(id=name, status=status, code=code, calls=calls, then=then, within_s=within_s)


def accepted(name: str, calls: Calls, *, then: Check | None = None) -> Case:
    return Case(id=name, calls=calls, then=then)


def in_little_memory(calls: Calls) -> Calls:
    """The calls, after which the service has not needed much more memory than before."""

    def measured(world: World) -> Iterator[Call]:
        before = world.memory_mib()
        yield from calls(world)
        assert world.memory_mib() - before < 64

    return measured


def same_bytes(world: World, answers: Sequence[Answer]) -> None:
    """All answers are alike, so that none tells what is there."""
    assert len({answer.body for answer in answers}) == 1


def closes(world: World, answers: Sequence[Answer]) -> None:
    """Nobody waits for the rest of a body that nobody reads."""
    assert all(answer.closed for answer in answers)


def allows(methods: str) -> Check:
    def check(world: World, answers: Sequence[Answer]) -> None:
        assert {answer.headers["allow"] for answer in answers} == {methods}

    return check


def has_classes(*names: str) -> Check:
    def check(world: World, answers: Sequence[Answer]) -> None:
        assert [answer.json["classes"] for answer in answers] == [list(names)] * len(answers)
        assert {answer.json["status"] for answer in answers} == {"succeeded"}

    return check


def succeeds(world: World, answers: Sequence[Answer]) -> None:
    assert {answer.json["status"] for answer in answers} == {"succeeded"}


def tells(word: str) -> Check:
    def check(world: World, answers: Sequence[Answer]) -> None:
        assert all(word in answer.json["detail"] for answer in answers)

    return check
