"""``fewstep adapt`` and ``fewstep predict``: a support set in, a label or a value out."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.calling.calling import AsJson, Key, Url, calling, example_of, tell, tell_all

if TYPE_CHECKING:
    from fewstep_client import Adaptation, FewstepError


def adapt(
    checkpoint: Annotated[str, typer.Argument(help="name, name:3 or name@alias.")],
    support: Annotated[
        list[Path],
        typer.Argument(
            help="A folder with a folder of pictures for each class, or a JSON file with inputs "
            "and targets; several: many adaptations."
        ),
    ],
    adapts: Annotated[str | None, typer.Option(help="head, kernel, all or auto.")] = None,
    steps: Annotated[int | None, typer.Option(min=0, help="Inner steps.")] = None,
    name: Annotated[str | None, typer.Option(help="What it is called.")] = None,
    ttl_seconds: Annotated[int | None, typer.Option(min=1, help="How long it is kept.")] = None,
    assess: Annotated[bool, typer.Option(help="Score it by leaving examples out.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the end.")] = 3600,
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Adapts a checkpoint of a running service to a few examples and prints the adaptation's id."""
    options: dict[str, Any] = {
        "adapts": adapts,
        "steps": steps,
        "name": name,
        "ttl_seconds": ttl_seconds,
    }
    options |= {"assess": True} if assess else {}
    with calling(url, key) as client:
        supports = [_read(path) for path in support]
        if len(supports) == 1:
            made = client.adapt(checkpoint, *supports[0], wait_s=wait, **options)
            tell(made.raw, as_json=as_json, words=_in_words(made))
            return
        each = [{key: value for key, value in options.items() if value is not None}] * len(supports)
        found = client.adapt_many(
            checkpoint, supports, options=each, wait_s=wait, progress=not as_json
        )
    raws = [_raw(one) for one in found]
    columns = {"id": "id", "status": "status", "classes": "classes", "problem": "detail"}
    tell_all(raws, columns, as_json=as_json)
    if any(raw["status"] != "succeeded" for raw in raws):
        raise typer.Exit(1)


def predict(
    adaptation: Annotated[str, typer.Argument(metavar="ID", help="ad_…, as adapt printed it.")],
    inputs: Annotated[
        list[str], typer.Argument(help="Pictures' files, JSON arrays or numbers, or text.")
    ],
    reject: Annotated[bool, typer.Option(help="No label for what is like none of them.")] = False,
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Prints what an adaptation says of each input."""
    with calling(url, key) as client:
        options = {"reject": True} if reject else {}
        examples = [example_of(text) for text in inputs]
        predictions = client.predict_many(adaptation, examples, **options)
    if as_json:
        for one in predictions:
            typer.echo(json.dumps(one, ensure_ascii=False))
        return
    rows = [{"input": text, **one} for text, one in zip(inputs, predictions, strict=True)]
    named = {"input": "input", "label": "label", "probability": "probability", "novelty": "novelty"}
    valued = {"input": "input", "value": "value", "± ": "standard_deviation"}
    tell_all(rows, named if "label" in predictions[0] else valued, as_json=False)


def _read(path: Path) -> tuple[Any, ...]:
    """A folder as it is, or the inputs and targets of a JSON file. Raises ValueError."""
    if path.is_dir():
        return (path,)
    given = json.loads(path.read_text())
    if not isinstance(given, dict) or not {"inputs", "targets"} <= given.keys():
        raise ValueError(f"{path}: expected an object with inputs and targets")
    return given["inputs"], given["targets"]


def _raw(one: "Adaptation | FewstepError") -> dict[str, Any]:
    if isinstance(one, Exception):
        return {"object": "problem", "code": one.code, "status": one.status, "detail": one.detail}
    return one.raw


def _in_words(made: "Adaptation") -> str:
    """The id first, so that a script can cut it off; then what a person should know."""
    lines = [f"{made.id}  {made.status}"]
    scores = {k: v for k, v in made.metrics.items() if k.startswith("leave_one_out") and v}
    lines += [f"  {name}: {value:.3f}" for name, value in scores.items()]
    lines += [f"  {one['code']} at {one['pointer']}: {one['detail']}" for one in made.warnings]
    return "\n".join(lines)
