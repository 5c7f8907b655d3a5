"""The web application: routes, problems and the OpenAPI document, put together."""

from functools import partial
from importlib.metadata import version

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from app.api import (
    problems,
    routes_adapt,
    routes_adaptations,
    routes_checkpoints,
    routes_predict,
    routes_service,
)
from app.api.openapi import describe
from app.api.service import running
from app.api.timing import timed
from app.settings import Settings

SUMMARY = "Adapts meta-trained checkpoints to a few examples, and predicts with the result."

ROUTES = (
    routes_predict,
    routes_adapt,
    routes_adaptations,
    routes_checkpoints,
    routes_service,
)


def create_app(settings: Settings) -> FastAPI:
    """The application for these settings, whose redis_url must be known by now."""
    app = FastAPIOffline(  # /docs without a request to anybody else
        docs_url="/docs",
        title="Fewstep",
        version=version("fewstep"),
        summary=SUMMARY,
        lifespan=partial(running, settings=settings),
        redirect_slashes=False,
        redoc_url=None,
    )
    # The routes themselves: a 405 must name the methods of each. Those of predictions come first,
    # for one after the other is tried.
    app.router.routes[:0] = [route for module in ROUTES for route in module.router.routes]
    problems.install(app)
    app.openapi = partial(describe, app)  # type: ignore[method-assign]
    # Outermost: a middleware would stand behind the framework's own answer to a mistake.
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: timed(build())  # type: ignore[method-assign]
    return app
