"""`fewstep serve` with one route more: ``GET /empty``, which does nothing.

    python -m benchmarks.service.launcher

What a route of the product costs is told by the same server's answers on a route without work.
"""

from fastapi import FastAPI, Response

from app.api import application
from app.api.streams import Streams
from app.cli.serving.serve import serve
from app.settings import Settings

create_app = application.create_app


async def empty() -> Response:
    return Response(b"{}", media_type="application/json")


def create_app_with_empty_route(settings: Settings, streams: Streams | None) -> FastAPI:
    """The product's application, and the route."""
    app = create_app(settings, streams)
    app.add_api_route("/empty", empty)
    return app


if __name__ == "__main__":
    application.create_app = create_app_with_empty_route
    serve(api_only=False, stop_with_parent=True)
