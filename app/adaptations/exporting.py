"""The adapted model as a file that needs nothing of ours to be used."""

import io
import json
import threading
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from app.adaptations.results import check_ended_well, damaged
from app.backends import Backends, read_blob
from app.checkpoints.theta import theta_of
from app.errors import refusal
from app.store import BlobDamaged, BlobMissing
from app.values.adaptation import Adaptation

METADATA: Final = "fewstep"  # the entry of an .npz file that is JSON
_tracing: Final = threading.Lock()  # torch traces one network at a time


def check_format(wanted: str) -> None:
    """Raises ServiceError ``validation`` for a format that is not offered."""
    if wanted not in FORMATS:
        raise refusal("validation", "/format", f"expected one of {', '.join(FORMATS)}")


def exported(backends: Backends, adaptation: Adaptation, wanted: str) -> bytes:
    """The file of a succeeded adaptation in one of ``FORMATS``.

    Raises ServiceError where there is no result, or ``damaged`` while it is derived again.
    """
    return WRITERS[wanted](adapted_file(backends, adaptation))


def adapted_file(backends: Backends, adaptation: Adaptation) -> bytes:
    """The .safetensors file of a succeeded adaptation, whole: in the store it may lack the body,
    where that is its checkpoint's. Raises like ``exported``.
    """
    from models.files.adapted_file import body_of, with_body

    check_ended_well(adaptation)
    try:
        data = read_blob(backends, adaptation.tenant_id, str(adaptation.phi_digest))
    except (BlobMissing, BlobDamaged) as error:
        raise damaged(backends, adaptation) from error
    if body_of(data) is None:
        return data
    return with_body(data, theta_of(backends, adaptation.checkpoint))


def _as_it_is(data: bytes) -> bytes:
    return data


def _as_arrays(data: bytes) -> bytes:
    """The same tensors by the same names, and as text the JSON that says what they are."""
    from models.files.adapted_file import load_arrays_of

    arrays, description = load_arrays_of(data)
    kept = io.BytesIO()
    text = np.array(json.dumps(description, ensure_ascii=False, sort_keys=True))
    ordered = {name: arrays[name] for name in sorted(arrays)}  # the same model, the same bytes
    np.savez(kept, allow_pickle=False, **ordered, **{METADATA: text})
    return kept.getvalue()


def _as_graph(data: bytes) -> bytes:
    from models.files.adapted_file import load_arrays_of
    from models.files.graph import dump_graph
    from models.served import load_served

    model, (_, description) = load_served(data), load_arrays_of(data)
    with _tracing:
        return dump_graph(model.about, model.architecture.named(model.flat), description)


WRITERS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "safetensors": _as_it_is,
    "npz": _as_arrays,
    "onnx": _as_graph,
}
FORMATS: Final = tuple(WRITERS)
