"""The three modules of learn2learn's MAML, from its source archive into this environment.

    .venv-peers/bin/python -m benchmarks.peers.unpack_learn2learn

Its root package imports torchvision and gym and has compiled parts that no longer build. Without
the ``__init__`` of the root and of ``algorithms`` Python takes both for plain folders, and the
algorithm is imported alone, unchanged. pip checks the archive's digest.
"""

import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path

PINNED = Path(__file__).parent / "learn2learn.txt"
MODULES = ("algorithms/maml.py", "algorithms/base_learner.py", "utils/__init__.py")


def main() -> None:
    target = Path(sysconfig.get_path("purelib")) / "learn2learn"
    with tempfile.TemporaryDirectory() as folder:
        download = ["download", "-q", "--no-deps", "--require-hashes", "-r", str(PINNED)]
        subprocess.run([sys.executable, "-m", "pip", *download, "-d", folder], check=True)
        (archive,) = Path(folder).glob("learn2learn-*.tar.gz")
        unpack(archive, target)


def unpack(archive: Path, target: Path) -> None:
    """Writes the modules of the archive under target."""
    root = archive.name.removesuffix(".tar.gz")
    with tarfile.open(archive) as opened:
        for module in MODULES:
            member = opened.extractfile(f"{root}/learn2learn/{module}")
            if member is None:
                raise FileNotFoundError(f"{archive.name} has no {module}")
            (target / module).parent.mkdir(parents=True, exist_ok=True)
            (target / module).write_bytes(member.read())


if __name__ == "__main__":
    main()
