"""What ``fewstep checkpoints`` does at a running service, beside what it does on its machine."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.calling.calling import AsJson, Key, Url, calling, tell, write

Name = Annotated[str, typer.Argument(help="A checkpoint's name.")]
Version = Annotated[int, typer.Argument(min=1, help="Which version.")]


def upload(
    file: Annotated[Path, typer.Argument(help="A .safetensors file that `train` wrote.")],
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Uploads a checkpoint to a running service, which makes it a version of its name."""
    with calling(url, key) as client:
        found = client.upload_checkpoint(file)
    tell(found, as_json=as_json, words=f"{found['name']}:{found['version']}  {found['digest']}")


def describe(
    reference: Annotated[str, typer.Argument(help="name, name:3 or name@alias.")],
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Describes a version at a running service."""
    with calling(url, key) as client:
        found = client.checkpoint(reference)
    names = ", ".join(found["aliases"]) or "none"
    words = (
        f"{found['name']}:{found['version']}  {found['digest']}\n"
        f"  task: {found['task']}; input: {found['input']['shape']}; max_way: {found['max_way']}\n"
        f"  recipe: {found['recipe']}\n  aliases: {names}"
    )
    tell(found, as_json=as_json, words=words)


def download(
    name: Name,
    version: Version,
    to: Annotated[Path, typer.Argument(help="The file to write.")],
    url: Url = None,
    key: Key = None,
) -> None:
    """Downloads θ as it was added."""
    with calling(url, key) as client:
        write(client.download_checkpoint(name, version), to)


def alias(
    name: Name,
    alias: Annotated[str, typer.Argument(help="`default`: what the name alone stands for.")],
    version: Annotated[
        int | None, typer.Argument(min=1, help="Which version; unset: ends the alias.")
    ] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Has name@alias stand for a version at a running service, or ends it."""
    with calling(url, key) as client:
        if version is None:
            client.delete_alias(name, alias)
        else:
            client.set_alias(name, alias, version)


def delete(name: Name, version: Version, url: Url = None, key: Key = None) -> None:
    """Ends a version of one's own that nothing needs."""
    with calling(url, key) as client:
        client.delete_checkpoint(name, version)
