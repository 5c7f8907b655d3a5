"""What the routes of keys and tenants take and give."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.api.fields import Name, Seconds
from app.api.forms import Request
from app.api.schemas import Page
from app.values.caller import USUAL, Scope

TENANT_FORM: Final = r"^[a-z0-9_]{1,40}$"
KEY_EXAMPLE: Final[dict[str, Any]] = {
    "id": "key_" + "0f" * 16,
    "object": "key",
    "tenant": "acme",
    "name": "the shop's scanner",
    "scopes": ["adapt", "predict"],
    "status": "live",
    "created_at": "2026-11-23T10:00:00Z",
    "expires_at": None,
    "revoked_at": None,
}
TENANT_EXAMPLE: Final[dict[str, Any]] = {
    "id": "acme",
    "object": "tenant",
    "limits": {"requests_per_minute": 600, "adaptations_at_once": 100},
    "support_retention_seconds": 86400,
    "created_at": "2026-11-23T10:00:00Z",
}


def _each_once(scopes: list[Scope]) -> list[Scope]:
    return [scope for scope in Scope if scope in scopes]


TenantId = Annotated[str, Field(pattern=TENANT_FORM, description="1 to 40 of a-z, 0-9 and _.")]
# Strict as everywhere, but for the words that scopes are in JSON.
Scopes = Annotated[
    list[Annotated[Scope, Field(strict=False)]],
    Field(min_length=1, max_length=len(Scope)),
    AfterValidator(_each_once),
]


class KeyRequest(Request):
    """What a key is for, and how long it lives."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "the shop's scanner", "scopes": ["predict"]}}
    )

    name: Name = ""
    scopes: Scopes = Field(list(USUAL), description="None that the asking key lacks.")
    expires_in_seconds: Seconds | None = Field(None, description="Unset: it lives until revoked.")
    tenant: TenantId | None = Field(None, description="The operator's alone; unset: one's own.")


class Key(BaseModel):
    """A key, of which only a hash is kept."""

    model_config = ConfigDict(json_schema_extra={"example": KEY_EXAMPLE})

    id: str
    object: Literal["key"] = "key"
    tenant: str
    name: str
    scopes: list[Scope]
    status: Literal["live", "expired", "revoked"]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class NewKey(Key):
    """A key with its secret, which is shown this once; null: it was shown before."""

    model_config = ConfigDict(json_schema_extra={"example": KEY_EXAMPLE | {"secret": "fs_…"}})

    secret: str | None


class KeyPage(Page[Key]):
    """Keys, oldest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"object": "list", "data": [KEY_EXAMPLE], "has_more": False, "next": None}
        }
    )


class OwnLimits(Request):
    """What a tenant may ask for; null: as much as it likes. What is left out is as the settings
    have it for all.
    """

    model_config = ConfigDict(json_schema_extra={"example": TENANT_EXAMPLE["limits"]})

    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    adaptations_at_once: Annotated[int, Field(ge=1)] | None = None


class TenantRequest(Request):
    """A new tenant."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"id": "acme", "limits": TENANT_EXAMPLE["limits"]}}
    )

    id: TenantId
    limits: OwnLimits | None = None
    support_retention_seconds: int | None = Field(
        None,
        ge=0,
        le=315_360_000,
        description="How long support sets outlive their adaptations' end; null: as the setting.",
    )


class TenantChange(Request):
    """What is to change; a field that is left out stays, null takes its value away."""

    model_config = ConfigDict(json_schema_extra={"example": {"support_retention_seconds": 0}})

    limits: OwnLimits | None = None
    support_retention_seconds: int | None = Field(None, ge=0, le=315_360_000)


class Tenant(BaseModel):
    """Whose adaptations, checkpoints and keys are."""

    model_config = ConfigDict(json_schema_extra={"example": TENANT_EXAMPLE})

    id: str
    object: Literal["tenant"] = "tenant"
    limits: dict[str, int | None]
    support_retention_seconds: int | None
    created_at: datetime


class TenantPage(Page[Tenant]):
    """Tenants by id."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"object": "list", "data": [TENANT_EXAMPLE], "has_more": False, "next": None}
        }
    )
