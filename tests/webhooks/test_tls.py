"""TLS is verified against the name of the URL, whatever address the call goes to."""

import asyncio
import shutil
import ssl
import subprocess
from ipaddress import ip_address
from pathlib import Path

import pytest

from app.messages.webhooks.calling import Answered, NotAnswered, call, open_tls
from app.messages.webhooks.guard import Rules, read_target
from tests.webhooks.receiver import answering, receiving

NAME = "hooks.example"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for the name, signed by itself, with its key in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not here")
    folder = tmp_path_factory.mktemp("tls")
    form = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -batch"
    own = f"-subj /CN={NAME} -addext subjectAltName=DNS:{NAME} -keyout key.pem -out cert.pem"
    command = [openssl, *form.split(), *own.split()]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    both = folder / "both.pem"
    both.write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    return both


def called(url: str, tls: ssl.SSLContext) -> Answered:
    target = read_target(url, Rules(ports=frozenset(range(65536)), networks=()))
    sent = call(target, [ip_address("127.0.0.1")], headers={}, body=b"{}", tls=tls, timeout_s=5)
    return asyncio.run(sent)


def test_a_certificate_must_be_trusted_and_for_the_name(certificate: Path) -> None:
    own, names = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), list[str | None]()
    own.load_cert_chain(certificate)
    own.sni_callback = lambda _, name, __: names.append(name)
    trusting = open_tls()
    trusting.load_verify_locations(certificate)
    with receiving(answering(200), tls=own) as receiver:
        good = called(f"https://{NAME}:{receiver.port}/", trusting)
        for url, tls in (
            (f"https://{NAME}:{receiver.port}/", open_tls()),
            (f"https://other.example:{receiver.port}/", trusting),
            (f"https://127.0.0.1:{receiver.port}/", trusting),
        ):
            with pytest.raises(NotAnswered, match="certificate"):
                called(url, tls)

    assert good.status == 200
    assert names[0] == NAME
    assert len(receiver.received) == 1


def test_who_speaks_no_tls_is_no_receiver() -> None:
    with (
        receiving(answering(200)) as receiver,
        pytest.raises(NotAnswered, match=r"TLS|no answer|no connection"),
    ):
        called(f"https://{NAME}:{receiver.port}/", open_tls())
