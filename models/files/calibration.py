"""The calibration in a checkpoint file's JSON, read as strictly as the rest of it."""

import math
from typing import Any, get_args

from models.heads.novelty import Bucket, Calibration
from models.learner import Adapts


def read_calibration(table: dict[str, Any] | None) -> Calibration:
    """The calibration that ``asdict`` gave; an empty one for None.

    Raises ValueError, TypeError or KeyError for other keys, for numbers that are not finite, for
    deviations and temperatures that are not above 0, and for shots that do not rise from 1.
    """
    if table is None:
        return Calibration()
    if set(table) != {"buckets"} or not table["buckets"]:
        raise ValueError("calibration: expected 'buckets', at least one, and nothing else")
    buckets = tuple(Bucket(**bucket) for bucket in table["buckets"])
    shots = [bucket.shots for bucket in buckets]
    if shots[0] != 1 or sorted({*shots}) != shots:
        raise ValueError("calibration: expected buckets whose shots rise from 1")
    for bucket in buckets:
        _check(bucket)
    return Calibration(buckets=buckets)


def _check(bucket: Bucket) -> None:
    above_0 = (bucket.below, bucket.above, *bucket.temperature.values())
    if not all(map(math.isfinite, (bucket.middle, bucket.left_out, *above_0))):
        raise ValueError("calibration: expected finite numbers")
    if not all(number > 0 for number in above_0):
        raise ValueError("calibration: expected deviations and temperatures above 0")
    if not set(bucket.temperature) <= {*get_args(Adapts)}:
        raise ValueError(f"calibration: expected temperatures of {', '.join(get_args(Adapts))}")
