"""Every tunable of the service, read once from FEWSTEP_* variables.

Knows names, ranges and defaults; must not know who uses them. A setting that is not here does not
exist: docs/settings.md is rendered from this file (`python -m app.settings`).
"""

import sys
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "FEWSTEP_"


class BadSettings(Exception):
    """One line that names the variables at fault and what they must be, never their values."""


def _sqlalchemy_url(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if separator and scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        return f"postgresql+psycopg://{rest}"
    if separator and scheme == "sqlite":
        return url
    raise ValueError("must begin with sqlite:/// or postgresql+psycopg://")


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _networks(text: str) -> str:
    for part in text.split(","):
        ip_network(part.strip())
    return text


DatabaseUrl = Annotated[str, AfterValidator(_sqlalchemy_url)]
RedisUrl = Annotated[str, StringConstraints(pattern=r"^(redis|rediss|unix)://")]
BrokerUrl = Annotated[str, StringConstraints(pattern=r"^(redis|rediss|unix|amqp|amqps)://")]
StoreUrl = Annotated[str, StringConstraints(pattern=r"^(file:///|s3://[^/]+)")]
Folder = Annotated[Path, AfterValidator(_absolute)]
Networks = Annotated[str, AfterValidator(_networks)]


class Settings(BaseSettings):
    """The service's settings, checked; frozen, so that every part sees the same ones."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid"
    )

    host: str = Field("127.0.0.1", description="Address to listen on. Beyond loopback needs a key.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    data_dir: Folder = Field(
        Path("data"), description="Folder for everything that the embedded parts keep."
    )
    database_url: DatabaseUrl | None = Field(
        None,
        repr=False,
        description="`postgresql+psycopg://…` or `sqlite:///…`. Unset: SQLite in the data folder.",
    )
    redis_url: RedisUrl | None = Field(
        None,
        repr=False,
        description="`redis://…` for wake-ups and messages. Unset: an embedded Valkey server.",
    )
    broker_url: BrokerUrl | None = Field(
        None,
        repr=False,
        description="`amqp://…` if RabbitMQ carries the messages. Unset: `FEWSTEP_REDIS_URL`.",
    )
    store_url: StoreUrl | None = Field(
        None,
        repr=False,
        description="`s3://bucket/prefix` or `file:///…` for blobs. Unset: files in the data"
        " folder. S3 credentials are read from the usual `AWS_*` variables.",
    )
    store_free_mib: int = Field(
        64,
        ge=0,
        description="Room that files of blobs leave on their disk: below it nothing new is "
        "accepted (507), and what was accepted still ends.",
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="Where a worker adapts: `auto`, `cpu`, `cuda` or `cuda:N`.",
    )
    bootstrap_key: SecretStr | None = Field(
        None,
        description="The first key, stored hashed by `fewstep serve` or `fewstep migrate`: `fs_`"
        " and at least 29 random characters.",
    )
    wait_default_s: float = Field(
        10, ge=0, description="How long `POST /adapt` waits for the result unless told otherwise."
    )
    wait_limit_s: float = Field(60, ge=0, description="The longest wait a request may ask for.")
    body_limit_mib: int = Field(16, ge=1, description="Largest request body.")
    checkpoint_limit_mib: int = Field(
        256, ge=1, description="Largest checkpoint that can be uploaded."
    )
    checkpoint_time_limit_s: float = Field(
        600, gt=0, description="How long an uploaded checkpoint may take to arrive."
    )
    body_time_limit_s: float = Field(
        30, gt=0, description="How long a request body may take to arrive."
    )
    max_support_examples: int = Field(640, ge=1, description="Most examples in a support set.")
    max_episodes: int = Field(200, ge=1, description="Most episodes in one adaptation of a policy.")
    max_env_steps: int = Field(
        40_000, ge=1, description="Most steps of all episodes of one adaptation of a policy."
    )
    max_query_examples: int = Field(
        1000, ge=1, description="Most query examples in one `POST /adapt`."
    )
    max_predict_inputs: int = Field(1000, ge=1, description="Most inputs in one prediction.")
    allowed_origins: str = Field(
        "",
        description="Origins of other pages that may change things here, as `https://host` with "
        "spaces between. Pages of this service itself always may.",
    )
    requests_per_minute: int | None = Field(
        None,
        ge=1,
        description="Most requests of a tenant in a minute, over all its keys. Unset: any number; "
        "a tenant may have a limit of its own.",
    )
    adaptations_at_once: int | None = Field(
        None,
        ge=1,
        description="Most adaptations of a tenant that are queued or running. Unset: any number; a "
        "tenant may have a limit of its own.",
    )
    queue_limit: int = Field(
        50_000, ge=1, description="Most adaptations of all tenants that are queued."
    )
    max_batch_adaptations: int = Field(
        1000, ge=1, description="Most adaptations in one `POST /adaptations:batch`."
    )
    max_steps: int = Field(100, ge=0, description="Most inner steps of one adaptation.")
    max_example_steps: int = Field(
        20_000,
        ge=1,
        description="Most work of one batch: support examples × passes through the network, "
        "× examples again with `assess`, × the size of an input in 28 × 28 pictures. "
        "Some 20 s of one core.",
    )
    max_image_side_px: int | None = Field(
        None, ge=1, description="Lowers the longest side of a picture. Unset: 8192, as in training."
    )
    max_image_area_px: int | None = Field(
        None,
        ge=1,
        description="Lowers the most pixels of a picture, at some 16 bytes of memory each. Unset: "
        "50,331,648 (8192 × 6144), as in training.",
    )
    default_ttl_seconds: int | None = Field(
        None, ge=1, description="How long adaptations live unless told otherwise. Unset: for ever."
    )
    max_event_streams: int = Field(
        200, ge=0, description="Most event streams that one process of the API serves at a time."
    )
    webhook_ports: str = Field(
        "443,8443",
        pattern=r"^[0-9]{1,5}(,[0-9]{1,5})*$",
        description="Ports of the public internet that a webhook may have, over https only.",
    )
    webhook_networks: Networks | None = Field(
        None,
        description="Networks of your own that a webhook may lead to as well, at any port and over "
        "http too, such as `127.0.0.0/8,10.20.0.0/16`. Unset: the public internet only.",
    )
    webhook_timeout_s: float = Field(
        5, gt=0, le=20, description="How long the receiver of a webhook may take to answer."
    )
    webhook_retries_s: str = Field(
        "5,300,1800,7200,18000,36000,50400,72000,86400",
        pattern=r"^[0-9]{1,7}(,[0-9]{1,7})*$",
        description="How long after each attempt that failed a webhook is tried again, in seconds.",
    )
    lease_s: float = Field(
        8, gt=0, description="How long a worker's claim holds without a heartbeat."
    )
    heartbeat_s: float = Field(
        2, gt=0, le=3, description="How often a worker renews its claims and says that it lives."
    )
    sweep_s: float = Field(2, gt=0, description="How often lost work is looked for.")
    grace_s: float = Field(
        3600,
        ge=0,
        description="How long a blob that no row refers to stays after it was last put: longer "
        "than any request takes.",
    )
    free_s: float = Field(
        300, gt=0, description="How often the store is looked through for such blobs."
    )
    retention_days: float | None = Field(
        30,
        gt=0,
        description="How long adaptations that expired, failed or were cancelled stay readable, "
        "with their events. Unset: for ever.",
    )
    support_retention_s: int | None = Field(
        None,
        ge=0,
        description="How long a support set is kept after its adaptation ended. Unset: as long as "
        "the adaptation; a tenant may have a time of its own.",
    )
    batch_limit: int = Field(32, ge=1, description="Most adaptations in one stacked call.")
    share_equal_work: bool = Field(
        True,
        description="Whether an adaptation takes what an equal one of the same tenant came to: the "
        "same support set, queries, checkpoint and way of adapting.",
    )
    phi_cache_mib: int = Field(
        256, ge=1, description="Memory of one process for adapted parameters that it keeps hot."
    )
    torch_threads: int = Field(
        0, ge=0, description="Threads of torch per process; 0 shares the cores out."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="What is logged: `debug`, `info`, `warning` or `error`."
    )
    log_format: Literal["readable", "json"] = Field(
        "readable", description="How lines are logged: `readable`, or `json` with one object each."
    )

    @model_validator(mode="after")
    def _lease_outlives_heartbeats(self) -> Self:
        if self.lease_s < 2 * self.heartbeat_s:
            raise ValueError("FEWSTEP_LEASE_S must be at least twice FEWSTEP_HEARTBEAT_S")
        return self

    @property
    def effective_database_url(self) -> str:
        """The database to use: the one that was set, else SQLite in the data folder."""
        return self.database_url or f"sqlite:///{self.data_dir / 'fewstep.db'}"

    @property
    def effective_broker_url(self) -> str | None:
        """What carries messages; None until the embedded server's address is known."""
        return self.broker_url or self.redis_url

    @property
    def effective_store_url(self) -> str:
        """Where blobs lie: the place that was set, else files in the data folder."""
        return self.store_url or f"file://{self.data_dir / 'blobs'}"


def read_settings(**overrides: Any) -> Settings:
    """Settings from the environment, with overrides by name.

    Raises BadSettings with one line a person can act on.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise BadSettings("; ".join(_complaints(error))) from None


def load_settings(**overrides: Any) -> Settings:
    """Settings for a command: bad ones end the process with one line and exit code 2."""
    try:
        return read_settings(**overrides)
    except BadSettings as error:
        sys.stderr.write(f"fewstep: {error}\n")
        raise SystemExit(2) from None


def environment(settings: Settings) -> dict[str, str]:
    """The variables from which another process reads exactly these settings."""
    return dict(_variables(settings))


def settings_table() -> str:
    """The one table of settings, in Markdown."""
    rows = [
        f"| `{PREFIX}{name.upper()}` | {_shown_default(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| variable | default | what it sets |", "|---|---|---|", *rows]) + "\n"


def _complaints(error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        name = str(problem["loc"][0]).upper() if problem["loc"] else ""
        yield f"{PREFIX}{name}: {problem['msg'].removeprefix('Value error, ')}"


def _variables(settings: Settings) -> Iterator[tuple[str, str]]:
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if value is not None:
            plain = value.get_secret_value() if isinstance(value, SecretStr) else value
            yield f"{PREFIX}{name.upper()}", str(plain)


def _shown_default(value: object) -> str:
    return "—" if value is None or value is PydanticUndefined else f"`{value}`"


PAGE = """# Settings

All settings are environment variables; the commands and the compose file obey the same ones.
This page is rendered from `app/settings.py` by `make docs`.

{table}
Beside them `fewstep train`, `evaluate` and `reproduce` read where Omniglot lies from
`FEWSTEP_OMNIGLOT`, the folder with its two zips; unset, and without `--data`, it is downloaded to
`fewstep/omniglot` under `XDG_CACHE_HOME` (`~/.cache`).
"""

if __name__ == "__main__":
    sys.stdout.write(PAGE.format(table=settings_table()))
