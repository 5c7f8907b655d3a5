"""A request's body as one of ``schemas``, or a refusal that points at every wrong place."""

from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from app.api.complaints import errors_from_pydantic, field_pointer
from app.errors import ServiceError, kind_of, refusal

MAX_FIELDS: Final = 64  # more than any object has; pydantic would collect every unknown one

Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], body: object) -> Model:
    """The body as ``model``.

    Raises ServiceError validation with a pointer to each wrong place, at most 20.
    """
    if not isinstance(body, dict):
        raise refusal("validation", "", f"expected an object, got {kind_of(body)}")
    _check_breadth(body)
    try:
        return model.model_validate(body)
    except ValidationError as error:
        errors = errors_from_pydantic(error.errors(include_url=False))
        raise ServiceError("validation", "some fields are wrong", errors=errors) from None


def _check_breadth(body: dict[str, Any]) -> None:
    _refuse_breadth(body, "")
    for name, value in body.items():
        if isinstance(value, dict):
            _refuse_breadth(value, field_pointer(name))
        for index, entry in enumerate(value if isinstance(value, list) else ()):
            if isinstance(entry, dict):
                _refuse_breadth(entry, field_pointer(name, index))


def _refuse_breadth(fields: dict[str, Any], pointer: str) -> None:
    if len(fields) > MAX_FIELDS:
        raise refusal("validation", pointer, f"expected at most {MAX_FIELDS} fields, got more")
