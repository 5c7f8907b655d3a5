"""The meta-trained parameters of a checkpoint, out of the store."""

from typing import TYPE_CHECKING

from app.backends import Backends, read_blob
from app.values.checkpoint import CheckpointRef

if TYPE_CHECKING:
    from models.normalisation import Params


def theta_of(backends: Backends, ref: CheckpointRef) -> "Params":
    """The θ of a checkpoint by its blob. Raises BlobMissing or BlobDamaged."""
    from models.files.checkpoint import load_checkpoint

    return load_checkpoint(read_blob(backends, ref.tenant_id, ref.digest)).meta.theta
