"""Signatures against the verifier that Standard Webhooks publishes."""

import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from app.values.signing import new_secret, signature_headers

BODY = '{"type":"adaptation.succeeded","data":{"name":"ü 🦊"}}'.encode()


def test_the_public_verifier_takes_a_message_by_each_of_its_secrets() -> None:
    new, old = new_secret(), new_secret()
    headers = signature_headers("wh_1", int(time.time()), BODY, [new, old])

    assert Webhook(new).verify(BODY, headers) == Webhook(old).verify(BODY, headers)


def test_it_refuses_another_secret_another_body_and_an_old_time() -> None:
    secret, now = new_secret(), int(time.time())
    headers = signature_headers("wh_1", now, BODY, [secret])
    old = signature_headers("wh_1", now - 3600, BODY, [secret])

    for verifier, body, sent in (
        (Webhook(new_secret()), BODY, headers),
        (Webhook(secret), BODY + b" ", headers),
        (Webhook(secret), BODY, headers | {"webhook-id": "wh_2"}),
        (Webhook(secret), BODY, old),
    ):
        with pytest.raises(WebhookVerificationError):
            verifier.verify(body, sent)
