"""What a pickled file seems to hold, told by the names in it. It is looked at, never unpickled:
unpickling runs whatever code a file names.
"""

import io
import pickletools
import struct
import zipfile
import zlib
from pathlib import Path

from models.importing.faults import CannotImport

LOOKED_AT = 1 << 22  # bytes; the tensors of torch.save lie elsewhere
PICKLES = 4  # of a file of torch before 1.6; the last holds what was saved
STARTS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
ZIP = b"PK\x03\x04"
SUFFIXES = {".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle"}
NAMED = ("state_dict", "model_state_dict", "model")  # under which checkpoints keep weights
BESIDE = {"epoch", "step", "global_step", "optimizer", "optimizer_state_dict", "args"}
RISK = "a pickled file runs code of its own when it is opened; where you trust it, convert it with"
SAVE = "safetensors.torch.save_file({}, 'FILE.safetensors')"
UNREADABLE = (
    ValueError, IndexError, KeyError, EOFError, OSError, NotImplementedError, RuntimeError,
    struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def refuse_pickle(file: Path) -> None:
    """Raises CannotImport, with how to convert it, where the file is a pickle or is called one."""
    with file.open("rb") as opened:
        start = opened.read(4)
    zipped = start == ZIP
    if zipped and _is_npz(file):
        saved = "safetensors.numpy.save_file(dict(numpy.load(FILE)), 'FILE.safetensors')"
        raise CannotImport(f"{file.name}: expected a .safetensors file, got an .npz; {saved}")
    if zipped or file.suffix in SUFFIXES or start.startswith(STARTS):
        raise CannotImport(f"{file.name}: {_conversion(_strings(file, zipped=zipped))}")


def _conversion(strings: set[str]) -> str:
    if "_parameters" in strings:  # what every nn.Module has
        saved = SAVE.format("torch.load(FILE, weights_only=False).state_dict()")
        return f"expected a state_dict, got a whole module; {RISK} {saved}"
    for key in NAMED:
        if key in strings and (key != "model" or strings & BESIDE):
            saved = SAVE.format(f"torch.load(FILE, weights_only=True)['{key}']")
            return f"expected a state_dict, got one under '{key}'; {RISK} {saved}"
    return f"{RISK} {SAVE.format('torch.load(FILE, weights_only=True)')}"


def _is_npz(file: Path) -> bool:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except UNREADABLE:
        return False
    return bool(names) and all(name.endswith(".npy") for name in names)


def _strings(file: Path, *, zipped: bool) -> set[str]:
    """The strings in a file of pickles, as far as they can be followed."""
    found: set[str] = set()
    try:
        stream = io.BytesIO(_stream(file, zipped=zipped))
        for _ in range(PICKLES):
            for _, argument, _ in pickletools.genops(stream):
                if isinstance(argument, str):
                    found.add(argument)
    except UNREADABLE:
        pass
    return found


def _stream(file: Path, *, zipped: bool) -> bytes:
    if not zipped:
        with file.open("rb") as opened:
            return opened.read(LOOKED_AT)
    with zipfile.ZipFile(file) as archive:
        [member] = [name for name in archive.namelist() if Path(name).name == "data.pkl"]
        with archive.open(member) as opened:
            return opened.read(LOOKED_AT)
