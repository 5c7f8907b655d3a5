"""The support set and the queries of an order as arrays, as the checkpoint or an earlier adaptation
takes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.backends import Backends, read_blob
from app.errors import ServiceError
from app.inputs.columns import look_at_numbers
from app.inputs.doubts import doubts_of_inputs, doubts_of_support
from app.inputs.examples import unpack_arrays
from app.inputs.preparing import look_at
from app.inputs.support_sets import Given, SupportSet, check_classes, image_limits
from app.kinds import find_kind
from app.store import BlobDamaged, BlobMissing
from app.values.adaptation import Adaptation
from app.values.arrays import INPUT, Arrays
from app.values.description import Description
from app.values.warnings import Warning


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """about: the checkpoint's description, its input as it was read; preprocessing: the
    adaptation's own, None where the checkpoint's is right; warnings: what the caller is told.
    """

    support: SupportSet
    about: Description
    preprocessing: Mapping[str, Any] | None
    warnings: tuple[Warning, ...]


def read_support(
    backends: Backends, given: Given, about: Description, base: Adaptation | None
) -> Read:
    """The support set that is given, behind that of the adaptation it extends.

    Pictures that are not as the checkpoint knows them are read once more, set right. Raises
    ServiceError with the place of what does not fit.
    """
    kind, limits = find_kind(about.task), image_limits(backends.settings)
    if base is not None:
        return _extended(backends, given, about, base)
    support = kind.read_support(given, about, limits)
    check_classes(support.classes, kind.most_classes(about.max_way))
    found = look_at(support.arrays[INPUT], given.inputs, about.input.preprocessing, given.inputs_at)
    if found.preprocessing is not None:
        about = _prepared(about, found.preprocessing)
        support = kind.read_support(given, about, limits)
    return Read(
        support=support,
        about=_of_shape(about, support),
        preprocessing=found.preprocessing,
        warnings=(*found.warnings, *_doubts(support, given, about)),
    )


def read_query(backends: Backends, given: Given, read: Read) -> tuple[Arrays, tuple[Warning, ...]]:
    """The queries, read as the support set was, and what is to be said of them. Raises like
    ``read_support``.
    """
    kind, support = find_kind(read.about.task), read.support
    limits, spec = image_limits(backends.settings), read.about.input
    query = kind.read_query(given, spec, support.classes, support.outputs, limits)
    return query, tuple(doubts_of_inputs(query[INPUT], given.inputs, spec, given.inputs_at))


def _extended(backends: Backends, given: Given, about: Description, base: Adaptation) -> Read:
    kind, limits = find_kind(about.task), image_limits(backends.settings)
    before = _stored_support(backends, base)
    about = _of_shape(_prepared(about, base.preprocessing), before)
    added = kind.read_support(given, about, limits)
    found = look_at(added.arrays[INPUT], given.inputs, about.input.preprocessing, given.inputs_at)
    if found.preprocessing is not None:  # of these alone; queries go the way of the first
        added = kind.read_support(given, _prepared(about, found.preprocessing), limits)
    support = kind.join(before, added)
    check_classes(support.classes, kind.most_classes(about.max_way))
    return Read(
        support=support,
        about=about,
        preprocessing=base.preprocessing,
        warnings=(
            *_of_support(base.warnings),
            *found.warnings,
            *_doubts(added, given, about),
        ),
    )


def _doubts(support: SupportSet, given: Given, about: Description) -> tuple[Warning, ...]:
    """Of the examples that were read of ``given``. Raises like ``look_at_numbers``."""
    said = look_at_numbers(support.arrays, given, about)
    return (*said, *doubts_of_support(support, given, about.input))


def _of_support(warnings: Sequence[Warning]) -> tuple[Warning, ...]:
    """Those that hold for whoever extends it: not those of its queries."""
    return tuple(one for one in warnings if not one["pointer"].startswith("/query/"))


def _prepared(about: Description, preprocessing: Mapping[str, Any] | None) -> Description:
    if preprocessing is None:
        return about
    return replace(about, input=replace(about.input, preprocessing=preprocessing))


def _of_shape(about: Description, support: SupportSet) -> Description:
    """The description with the shape of the support set's inputs, where it takes any."""
    return replace(about, input=replace(about.input, shape=support.arrays[INPUT].shape[1:]))


def _stored_support(backends: Backends, base: Adaptation) -> SupportSet:
    try:
        arrays = unpack_arrays(read_blob(backends, base.tenant_id, base.support_digest))
    except (BlobMissing, BlobDamaged) as error:
        raise ServiceError("damaged", "the support set to extend cannot be read") from error
    return SupportSet(arrays=arrays, classes=base.classes, outputs=base.outputs)
