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
    routes_batch,
    routes_checkpoints,
    routes_events,
    routes_inference,
    routes_keys,
    routes_listing,
    routes_metrics,
    routes_predict,
    routes_registry,
    routes_service,
    routes_tenants,
    routes_usage,
)
from app.api.door import guarded
from app.api.observed import observed
from app.api.openapi import describe
from app.api.rates import rated
from app.api.request_ids import identified
from app.api.service import running
from app.api.streams import Streams
from app.api.timing import timed
from app.api.unread import drained
from app.settings import Settings

SUMMARY = "Adapts meta-trained checkpoints to a few examples, and predicts with the result."

DRAINED_BODIES = 8  # of the largest size that is taken, of a request that is refused

ROUTERS = (
    routes_adapt,
    routes_listing,
    routes_adaptations,
    routes_batch,
    routes_events,
    routes_inference,
    routes_checkpoints,
    routes_registry,
    routes_keys,
    routes_tenants,
    routes_usage,
    routes_service,
    routes_metrics,
)


def create_service(settings: Settings, streams: Streams | None = None) -> ASGIApp:
    """The whole service for these settings, whose redis_url must be known by now.

    streams: for who tells them that the process is about to end.
    """
    app = drained(
        create_app(settings, streams),
        limit_bytes=DRAINED_BODIES * settings.body_limit_mib * 2**20,
        limit_s=settings.body_time_limit_s,
    )
    door = guarded(rated(app), origins=settings.allowed_origins.split())
    return identified(observed(timed(door)))  # around the framework's own answer to a mistake


def create_app(settings: Settings, streams: Streams | None = None) -> FastAPI:
    """The routes, their problems and their documents."""
    documented = [route for module in ROUTERS for route in module.router.routes]
    app = FastAPIOffline(  # /docs without a request to anybody else
        docs_url="/docs",
        title="Fewstep",
        version=version("fewstep"),
        summary=SUMMARY,
        lifespan=partial(
            running, settings=settings, streams=streams or Streams(settings.max_event_streams)
        ),
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # ours: observed
        redoc_url=None,
        # the routes themselves, for a 405 must name the methods of each; those of predictions come
        # first, for one after the other is tried
        routes=[*routes_predict.routes, *documented],
    )
    problems.install(app)
    app.openapi = partial(describe, app, routes_predict.router.routes)  # type: ignore[method-assign]
    return app
