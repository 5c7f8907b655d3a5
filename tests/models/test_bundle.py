"""TensorFlow's bundle: what is read, what is refused, and that damage never goes unseen."""

import tracemalloc
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.importing.bundle import load_bundle, read_bundle
from models.importing.crc32c import masked_crc32c
from models.importing.faults import CannotImport
from tests.models import bundles

Array = NDArray[np.float32]


def tensors() -> dict[str, Array]:
    random = np.random.default_rng(0)
    shapes = {"model/b5": (5,), "model/conv1": (3, 3, 1, 2), "model/conv2": (3, 3, 2, 2), "x": ()}
    return {name: np.float32(random.normal(size=shape)) for name, shape in shapes.items()}


PAIRS, DATA = bundles.pairs_of(tensors())
INDEX = bundles.table(PAIRS)


def same(found: dict[str, Array], expected: dict[str, Array]) -> bool:
    return found.keys() == expected.keys() and all(
        np.array_equal(found[name], value) and found[name].dtype == np.float32
        for name, value in expected.items()
    )


@pytest.mark.parametrize(
    ("data", "checksum"),  # RFC 3720, appendix B.4
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (b"123456789", 0xE3069283),
    ],
)
def test_the_checksum_is_rfc_3720s(data: bytes, checksum: int) -> None:
    assert google_crc32c.value(data) == bundles.crc32c(data) == checksum
    assert masked_crc32c(data).to_bytes(4, "little") == bundles.masked(data)


@pytest.mark.parametrize(("blocks", "restart_every"), [(1, 16), (1, 2), (1, 1), (3, 2)])
def test_a_written_bundle_comes_back(blocks: int, restart_every: int) -> None:
    index = bundles.table(PAIRS, blocks=blocks, restart_every=restart_every)

    assert same(read_bundle(index, DATA), tensors())


def test_the_two_files_are_found_by_their_prefix(tmp_path: Path) -> None:
    prefix = bundles.write(tmp_path / "model-1.5", tensors())

    bundle = load_bundle(prefix)

    assert same(bundle.tensors, tensors())
    assert list(bundle.digests) == ["model-1.5.index", "model-1.5.data-00000-of-00001"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    prefix = bundles.write(tmp_path / "model", tensors())
    (tmp_path / "model.data-00000-of-00001").unlink()

    with pytest.raises(CannotImport, match=r"file model\.data-00000-of-00001"):
        load_bundle(prefix)
    with pytest.raises(CannotImport, match=r"file other\.index"):
        load_bundle(tmp_path / "other")


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    prefix = bundles.write(tmp_path / "model", tensors())
    with (tmp_path / "model.data-00000-of-00001").open("r+b") as file:
        file.truncate(1 << 40)  # sparse
    tracemalloc.start()

    with pytest.raises(CannotImport, match="at most"):
        load_bundle(prefix)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * 2**26  # the limit, as it is read piece by piece and joined


TWO_SHARDS = [(b"", b"\x08\x02\x1a\x02\x08\x01"), *PAIRS[1:]]
BIG_ENDIAN = [(b"", b"\x08\x01\x10\x01\x1a\x02\x08\x01"), *PAIRS[1:]]
NEWER = [(b"", b"\x08\x01\x1a\x04\x08\x02\x10\x02"), *PAIRS[1:]]
ONE = {"x": np.float32([1, 2])}


@pytest.mark.parametrize(
    ("index", "said"),
    [
        (b"", "footer of 48 bytes, got 0"),
        (INDEX[:-1] + b"\0", "magic number 57fb808b247547db"),
        (INDEX[:-100], "magic number"),
        (INDEX[100:], "block"),
        (bundles.table(PAIRS, kind=1), "uncompressed blocks, got Snappy"),
        (bundles.table(PAIRS, kind=9), "compression 9"),
        (INDEX[:40] + b"?" + INDEX[41:], "checksum of the block at byte 0"),
        (bundles.table(TWO_SHARDS), "1 shard, got 2"),
        (bundles.table(BIG_ENDIAN), "little-endian"),
        (bundles.table(NEWER), "version 2"),
        (bundles.table(PAIRS[1:]), "header under the empty key, got key b'model/b5'"),
        (bundles.table([*PAIRS, PAIRS[-1]]), "every key once, got b'x' twice"),
        (bundles.table([*PAIRS, PAIRS[1]]), "ascending keys"),
        (bundles.table([*PAIRS, (b"\xff", PAIRS[1][1])]), "UTF-8"),
        (bundles.table([*PAIRS, (b"y" * 257, PAIRS[1][1])]), "key of up to 256 bytes"),
        (bundles.table([*PAIRS, (b"y", b"\x08")]), "whole varint"),
        (bundles.table([*PAIRS, (b"y", b"\x0b")]), "wire type"),
        (bundles.table([*PAIRS, (b"y", b"\x08" + b"\xff" * 9 + b"\x7f")]), "64 bits"),
        (bundles.table(PAIRS, spoil=lambda _: b""), "restart points"),
        (bundles.table(PAIRS, spoil=lambda _: b"\xff" * 8), "restart points"),
    ],
)
def test_an_index_that_is_not_one_is_refused(index: bytes, said: str) -> None:
    with pytest.raises(CannotImport, match=said):
        read_bundle(index, DATA)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dtype": 2}, "expected float32, got float64"),
        ({"dtype": 7}, "got string"),
        ({"dtype": 99}, "got type 99"),
        ({"shard": 1}, "shard 0"),
        ({"more": b"\x3a\x00"}, "part of one"),
        ({"crc": bytes(4)}, "checksum of tensor x"),
        ({"offset": 4}, "a file of 8 bytes"),
        ({"offset": 2**63}, "a file of 8 bytes"),
        ({"size": 4}, "8 bytes of"),
        ({"shape": (2**20, 2**20), "size": 2**42}, "a file of 8 bytes"),
        ({"shape": (2**63 - 1,), "size": 2**62}, "axes of 1 to"),
        ({"shape": (2**64 - 1,)}, "axes of 1 to"),  # -1, as TensorFlow writes an unknown one
        ({"shape": (0, 2), "size": 0}, "axes of 1 to"),
        ({"shape": (1,) * 8 + (2,)}, "at most 8 axes"),
    ],
)
def test_an_entry_that_is_not_a_whole_float32_tensor_is_refused(
    changes: dict[str, object], said: str
) -> None:
    pairs, data = bundles.pairs_of(ONE, **changes)

    with pytest.raises(CannotImport, match=said):
        read_bundle(bundles.table(pairs), data)


def test_a_shortened_data_file_is_refused() -> None:
    with pytest.raises(CannotImport, match=f"a file of {len(DATA) - 1} bytes"):
        read_bundle(INDEX, DATA[:-1])


def test_many_names_for_the_same_bytes_are_refused() -> None:
    pairs = [(b"", bundles.HEADER)]
    pairs += [(b"%03d" % i, bundles.entry(ONE["x"], 0)) for i in range(100)]

    with pytest.raises(CannotImport, match="for all tensors"):
        read_bundle(bundles.table(pairs), ONE["x"].tobytes())


flips = st.lists(
    st.tuples(st.integers(0, len(INDEX + DATA) - 1), st.integers(1, 255)), min_size=1, max_size=4
)


@settings(max_examples=400, deadline=1000)
@given(flips)
def test_flipped_bytes_are_noticed_or_change_nothing(flips: list[tuple[int, int]]) -> None:
    spoiled = bytearray(INDEX + DATA)
    for at, bits in flips:
        spoiled[at] ^= bits

    try:
        found = read_bundle(bytes(spoiled[: len(INDEX)]), bytes(spoiled[len(INDEX) :]))
    except CannotImport:
        return

    assert same(found, tensors())


@settings(max_examples=400, deadline=1000)
@given(flips)
def test_a_hostile_index_with_right_checksums_is_refused_or_gives_no_more_than_the_data(
    flips: list[tuple[int, int]],
) -> None:
    def spoil(content: bytes) -> bytes:
        spoiled = bytearray(content)
        for at, bits in flips:
            spoiled[at % len(spoiled)] ^= bits
        return bytes(spoiled)

    try:
        found = read_bundle(bundles.table(PAIRS, spoil=spoil), DATA)
    except CannotImport:
        return

    assert sum(array.nbytes for array in found.values()) <= len(DATA)


@settings(max_examples=200, deadline=1000)
@given(st.binary(max_size=200))
def test_arbitrary_blocks_under_right_checksums_never_give_another_error(content: bytes) -> None:
    try:
        read_bundle(bundles.table(PAIRS, spoil=lambda _: content), DATA)
    except CannotImport:
        return


def test_the_authors_bundle_has_the_values_that_are_known_of_it(maml_bundle: Path) -> None:
    found = load_bundle(maml_bundle).tensors

    first = {name: round(float(found[name].flat[0]), 6) for name in sorted(found)}
    assert len(found) == 14
    assert sum(array.nbytes for array in found.values()) == 131_092
    assert {name: first[name] for name in KNOWN} == KNOWN


KNOWN = {  # parsed byte by byte, before this reader was written
    "model/0/beta": 0.422688,
    "model/Variable": -0.370336,
    "model/b5": 0.059803,
    "model/conv1": -0.124604,
    "model/w5": 0.020014,
}
