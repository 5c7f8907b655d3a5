"""A client that a public generator makes of docs/openapi.json adapts and predicts."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.processes import Service

ROOT = Path(__file__).parents[2]
DEFAULT = ROOT / ".venv-generator"  # which `make test` makes
PLACE = Path(os.environ.get("FEWSTEP_TEST_GENERATOR", DEFAULT)) / "bin"
SESSION = """
import json, sys
from generated import Client
from generated.api.adaptations import adapt_adapt_post as adapt
from generated.api.predictions import predict_in_body_predict_post as predict
from generated.models import AdaptRequest, PredictRequest

with Client(base_url=sys.argv[1], timeout=30, raise_on_unexpected_status=True) as client:
    made = adapt.sync(client=client, body=AdaptRequest.from_dict(json.loads(sys.argv[2])))
    asked = PredictRequest(adaptation=made.id, inputs=[0.0, 2.0, -2.0])
    predicted = predict.sync(client=client, body=asked)
    wrong = predict.sync_detailed(client=client, body=PredictRequest(adaptation="x", inputs=[1.0]))
told = {"made": made.to_dict(), "predicted": predicted.to_dict()}
print(json.dumps(told | {"wrong": [int(wrong.status_code), wrong.parsed.code]}))
"""

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the generated package lies."""
    if not (PLACE / "openapi-python-client").exists():
        reason = "the generator is not there; `make test` installs it"
        if os.environ.get("FEWSTEP_REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("client")
    subprocess.run(
        [
            PLACE / "openapi-python-client",
            "generate",
            *("--path", ROOT / "docs" / "openapi.json", "--meta", "none"),
            *("--output-path", folder / "generated"),
        ],
        env={**os.environ, "PATH": f"{PLACE}:{os.environ['PATH']}"},
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder


def test_a_generated_client_adapts_and_predicts(service: Service, generated: Path) -> None:
    document = json.loads((ROOT / "docs" / "openapi.json").read_text())
    example = document["components"]["schemas"]["AdaptRequest"]["example"]

    ran = subprocess.run(
        [PLACE / "python", "-c", SESSION, service.base_url, json.dumps(example)],
        cwd=generated,
        env={"PYTHONPATH": str(generated), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["made"]["status"] == "succeeded"
    assert len(told["predicted"]["predictions"]) == 3
    assert told["wrong"] == [404, "not-found"]
