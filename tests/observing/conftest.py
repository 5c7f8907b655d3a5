"""A worker's bench in this process, as the worker's own tests have it."""

from tests.worker.conftest import bench, open_bench, settings

__all__ = ["bench", "open_bench", "settings"]
