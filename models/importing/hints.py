"""Why the names in somebody's state_dict are not the network's, and the way out."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate

from torch import Tensor

CANDIDATES, DEPTH = 50, 4  # prefixes that are tried, and their parts at most
AVERAGES = ("running_mean", "running_var", "num_batches_tracked")
FOLDED = ("weight_g", "weight_v", "weight_orig", "weight_u")
NOT_WEIGHTS = ("optimizer", "epoch", "step", "global_step", "scheduler", "lr_scheduler")

Known = Callable[[str], bool]


def prefix_in_words(names: Iterable[str], known: Known, given: str = "") -> str:
    """The prefix without which most names are known, and how the card takes it off; nothing where
    none helps, or none more than the given one. known: whether what is left of a name is of the
    network.
    """
    every = list(names)
    heads = Counter(head for name in every for head in _heads(name))
    tried = [(given, 0), *heads.most_common(CANDIDATES)]
    score, _, prefix, times = max(
        (sum(known(name.removeprefix(head)) for name in every), -place, head, times)
        for place, (head, times) in enumerate(tried)
    )
    if prefix == given or not score:
        return ""
    of = "every name" if times == len(every) else f"{times} of {len(every)} names"
    return (
        f"'{prefix}' stands before {of}: where a wrapper put it there, write "
        f'strip_prefix = "{prefix}" in the architecture, above its tables'
    )


def tensors_in_words(unknown: Mapping[str, Tensor]) -> str:
    """What is known of such tensors, and what is to be done with them."""
    parts = [name.split(".") for name in unknown]
    last = {part[-1] for part in parts}
    said = []
    if last & {*AVERAGES}:
        said.append(
            f"{', '.join(AVERAGES)} have no place here, where the support set normalises: leave "
            "them out of the file"
        )
    if any("lora_" in name for name in unknown):
        said.append(
            "lora_… are updates beside their weights: merge them first (merge_and_unload of peft)"
        )
    if last & {*FOLDED} or any("parametrizations" in part for part in parts):
        said.append(
            "a weight in parts is to be made one first (torch.nn.utils.parametrize."
            "remove_parametrizations, or remove_weight_norm)"
        )
    if any(part[0] in NOT_WEIGHTS for part in parts):
        said.append("the file holds more than a state_dict: save the weights alone")
    if any(name.endswith("weight") and t.dim() == 1 for name, t in unknown.items()):
        said.append(
            "a weight with one axis is a normalisation's scale, which has no place here: leave it "
            "out where it is 1"
        )
    return "".join(f"; {one}" for one in said)


def _heads(name: str) -> list[str]:
    """``a.``, ``a.b.``, … of a.b.c."""
    return list(accumulate(f"{part}." for part in name.split(".")[:-1]))[:DEPTH]
