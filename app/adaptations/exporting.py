"""The adapted model as a file that needs nothing of ours to be used."""

from app.adaptations.results import check_ended_well, damaged
from app.backends import Backends, read_blob
from app.errors import refusal
from app.store import BlobDamaged, BlobMissing
from app.values.adaptation import Adaptation

FORMATS = ("safetensors",)


def check_format(wanted: str) -> None:
    """Raises ServiceError ``validation`` for a format that is not offered."""
    if wanted not in FORMATS:
        raise refusal("validation", "/format", f"expected one of {', '.join(FORMATS)}")


def adapted_file(backends: Backends, adaptation: Adaptation) -> bytes:
    """The .safetensors file of a succeeded adaptation, as it lies in the store.

    Raises ServiceError where there is no result, or ``damaged`` while it is derived again.
    """
    check_ended_well(adaptation)
    try:
        return read_blob(backends, adaptation.tenant_id, str(adaptation.phi_digest))
    except (BlobMissing, BlobDamaged) as error:
        raise damaged(backends, adaptation) from error
