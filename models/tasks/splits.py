"""Which classes (or tasks) are for training, validation and test.

Whole classes are split, never their examples: what is tested is learning a class that training did
not show.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

SPLITS = ("train", "validation", "test")

Splits = dict[str, list[int]]


def split_by_shares(
    names: Sequence[str], *, validation: float, test: float, seed: int, least: int, what: str
) -> Splits:
    """The places of ``names`` in each split, by shares of their number and at least ``least``.

    Names stand in the order of the SHA-256 of "<seed> <name>"; the first are for testing, the next
    for validation. So neither their order nor the machine matters. what: the names' plural.

    Raises ValueError for shares that leave nothing to train on, and for too few names.
    """
    if not (0 < validation < 1 and 0 < test < 1 and validation + test < 1):
        raise ValueError(
            f"expected shares validation and test above 0 and together below 1, got {validation} "
            f"and {test}"
        )
    order = sorted(range(len(names)), key=lambda place: _rank(seed, names[place]))
    tested = max(least, round(test * len(names)))
    validated = tested + max(least, round(validation * len(names)))
    found = {
        "train": sorted(order[validated:]),
        "validation": sorted(order[tested:validated]),
        "test": sorted(order[:tested]),
    }
    return check_splits(found, least=least, what=what)


def split_as_told(told: Iterable[tuple[str, str]], *, least: int, what: str) -> Splits:
    """The places of names in each split, from (name, split) pairs; a name's place is the one that
    its first pair gives it.

    Raises ValueError for an unknown split, and for a name in two of them.
    """
    first: dict[str, str] = {}
    for name, split in told:
        if split not in SPLITS:
            raise ValueError(f"expected the splits {', '.join(SPLITS)}, got {split!r}")
        if first.setdefault(name, split) != split:
            raise ValueError(f"expected {name!r} in one split, got it in {first[name]} and {split}")
    found: Splits = {split: [] for split in SPLITS}
    for place, split in enumerate(first.values()):
        found[split].append(place)
    return check_splits(found, least=least, what=what)


def check_splits(splits: Splits, *, least: int, what: str) -> Splits:
    """The splits. Raises ValueError where one of them has fewer than ``least`` members."""
    if any(len(splits[split]) < least for split in SPLITS):
        raise ValueError(
            f"expected at least {least * len(SPLITS)} {what}, {least} or more in each of "
            f"{', '.join(SPLITS)}; got {_in_words(splits)}"
        )
    return splits


def _rank(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()


def _in_words(splits: Mapping[str, Sequence[int]]) -> str:
    return ", ".join(f"{len(splits[split])} {split}" for split in SPLITS)
