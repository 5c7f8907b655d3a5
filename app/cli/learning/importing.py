"""``fewstep checkpoints import``: weights that were trained elsewhere become a checkpoint file."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from app.checkpoints.registry import check_name
from app.cli.errors import in_one_line

DATA_SUFFIX = ".data-00000-of-00001"


def import_checkpoint(
    file: Annotated[
        Path,
        typer.Argument(help="A state_dict in .safetensors, or a TensorFlow bundle's prefix."),
    ],
    name: Annotated[str, typer.Option(help="The checkpoint's name: a-z, 0-9, '.', '_', '-'.")],
    architecture: Annotated[
        Path | None, typer.Option(help="The .toml file that tells a state_dict's network.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The file to write (NAME.safetensors).")] = None,
) -> None:
    """Makes a checkpoint of a PyTorch state_dict, or of the MiniImagenet network of cbfinn/maml."""
    target = out or Path(f"{name}.safetensors")
    with in_one_line(ValueError, OSError):
        check_name(name)
        if target.exists():
            raise ValueError(f"{target} is there already; name another file with --out")
        data = _imported(file, architecture, name)
        partial = target.with_name(f"{target.name}.partial")
        partial.write_bytes(data)
        partial.replace(target)
    typer.echo(f"{target}: {len(data)} bytes; serve it with: fewstep checkpoints add {target}")


def _imported(file: Path, architecture: Path | None, name: str) -> bytes:
    from models.files.text import read_written
    from models.importing.architecture import read_architecture
    from models.importing.finn2017 import import_finn2017
    from models.importing.pickles import refuse_pickle
    from models.importing.state_dict import import_state_dict

    prefix = _bundle_prefix(file)
    if prefix is not None and architecture is not None:
        raise ValueError("a TensorFlow bundle's network is known; leave --architecture out")
    if prefix is not None:
        return import_finn2017(prefix, name=name, command=_command(prefix.name, name))
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}, and no {file}.index")
    refuse_pickle(file)
    if architecture is None:
        raise ValueError(f"{file.name}: say with --architecture FILE.toml which network it is for")
    command = _command(file.name, name, architecture.name)
    described = read_architecture(read_written(architecture))
    return import_state_dict(file, described, name=name, command=command)


def _bundle_prefix(file: Path) -> Path | None:
    """The prefix where the file is a part of a TensorFlow bundle, or itself the prefix."""
    for suffix in (".index", DATA_SUFFIX):
        if file.name.endswith(suffix):
            return file.with_name(file.name.removesuffix(suffix))
    return file if file.with_name(f"{file.name}.index").is_file() else None


def _command(file: str, name: str, architecture: str | None = None) -> str:
    """What was run, without this machine's folders."""
    option = [] if architecture is None else ["--architecture", architecture]
    return shlex.join(["fewstep", "checkpoints", "import", file, *option, "--name", name])
