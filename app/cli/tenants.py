"""The option ``--tenant``, as every command takes it."""

import re
from typing import Annotated

import typer


def checked(tenant: str) -> str:
    """The tenant, where blobs can lie under it."""
    if not re.fullmatch("[a-z0-9_]{1,40}", tenant):
        raise typer.BadParameter("expected 1 to 40 of a-z, 0-9 and _", param_hint="--tenant")
    return tenant


Tenant = Annotated[str, typer.Option(help="Whose it is: a-z, 0-9 and _.", callback=checked)]
