"""`python -m app.api`: the OpenAPI document as it is committed, in docs/openapi.json.

Not listening anywhere, so that the address of the messages is of no account.
"""

import json
import sys

from app.api.application import create_app
from app.settings import read_settings


def written() -> str:
    """The document in stable order: everything by name."""
    document = create_app(read_settings(redis_url="redis://127.0.0.1:1")).openapi()
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(written())
