"""The meta-trained parameters of a checkpoint, out of the store."""

from typing import TYPE_CHECKING

from app.backends import Backends, read_blob
from app.errors import ServiceError
from app.store import BlobDamaged, BlobMissing
from app.values.checkpoint import CheckpointRef

if TYPE_CHECKING:
    from models.normalisation import Params


def theta_of(backends: Backends, ref: CheckpointRef) -> "Params":
    """The θ of a checkpoint by its blob. Raises ServiceError where it is lost: nothing can derive
    that again.
    """
    from models.files.checkpoint import load_checkpoint

    try:
        data = read_blob(backends, ref.tenant_id, ref.digest)
    except (BlobMissing, BlobDamaged) as error:
        raise ServiceError("damaged", "the stored checkpoint failed its check") from error
    return load_checkpoint(data).meta.theta
