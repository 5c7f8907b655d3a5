"""What ended adaptations count for their keys, in the transaction that ends them."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection

from app.db.usage import add_usage
from app.values.adaptation import Adaptation, Outcome
from worker.outcomes import Result


def bill_ended(
    connection: Connection, ended: Sequence[tuple[Adaptation, Result]], kept: set[str]
) -> None:
    """Counts those whose end was written down: adaptations, support examples, inner steps and their
    shares of their batches' milliseconds; failed ones by themselves.
    """
    counts: dict[tuple[str, str, str, str], float] = defaultdict(float)
    day = datetime.now(UTC).date().isoformat()
    for adaptation, result in ended:
        if adaptation.id not in kept:
            continue
        for counted, amount in _counted(adaptation, result).items():
            counts[adaptation.tenant_id, adaptation.key_id or "", day, counted] += amount
    add_usage(connection, counts)


def _counted(adaptation: Adaptation, result: Result) -> dict[str, float]:
    if not isinstance(result, Outcome):
        return {"failed_adaptations": 1}
    taken_ms = result.timing["adapt_ms"] / max(result.timing["batch_size"], 1)
    return {
        "adaptations": 1,
        "support_examples": adaptation.support_examples,
        "inner_steps": adaptation.steps,
        "adapt_ms": taken_ms,
    }
