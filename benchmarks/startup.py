"""How soon `--help` is there, in CPU seconds against importing open_clip, and how soon the first photo is labelled.

A tool pays for the import whose command line loads its model library before it parses. The photo is labelled by whole
processes, with ViT-B-32, random weights and 10 labels: by clipcli without its cache and, as in a second run, with it,
and by what a user would pick instead. Where OpenVINO is installed, so are new photos, new labels and searches for new
words with a model that was prepared; and the same is done with the bundled model, with its first run ever.
Run: python benchmarks/startup.py [PHOTO]
"""

import importlib.util
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from images import Bench, copies
from side_by_side import side_by_side

from clipcli.cli import COMMANDS


def cpu_seconds(arguments: list[str]) -> float:
    """User and system time of one run."""
    before = os.times()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


# Of folders, caches and labels, so that each is new.
_NUMBERS = itertools.count()


class Start:
    """Whole processes with one model, whose photos, labels and words are new where it matters."""

    def __init__(self, bench: Bench, photo: Path, *, model: str) -> None:
        self._bench, self._photo, self._model = bench, photo, model

    def first_ever(self) -> float:
        """Seconds of a run with a cache of its own, which is empty."""
        return self._classify(self._new_photo(), "cat, dog", cache=str(self._bench.root / f"c{self._next()}"))

    def new_photo(self) -> float:
        """Seconds to label one new photo, with known labels."""
        return self._classify(self._new_photo(), "cat, dog")

    def new_label(self) -> float:
        """Seconds to label a known photo, with one new label among known ones."""
        return self._classify(self._photo, f"cat, dog, a car number {self._next()}")

    def new_words(self) -> float:
        """Seconds to search a folder that is known for words that are new."""
        return self._run("find", f"a car number {self._next()}", str(self._photo.parent))

    def prepare(self) -> None:
        """Prepare the model, and make the photo, its folder and the labels known."""
        self._run("models", self._model, "--prepare", flags=())
        self._classify(self._photo, "cat, dog")
        self.new_words()

    def _new_photo(self) -> Path:
        folder = self._bench.root / f"new-{self._next()}"
        folder.mkdir()
        # What is behind the end of a picture makes it another file.
        (folder / "photo.jpg").write_bytes(self._photo.read_bytes() + str(folder).encode())
        return folder

    def _next(self) -> int:
        return next(_NUMBERS)

    def _classify(self, place: Path, labels: str, *, cache: str | None = None) -> float:
        output = ("-o", str(self._bench.root / "rows.csv"), "--overwrite")
        return self._run("classify", str(place), "--labels", labels, *output, cache=cache)

    def _run(self, *words: str, flags: tuple[str, ...] | None = None, cache: str | None = None) -> float:
        flags = ("--model", self._model, "-q") if flags is None else flags
        command = [sys.executable, "-m", "clipcli", *words, *flags]
        environment = self._bench.environment if cache is None else {**self._bench.environment, "CLIPCLI_CACHE": cache}
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=environment)
        return time.perf_counter() - start


def first_photo(photo: Path) -> None:
    """Print how long one photo takes."""
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), [photo])
        folder = copies([photo], Path(name) / "photo", count=1)
        bench.ours(folder, 10, cache=True)
        cases: dict[str, Callable[[], float]] = {
            "clipcli": partial(bench.ours, folder, 10),
            "clipcli, a second time": partial(bench.ours, folder, 10, cache=True),
            "transformers' pipeline": partial(bench.peer, "pipeline", folder, 10, 1),
        }
        for model in (str(bench.model), "tiny"):
            start = Start(bench, folder / "00000.jpg", model=model)
            title = "clipcli, " + ("tiny" if model == "tiny" else "prepared")
            if model == "tiny":
                cases[f"{title}, the first ever run"] = start.first_ever
            if importlib.util.find_spec("openvino"):
                start.prepare()
                cases[f"{title}, a new photo"] = start.new_photo
                cases[f"{title}, a new label"] = start.new_label
                cases[f"{title}, find new words"] = start.new_words
        for case, (seconds, ratio) in side_by_side(partial(bench.peer, "open_clip", folder, 10, 1), cases).items():
            print(f"one photo, {case:38} {seconds:.2f} s, {ratio:.1f} times sooner than open_clip's functions")


def main() -> None:
    """Measure, and print medians."""
    baseline = ["-c", "import open_clip"]
    cpu_seconds(baseline)
    helps = ["--help", *(f"{command} --help" for command in COMMANDS)]
    cases = {f"clipcli {words}": partial(cpu_seconds, ["-m", "clipcli", *words.split()]) for words in helps}
    for name, (seconds, ratio) in side_by_side(partial(cpu_seconds, baseline), cases).items():
        print(f"{name:32} {seconds:.2f} s CPU, {ratio:.0f} times less than import open_clip")
    if len(sys.argv) > 1:
        first_photo(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
