"""A client of Fewstep: adapts a model to a few examples, and predicts with it.

from fewstep_client import Client

letters = Client("http://127.0.0.1:8000").adapt("omniglot-5way-1shot", "letters/")
letters.predict(Path("unknown.png"))["label"]
"""

from fewstep_client.acting import Policy
from fewstep_client.adaptation import Adaptation, AsyncAdaptation
from fewstep_client.client import AsyncClient, Client
from fewstep_client.errors import (
    AdaptationFailed,
    Busy,
    FewstepError,
    Gone,
    Invalid,
    NotAllowed,
    NotFound,
    NotSignedIn,
    Place,
    Unavailable,
)

__all__ = [
    "Adaptation",
    "AdaptationFailed",
    "AsyncAdaptation",
    "AsyncClient",
    "Busy",
    "Client",
    "FewstepError",
    "Gone",
    "Invalid",
    "NotAllowed",
    "NotFound",
    "NotSignedIn",
    "Place",
    "Policy",
    "Unavailable",
]
