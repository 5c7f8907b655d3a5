"""What one worker process has at hand: its backends, its device, its name, and checkpoints it
keeps hot.
"""

import os
import socket
import threading
from dataclasses import dataclass, field, replace

import torch
from cachetools import LRUCache

from app.backends import Backends, open_backends
from app.observing.metrics import THETA_HIT, THETA_MISS
from app.settings import Settings
from app.values.checkpoint import CheckpointRef
from models.files.checkpoint import Checkpoint, load_checkpoint
from models.outer_loop import MetaParams
from worker.allocator import keep_freed_memory

HOT_CHECKPOINTS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A worker process. ``name`` is new for every process, so that one with a pid used before takes
    over no claims.
    """

    backends: Backends
    device: torch.device
    name: str
    host: str
    hot: LRUCache[str, Checkpoint] = field(default_factory=lambda: LRUCache(HOT_CHECKPOINTS))
    lock: threading.Lock = field(default_factory=threading.Lock)


def open_bench(settings: Settings) -> Bench:
    """A bench on the device that the settings ask for."""
    keep_freed_memory()
    device = choose_device(settings.device)
    torch.set_num_threads(settings.torch_threads or torch.get_num_threads())
    host = socket.gethostname()
    name = f"{host}-{os.getpid()}-{os.urandom(4).hex()}"
    return Bench(backends=open_backends(settings), device=device, name=name, host=host)


def choose_device(wanted: str) -> torch.device:
    """``auto``: a GPU where there is one. Raises RuntimeError for a GPU that is not there."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise RuntimeError(f"FEWSTEP_DEVICE is {wanted}, but torch sees no GPU here")
    return torch.device(wanted)


def hot_checkpoint(bench: Bench, ref: CheckpointRef) -> Checkpoint:
    """The checkpoint on the bench's device, loaded once and checked against its digest.

    Raises BlobMissing or BlobDamaged.
    """
    with bench.lock:
        kept = bench.hot.get(ref.digest)
        (THETA_MISS if kept is None else THETA_HIT).inc()
        if kept is None:
            loaded = load_checkpoint(bench.backends.store.get(ref.tenant_id, ref.digest))
            kept = bench.hot[ref.digest] = _moved(loaded, bench.device)
        return kept


def _moved(checkpoint: Checkpoint, device: torch.device) -> Checkpoint:
    meta = MetaParams(
        theta={name: tensor.to(device) for name, tensor in checkpoint.meta.theta.items()},
        step_sizes={name: tensor.to(device) for name, tensor in checkpoint.meta.step_sizes.items()},
    )
    prior = checkpoint.learner.prior
    learner = replace(checkpoint.learner, prior=prior.to(device) if prior else None)
    return replace(checkpoint, learner=learner, meta=meta)
