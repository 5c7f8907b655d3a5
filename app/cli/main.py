"""The command line ``fewstep``: one file a subject, gathered here, and what installed packages add
under the entry-point group ``fewstep.commands``: functions that Typer can read.
"""

from contextlib import suppress
from importlib.metadata import entry_points

import typer

from app.cli.calling.adaptations import adaptations
from app.cli.calling.adapting import adapt, predict
from app.cli.checkpoints import checkpoints
from app.cli.keys import keys
from app.cli.learning.evaluate import evaluate
from app.cli.learning.train import train
from app.cli.serving.maintenance import migrate, worker_health
from app.cli.serving.serve import serve
from app.cli.serving.worker import worker

GROUP = "fewstep.commands"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Few-shot fine-tuning on meta-trained checkpoints.",
)
for command in (serve, worker, migrate, worker_health, train, evaluate, adapt, predict):
    app.command()(command)
for added in entry_points(group=GROUP):
    with suppress(ImportError):  # a package that does not load costs its own command, no other
        app.command(added.name)(added.load())
app.add_typer(adaptations, name="adaptations")
app.add_typer(keys, name="keys")
app.add_typer(checkpoints, name="checkpoints")
