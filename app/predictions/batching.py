"""Where predictions of one process meet: whatever waits is predicted together.

There is no timer. What arrived in one turn of the event loop is taken at its end, or after as many
more as bring company, so that a lone request waits for nobody; while a thread works on heavy
inputs, the next heavy ones gather. An answer depends on its model and its input alone, whatever
company it had.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from models.served import ServedModel

# Ten pictures of 28 x 28, or a million numbers of φ's: below both a forward is shorter than the way
# to a thread and back on a busy process (0.06 ms for a number, 0.3 ms for a picture).
LIGHT_VALUES: Final = 10 * 28 * 28
LIGHT_JOBS: Final = 32  # then it is done whatever else arrives
LIGHT_PHI_VALUES: Final = 2**18
HEAVY_VALUES: Final = 64 * 28 * 28  # of one turn of the thread, some 20 ms

Outputs = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Predicted:
    """outputs: (Q, outputs) of one request; wait_ms and forward_ms: of its batch, of so many."""

    outputs: Outputs
    wait_ms: float
    forward_ms: float
    batch_size: int


@dataclass(frozen=True, slots=True)
class Job:
    """One request's inputs x (Q, …), and where its answer is awaited."""

    model: "ServedModel"
    x: Outputs
    asked_at: float
    answer: asyncio.Future[Predicted]

    @property
    def is_light(self) -> bool:
        """Whether the event loop may do it by itself."""
        return self.x.size <= LIGHT_VALUES and self.model.values <= LIGHT_PHI_VALUES


class Batcher:
    """The two lines of one process: light jobs for the event loop's own hands, heavy for a thread.

    Made and used inside a running event loop. threads: of torch, for one forward.
    """

    def __init__(self, threads: int) -> None:
        self._loop = asyncio.get_running_loop()
        use_threads(threads)
        self._light: list[Job] = []
        self._heavy: list[Job] = []
        self._thread = ThreadPoolExecutor(
            1, "predictions", initializer=use_threads, initargs=(threads,)
        )
        self._is_busy = False

    async def predict(self, model: "ServedModel", x: Outputs) -> Predicted:
        """The outputs for x (Q, …). Raises what the model raises on them.

        More than one turn of the thread is asked for turn by turn, with others in between.
        """
        rows = max(1, HEAVY_VALUES // max(1, x[0].size))
        if len(x) <= rows:
            return await self._ask(model, x)
        parts = [await self._ask(model, x[i : i + rows]) for i in range(0, len(x), rows)]
        return Predicted(
            outputs=np.concatenate([part.outputs for part in parts]),
            wait_ms=sum(part.wait_ms for part in parts),
            forward_ms=sum(part.forward_ms for part in parts),
            batch_size=max(part.batch_size for part in parts),
        )

    async def _ask(self, model: "ServedModel", x: Outputs) -> Predicted:
        job = Job(model, x, time.perf_counter(), self._loop.create_future())
        if job.is_light:
            if not self._light:
                self._loop.call_soon(self._do_light, 1)
            self._light.append(job)
        else:
            self._heavy.append(job)
            self._begin_heavy()
        return await job.answer

    def close(self) -> None:
        """Ends the thread after the batch it is at."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _do_light(self, before: int) -> None:
        """As long as a turn of the loop brings company it takes another, of some microseconds."""
        if before < len(self._light) < LIGHT_JOBS:
            self._loop.call_soon(self._do_light, len(self._light))
            return
        batch, self._light = _first(self._light, LIGHT_VALUES)
        if self._light:
            self._loop.call_soon(self._do_light, len(self._light))
        started = time.perf_counter()
        _give(batch, predict_jobs(batch), started)

    def _begin_heavy(self) -> None:
        if self._is_busy or not self._heavy:
            return
        batch, self._heavy = _first(self._heavy, HEAVY_VALUES)
        self._is_busy = True
        started = time.perf_counter()
        running = self._loop.run_in_executor(self._thread, predict_jobs, batch)
        running.add_done_callback(lambda done: self._end_heavy(batch, done, started))

    def _end_heavy(
        self,
        batch: Sequence[Job],
        done: "asyncio.Future[list[Outputs | Exception]]",
        started: float,
    ) -> None:
        self._is_busy = False
        self._begin_heavy()
        if not done.cancelled():
            _give(batch, done.result(), started)


def use_threads(threads: int) -> None:
    """Has forwards of the calling thread use so many threads.

    Each thread has to say it for itself: oneDNN asks OpenMP, which does not know what torch was
    told in another one. Two threads for one small picture on two busy cores took 95 ms, one 0.3 ms.
    """
    import torch

    torch.set_num_threads(threads)


def predict_jobs(jobs: Sequence[Job]) -> list[Outputs | Exception]:
    """Each job's outputs, or what its model raised on its inputs, in their order."""
    alike: dict[tuple[int, tuple[int, ...]], list[int]] = defaultdict(list)
    for index, job in enumerate(jobs):
        alike[id(job.model.architecture), job.x.shape[1:]].append(index)
    results: list[Outputs | Exception] = [NO_OUTPUTS] * len(jobs)
    for indices in alike.values():
        group = [jobs[index] for index in indices]
        for index, result in zip(indices, _predict_alike(group), strict=True):
            results[index] = result
    return results


NO_OUTPUTS: Final = np.empty((0, 0), np.float32)


def _predict_alike(jobs: Sequence[Job]) -> Sequence[Outputs | Exception]:
    try:
        return _predict_group(jobs)
    except Exception as error:  # noqa: BLE001 - each is told of its own, in its request
        if len(jobs) == 1:
            return [error]
        return [_predict_alike([job])[0] for job in jobs]


def _predict_group(jobs: Sequence[Job]) -> Sequence[Outputs]:
    """Jobs of one architecture and shape: one forward for each model, or one for all of them."""
    from models.served import is_worth_stacking, predict_stacked

    if len(jobs) == 1:
        return [jobs[0].model.predict(jobs[0].x)]
    models = [job.model for job in jobs]
    by_model: dict[int, list[int]] = defaultdict(list)
    for index, model in enumerate(models):
        by_model[id(model)].append(index)
    if all(len(job.x) == 1 for job in jobs) and is_worth_stacking(models, len(by_model)):
        outputs = predict_stacked(models, np.concatenate([job.x for job in jobs]))
        return list(outputs[:, None])
    results: list[Outputs] = [NO_OUTPUTS] * len(jobs)
    for indices in by_model.values():
        outputs = models[indices[0]].predict(np.concatenate([jobs[index].x for index in indices]))
        begin = 0
        for index in indices:
            end = begin + len(jobs[index].x)
            results[index] = outputs[begin:end]
            begin = end
    return results


def _first(jobs: list[Job], most_values: int) -> tuple[list[Job], list[Job]]:
    """The first ones still awaited, up to so many values but at least one job; and the rest."""
    jobs = [job for job in jobs if not job.answer.done()]
    values = 0
    for count, job in enumerate(jobs):
        values += job.x.size
        if count and values > most_values:
            return jobs[:count], jobs[count:]
    return jobs, []


def _give(jobs: Sequence[Job], results: Sequence[Outputs | Exception], started: float) -> None:
    forward_ms = (time.perf_counter() - started) * 1000
    for job, result in zip(jobs, results, strict=True):
        if job.answer.done():  # its client went away
            continue
        if isinstance(result, Exception):
            job.answer.set_exception(result)
            continue
        wait_ms = (started - job.asked_at) * 1000
        job.answer.set_result(Predicted(result, wait_ms, forward_ms, len(jobs)))
