"""Contenders in turn on one machine, so that its other work slows all of them alike.

Nothing here knows what is timed. A ratio is taken within a round, and the figure is the median over
the rounds.
"""

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

Work = Callable[[], object]
Times = dict[tuple[str, int], list[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The median and the quartiles of some values."""

    median: float
    low: float
    high: float
    rounds: int


def spread_of(values: Sequence[float]) -> Spread:
    """At least one value."""
    if len(values) == 1:
        return Spread(median=values[0], low=values[0], high=values[0], rounds=1)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median=median, low=low, high=high, rounds=len(values))


def ratios(theirs: Sequence[float], ours: Sequence[float]) -> Spread:
    """How many times as long they took, round by round."""
    return spread_of([a / b for a, b in zip(theirs, ours, strict=True)])


def seconds_of(work: Work) -> float:
    """One run of the work, to the end of what it put on a GPU."""
    finish()
    started = time.perf_counter()
    work()
    finish()
    return time.perf_counter() - started


def finish() -> None:
    """Waits for a GPU, where torch was asked to use one."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def thread_counts() -> list[int]:
    """One thread, and as many as torch takes by itself: every contender is timed with each."""
    return sorted({1, torch.get_num_threads()})


def in_turn(
    contenders: Mapping[str, Work],
    *,
    threads: Sequence[int],
    at_most_s: float,
    rounds: tuple[int, int],
) -> Times:
    """The seconds of every contender with every number of threads, in rounds.

    A first round warms up. Then rounds follow until ``at_most_s`` is over, but no fewer and no more
    than ``rounds`` says. The order moves on by one in every round, so that nobody always follows
    the same one.
    """
    places = [(name, count) for count in threads for name in contenders]
    began, started = torch.get_num_threads(), time.perf_counter()
    for name, count in places:
        _timed(contenders[name], count)
    fewest, most = rounds
    times: Times = {place: [] for place in places}
    for number in range(most):
        if number >= fewest and time.perf_counter() - started > at_most_s:
            break
        start = number % len(places)
        for name, count in places[start:] + places[:start]:
            times[name, count].append(_timed(contenders[name], count))
    torch.set_num_threads(began)
    return times


def best_threads(times: Times) -> dict[str, int]:
    """With how many threads each contender is faster: that is the time that counts."""
    fastest: dict[str, int] = {}
    for name, threads in times:
        best = fastest.setdefault(name, threads)
        if statistics.median(times[name, threads]) < statistics.median(times[name, best]):
            fastest[name] = threads
    return fastest


def say(text: str) -> None:
    """Progress, beside the one JSON document on stdout."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _timed(work: Work, threads: int) -> float:
    torch.set_num_threads(threads)
    return seconds_of(work)
