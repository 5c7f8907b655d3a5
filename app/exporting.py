"""The adapted model as a file that needs nothing of ours to be used."""

from app.adaptation import Adaptation
from app.backends import Backends
from app.errors import ServiceError, refusal
from app.predicting import check_ended_well, damaged
from app.store import BlobDamaged, BlobMissing, StoreUnavailable

FORMATS = ("safetensors",)


def check_format(wanted: str) -> None:
    """Raises ServiceError ``validation`` for a format that is not offered."""
    if wanted not in FORMATS:
        raise refusal("validation", "/format", f"expected one of {', '.join(FORMATS)}")


def adapted_file(backends: Backends, one: Adaptation) -> bytes:
    """The .safetensors file of a succeeded adaptation, as it lies in the store.

    Raises ServiceError where there is no result, or ``damaged`` while it is derived again.
    """
    check_ended_well(one)
    try:
        return backends.store.get(one.tenant_id, str(one.phi_digest))
    except (BlobMissing, BlobDamaged) as error:
        raise damaged(backends, one) from error
    except StoreUnavailable as error:
        raise ServiceError("unavailable", "the store does not answer", retry_after_s=1) from error
