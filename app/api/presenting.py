"""From the application's values to the API's resources."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from app.adaptations.exporting import FORMATS
from app.api import schemas
from app.api.fields import TEN_YEARS_S
from app.api.schemas_service import Limits
from app.inputs.class_names import MAX_LABEL_CHARACTERS
from app.inputs.images import IMAGE_TYPES
from app.inputs.support_sets import image_limits
from app.kinds import most_classes
from app.settings import Settings
from app.values.adaptation import Adaptation
from app.values.checkpoint import CheckpointRef, CheckpointRow
from app.values.description import PolicyDescription


def show_adaptation(adaptation: Adaptation) -> schemas.Adaptation:
    """The adaptation as its owner sees it."""
    return schemas.Adaptation.model_validate(
        {
            "id": adaptation.id,
            "status": adaptation.status.value,
            "checkpoint": show_reference(adaptation.checkpoint),
            "task": adaptation.task,
            "classes": list(adaptation.classes) if adaptation.classes is not None else None,
            "adapts": adaptation.adapts,
            "steps": adaptation.steps,
            "step_size": adaptation.step_size,
            "support_examples": adaptation.support_examples,
            "extends": adaptation.extends_id,
            "continues": adaptation.continues_id,
            "round": adaptation.round,
            "episodes": adaptation.support_examples if adaptation.round else None,
            "env_steps": adaptation.env_steps,
            "metrics": adaptation.metrics,
            "predictions": adaptation.predictions,
            "warnings": [dict(warning) for warning in adaptation.warnings],
            "error": adaptation.error,
            "attempts": adaptation.attempts,
            "name": adaptation.name,
            "metadata": adaptation.metadata,
            "webhook": adaptation.webhook,
            "timing": adaptation.timing,
            "made_by": adaptation.made_by,
            "created_at": _time(adaptation.created_at),
            "started_at": _time(adaptation.started_at),
            "finished_at": _time(adaptation.finished_at),
            "expires_at": _time(adaptation.expires_at),
        }
    )


def show_reference(ref: CheckpointRef) -> schemas.CheckpointRef:
    """A version by name, number and digest."""
    return schemas.CheckpointRef(name=ref.name, version=ref.version, digest=f"sha256:{ref.digest}")


def show_checkpoint(row: CheckpointRow) -> schemas.CheckpointResource:
    """A version with all that its file says of it."""
    about = row.description
    taken = {"shape": list(about.input.shape), "preprocessing": about.input.preprocessing}
    return schemas.CheckpointResource(
        name=row.ref.name,
        version=row.ref.version,
        digest=f"sha256:{row.ref.digest}",
        task=about.task,
        input=taken,
        max_way=most_classes(about.task, about.max_way),
        architecture={"network": about.network, "head": asdict(about.head)},
        recipe=asdict(about.inner_loop),
        parameters=row.parameters,
        bytes=row.bytes,
        evaluation=[dict(measured) for measured in about.evaluation],
        provenance=dict(about.provenance),
        policy=_show_policy(about.policy),
        aliases=list(row.aliases),
        created_at=datetime.fromtimestamp(row.created_at, UTC),
    )


def _show_policy(policy: PolicyDescription | None) -> dict[str, Any] | None:
    """What acts as Gymnasium names it: a box of numbers, or so many discrete choices."""
    if policy is None:
        return None
    size = policy.action_size
    box = {"type": "box", "shape": [size], "low": list(policy.low), "high": list(policy.high)}
    return {
        "observation_space": {"type": "box", "shape": [policy.observation_size]},
        "action_space": {"type": "discrete", "n": size} if policy.is_discrete else box,
        "max_episode_steps": policy.max_episode_steps,
        "gamma": policy.gamma,
        "gae_lambda": policy.gae_lambda,
        "step_sizes": list(policy.step_sizes),
        "episodes": policy.episodes,
        "dt": policy.dt,
        "environment": policy.environment,
    }


def show_prediction(answer: dict[str, Any]) -> dict[str, Any]:
    """What a prediction gave, in the form of ``schemas.PredictResponse``."""
    ref = answer.get("checkpoint")
    return answer | {"checkpoint": show_reference(ref).model_dump()} if ref else answer


def show_limits(settings: Settings, ways: dict[str, int], devices: list[str]) -> Limits:
    """What this service accepts."""
    images = image_limits(settings)
    return Limits(
        body_bytes=settings.body_limit_mib * 2**20,
        body_seconds=settings.body_time_limit_s,
        checkpoint_bytes=settings.checkpoint_limit_mib * 2**20,
        batch_adaptations=settings.max_batch_adaptations,
        support_examples=settings.max_support_examples,
        episodes=settings.max_episodes,
        env_steps=settings.max_env_steps,
        query_examples=settings.max_query_examples,
        predict_inputs=settings.max_predict_inputs,
        steps=settings.max_steps,
        example_steps=settings.max_example_steps,
        wait_seconds=settings.wait_limit_s,
        ttl_seconds=TEN_YEARS_S,
        label_characters=MAX_LABEL_CHARACTERS,
        image_side_px=images.max_side_px,
        image_area_px=images.max_area_px,
        image_types=list(IMAGE_TYPES),
        parameter_formats=list(FORMATS),
        ways=ways,
        devices=sorted(set(devices)),
    )


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
