"""The web application: routes, problems and the OpenAPI document, put together."""

from functools import partial
from importlib.metadata import version

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp

from app.api import (
    problems,
    routes_adapt,
    routes_adaptations,
    routes_checkpoints,
    routes_predict,
    routes_service,
)
from app.api.openapi import describe
from app.api.request_ids import identified
from app.api.service import running
from app.api.timing import timed
from app.settings import Settings

SUMMARY = "Adapts meta-trained checkpoints to a few examples, and predicts with the result."

ROUTERS = (routes_adapt, routes_adaptations, routes_checkpoints, routes_service)


def create_service(settings: Settings) -> ASGIApp:
    """The whole service for these settings, whose redis_url must be known by now."""
    return identified(timed(create_app(settings)))  # around the framework's own answer to a mistake


def create_app(settings: Settings) -> FastAPI:
    """The routes, their problems and their documents."""
    documented = [route for module in ROUTERS for route in module.router.routes]
    app = FastAPIOffline(  # /docs without a request to anybody else
        docs_url="/docs",
        title="Fewstep",
        version=version("fewstep"),
        summary=SUMMARY,
        lifespan=partial(running, settings=settings),
        redirect_slashes=False,
        redoc_url=None,
        # the routes themselves, for a 405 must name the methods of each; those of predictions come
        # first, for one after the other is tried
        routes=[*routes_predict.routes, *documented],
    )
    problems.install(app)
    app.openapi = partial(describe, app, routes_predict.router.routes)  # type: ignore[method-assign]
    return app
