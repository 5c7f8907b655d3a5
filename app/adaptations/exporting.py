"""The adapted model as a file that needs nothing of ours to be used."""

from app.adaptations.results import check_ended_well, damaged
from app.backends import Backends, read_blob
from app.checkpoints.theta import theta_of
from app.errors import refusal
from app.store import BlobDamaged, BlobMissing
from app.values.adaptation import Adaptation

FORMATS = ("safetensors",)


def check_format(wanted: str) -> None:
    """Raises ServiceError ``validation`` for a format that is not offered."""
    if wanted not in FORMATS:
        raise refusal("validation", "/format", f"expected one of {', '.join(FORMATS)}")


def adapted_file(backends: Backends, adaptation: Adaptation) -> bytes:
    """The .safetensors file of a succeeded adaptation, whole: in the store it may lack the body,
    where that is its checkpoint's.

    Raises ServiceError where there is no result, or ``damaged`` while it is derived again.
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
