"""The examples of the OpenAPI document: requests that work when pasted, answers as they look."""

from typing import Any, Final

Example = dict[str, Any]

SUPPORT: Final[Example] = {
    "inputs": [-4.0, -2.0, 0.0, 2.0, 4.0],
    "targets": [-1.51, 1.82, 0.0, -1.82, 1.51],
}
QUERY: Final[Example] = {"inputs": [1.0], "targets": [-1.68]}
ADAPT: Final[Example] = {
    "checkpoint": "sinusoid",
    "support": SUPPORT,
    "query": QUERY,
    "steps": 10,
    "name": "a sine from five points",
    "metadata": {"user": "42"},
    "ttl_seconds": 86400,
}
PREDICT: Final[Example] = {"checkpoint": "sinusoid", "inputs": [-1.0, 0.5]}
CHECKPOINT_REF: Final[Example] = {
    "name": "omniglot-5way-1shot",
    "version": 1,
    "digest": "sha256:" + "5f" * 32,
}
CLASS_PREDICTION: Final[Example] = {
    "label": "bet",
    "probability": 0.97,
    "probabilities": {"alef": 0.03, "bet": 0.97},
    "novelty": 0.41,
}
ACTION_PREDICTION: Final[Example] = {
    "action": [0.07, -0.1],
    "sampled_action": [0.68, -1.31],
    "mean": [0.21, -0.98],
    "std": [0.61, 0.58],
    "log_prob": -0.97,
    "seed": 7,
}
ROLLOUT: Final[Example] = {
    "observations": [[0.0, 0.0], [0.07, -0.1], [0.13, -0.12]],
    "actions": [[0.68, -1.31], [0.61, -0.24]],
    "rewards": [-0.42, -0.35],
    "terminated": False,
    "truncated": True,
}
VALUE_PREDICTION: Final[Example] = {"value": [0.31]}
METRICS: Final[Example] = {
    "support_loss": [0.69, 0.21, 0.06, 0.02],
    "query_accuracy": 1.0,
    "query_accuracy_before": 0.5,
}
WARNING: Final[Example] = {
    "code": "negative",
    "pointer": "/support/inputs",
    "detail": "the pictures are negatives of those that the checkpoint knows; support and queries "
    "are inverted",
}
TIMING: Final[Example] = {
    "queued_ms": 1.8,
    "load_ms": 0.6,
    "adapt_ms": 9.1,
    "store_ms": 1.2,
    "batch_size": 12,
}
MADE_BY: Final[Example] = {
    "fewstep": "0.1.0",
    "commit": "1f0c2f6b1f0c2f6b1f0c2f6b1f0c2f6b1f0c2f6b",
    "torch": "2.13.0",
    "device": "cpu",
    "recipe": {"steps": 3, "step_size": 0.4, "adapts": "all"},
}
ADAPTATION: Final[Example] = {
    "id": "ad_" + "0f" * 16,
    "object": "adaptation",
    "status": "succeeded",
    "checkpoint": CHECKPOINT_REF,
    "task": "classification",
    "classes": ["alef", "bet"],
    "adapts": "all",
    "steps": 3,
    "step_size": 0.4,
    "support_examples": 2,
    "extends": None,
    "metrics": METRICS,
    "predictions": [CLASS_PREDICTION],
    "warnings": [],
    "error": None,
    "attempts": 1,
    "name": "my letters",
    "metadata": {"user": "42"},
    "timing": TIMING,
    "made_by": MADE_BY,
    "created_at": "2026-11-23T10:00:00Z",
    "started_at": "2026-11-23T10:00:00.002Z",
    "finished_at": "2026-11-23T10:00:00.011Z",
    "expires_at": None,
}
ADAPTATIONS: Final[Example] = {
    "object": "list",
    "data": [ADAPTATION],
    "has_more": True,
    "next": "WzE3OTU3NzY0MDAuMCwiYWRfMGYwZiIsIjA5YWYiXQ",
}
CHANGE: Final[Example] = {"name": "my letters", "metadata": {"user": "42"}, "ttl_seconds": 3600}
UNLIKE_ALL: Final[Example] = {
    "code": "unlike-all",
    "pointer": "/inputs/1",
    "detail": "unlike every support example: more than 19 in 20 known inputs are less so; "
    "its class may be none of these",
}
REJECTED: Final[Example] = {
    "label": None,
    "probability": 0.58,
    "probabilities": {"alef": 0.58, "bet": 0.42},
    "novelty": 0.998,
}
PREDICTED: Final[Example] = {
    "adaptation": ADAPTATION["id"],
    "predictions": [CLASS_PREDICTION, REJECTED],
    "warnings": [UNLIKE_ALL],
}
CHECKPOINT: Final[Example] = {
    "object": "checkpoint",
    **CHECKPOINT_REF,
    "task": "classification",
    "input": {"shape": [1, 28, 28], "preprocessing": {"kind": "picture", "mode": "L"}},
    "max_way": 5,
    "architecture": {"network": "conv4", "filters": 64},
    "recipe": {"steps": 3, "step_size": 0.4},
    "parameters": 111936,
    "bytes": 450000,
    "evaluation": [{"metric": "accuracy", "mean": 0.97, "ci95": 0.003, "episodes": 600}],
    "provenance": {"command": "fewstep train omniglot-5way-1shot", "seed": 0},
    "aliases": ["stable"],
    "created_at": "2026-11-23T10:00:00Z",
}
CHECKPOINTS: Final[Example] = {
    "object": "list",
    "data": [CHECKPOINT],
    "has_more": False,
    "next": None,
}
LIMITS: Final[Example] = {
    "object": "limits",
    "body_bytes": 16777216,
    "body_seconds": 30.0,
    "checkpoint_bytes": 268435456,
    "batch_adaptations": 1000,
    "support_examples": 640,
    "episodes": 200,
    "env_steps": 40000,
    "query_examples": 1000,
    "predict_inputs": 1000,
    "steps": 100,
    "example_steps": 20000,
    "wait_seconds": 60.0,
    "ttl_seconds": 315360000,
    "label_characters": 64,
    "image_side_px": 8192,
    "image_area_px": 50331648,
    "image_types": ["image/png", "image/jpeg", "image/webp"],
    "parameter_formats": ["safetensors", "npz", "onnx"],
    "ways": {"omniglot-5way-1shot": 5},
    "devices": ["cpu"],
}
FIELD_ERROR: Final[Example] = {
    "pointer": "/support/inputs/0",
    "detail": "expected one number, got numbers of shape [2]",
}
PROBLEM: Final[Example] = {
    "type": "/problems/shape-mismatch",
    "title": "An array has the wrong shape",
    "status": 422,
    "detail": "expected one number, got numbers of shape [2]",
    "code": "shape-mismatch",
    "errors": [FIELD_ERROR],
}
ERROR: Final[Example] = {
    "code": "diverged",
    "detail": "the support loss became infinite; send a smaller step_size",
}
