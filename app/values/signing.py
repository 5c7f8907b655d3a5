"""Signatures of webhooks as Standard Webhooks says (standardwebhooks.com): HMAC-SHA256 over id,
time and body, by a secret that sender and receiver share.
"""

import base64
import hmac
import secrets
from collections.abc import Sequence
from typing import Final

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32


def new_secret() -> str:
    """``whsec_`` and 256 random bits in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signature_headers(
    message_id: str, sent_at: int, body: bytes, shared: Sequence[str]
) -> dict[str, str]:
    """The three headers of a message; any one of the secrets verifies it.

    sent_at: seconds since 1970, signed too, so that nobody can send the message again later.
    """
    signed = f"{message_id}.{sent_at}.".encode() + body
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": " ".join(_sign(secret, signed) for secret in shared),
    }


def _sign(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return f"v1,{base64.b64encode(hmac.digest(key, signed, 'sha256')).decode()}"
