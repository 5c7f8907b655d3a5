"""Which model a prediction is made with: an adaptation's φ, or the θ of a checkpoint; kept hot."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.adaptations.finding import find_lasting_adaptation
from app.adaptations.results import check_ended_well, damaged
from app.backends import Backends, read_blob
from app.checkpoints.registry import find_servable, parse_reference
from app.checkpoints.theta import theta_of
from app.errors import ServiceError
from app.kinds import find_kind
from app.messages.memory import Memory, Phi
from app.predictions.hot_models import HotModels
from app.store import BlobDamaged, BlobMissing
from app.values.adaptation import Adaptation
from app.values.checkpoint import CheckpointRef, CheckpointRow
from app.values.lasting import Lasting

if TYPE_CHECKING:
    from models.served import ServedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The model that a request means; phi: what may be remembered of its adaptation's row."""

    model: "ServedModel"
    checkpoint: CheckpointRef | None = None
    phi: Lasting[Phi] | None = None


def remembered_model(
    memory: Memory, hot: HotModels, tenant_id: str, adaptation_id: str | None
) -> Found | None:
    """The model of an adaptation that this process knows; None where that has to be looked up."""
    if adaptation_id is None:
        return None
    digest = memory.phi(tenant_id, adaptation_id)
    model = None if digest is None else hot.peek(tenant_id, digest)
    return None if model is None else Found(model=model)


def find_model(
    backends: Backends,
    hot: HotModels,
    tenant_id: str,
    adaptation_id: str | None,
    checkpoint: str | None,
) -> Found:
    """The model by its row and its blob. Raises ServiceError where there is none."""
    if adaptation_id is None:
        return _by_checkpoint(backends, hot, tenant_id, str(checkpoint))
    found = find_lasting_adaptation(backends, tenant_id, adaptation_id)
    model = adapted_model(backends, hot, found.value)
    phi = Phi(tenant_id=tenant_id, digest=str(found.value.phi_digest))
    return Found(model=model, phi=Lasting(value=phi, left_s=found.left_s))


def adapted_model(backends: Backends, hot: HotModels, adaptation: Adaptation) -> "ServedModel":
    """The hot model of an adaptation.

    Raises ServiceError where it has no result, or ``damaged`` while its parameters are derived
    again.
    """
    from models.served import load_served

    check_ended_well(adaptation)
    tenant_id, digest = adaptation.tenant_id, str(adaptation.phi_digest)

    def load() -> "ServedModel":
        data = read_blob(backends, tenant_id, digest)
        return load_served(data, lambda _: theta_of(backends, adaptation.checkpoint))

    try:
        return hot.get(tenant_id, digest, load)
    except (BlobMissing, BlobDamaged) as error:
        raise damaged(backends, adaptation) from error


def _by_checkpoint(backends: Backends, hot: HotModels, tenant_id: str, named: str) -> Found:
    row = find_servable(backends.engine, tenant_id, parse_reference(named))
    unadapted = find_kind(row.description.task).unadapted
    if unadapted is not None:
        raise ServiceError("needs-adaptation", unadapted)
    try:
        model = hot.get(row.ref.tenant_id, row.ref.digest, lambda: _unadapted(backends, row))
    except (BlobMissing, BlobDamaged) as error:
        raise ServiceError("damaged", "the stored checkpoint failed its check") from error
    return Found(model=model, checkpoint=row.ref)


def _unadapted(backends: Backends, row: CheckpointRow) -> "ServedModel":
    from models.files.checkpoint import load_checkpoint
    from models.served import serve_theta

    data = read_blob(backends, row.ref.tenant_id, row.ref.digest)
    served = serve_theta(load_checkpoint(data))
    if served is None:
        detail = "this checkpoint needs the statistics of a support set; POST /adapt first"
        raise ServiceError("needs-adaptation", detail)
    return served


def said_beside(model: "ServedModel") -> str | None:
    """What a prediction says beside labels or values: ``novelty``, ``standard_deviation`` or
    nothing.
    """
    from models.heads.bayesian import COVARIANCE
    from models.heads.novelty import KNOWN

    names = model.architecture.shapes
    if COVARIANCE in names:
        return "standard_deviation"
    return "novelty" if KNOWN in names else None
