"""How soon photos are found among 100,000, in whole processes, and how long exact search takes in numpy.

The photos are hard links to a hundred small images, a thousand in each folder, and their embeddings are random: what is
measured is listing, looking at each file and searching, not encoding. Beside it stands a plain script that does what is
usual without an index: it loads open_clip, encodes the text, and searches a saved matrix, without a look at the files.
Run: python benchmarks/find.py [--images N]; with --matrices exact search alone, to a million and more; with --index N
exact search beside the approximate index of usearch (pip install usearch).
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from side_by_side import RUNS

from clipcli.commands.find.settings import FindSettings
from clipcli.encoding.model import Model
from clipcli.memory.cache import Cache
from clipcli.memory.folder_index import FolderIndex, are_settled, file_states, folder_states, index_key, write_index
from clipcli.memory.memory import Memory

TEXT = "a dog on a beach"
_PLAIN = """
import sys, numpy as np, torch, open_clip
name, matrix, text = sys.argv[1:]
model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{name}")
tokens = open_clip.get_tokenizer(f"local-dir:{name}")([text])
with torch.inference_mode():
    query = torch.nn.functional.normalize(model.encode_text(tokens))[0].numpy()
scores = np.load(matrix, mmap_mode="r") @ query
print(np.argsort(-scores)[:10])
"""


def unit_rows(count: int, dimensions: int) -> np.ndarray:
    """Random embeddings of length 1."""
    rows = np.random.default_rng(0).standard_normal((count, dimensions), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def library(folder: Path, count: int) -> list[str]:
    """Hard links to a hundred small images; returns their names below the folder."""
    rng = np.random.default_rng(0)
    images = []
    for n in range(100):
        image = folder.parent / f"{n}.jpg"
        Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(image)
        images.append(image)
    names = [f"{n // 1000:04}/{n:07}.jpg" for n in range(count)]
    for n, name in enumerate(names):
        path = folder / name
        if n % 1000 == 0:
            path.parent.mkdir(parents=True)
        os.link(images[n % 100], path)
    return names


def keep_index(folder: Path, names: list[str]) -> np.ndarray:
    """Keep an index of the folder with random embeddings, and return them."""
    # A folder that was changed just now is not trusted.
    time.sleep(3)
    folders = ["", *sorted({name.partition("/")[0] for name in names})]
    model = Model("tiny", FindSettings(text=TEXT, model="tiny"), memory=Memory(Cache()))
    assert model.store is not None
    assert model.facts is not None
    embeddings = unit_rows(len(names), model.facts.dimensions)
    index = FolderIndex(
        embeddings=embeddings,
        names=tuple(names),
        reasons=(),
        states=file_states(str(folder), names),
        folders=tuple(folders),
        folder_states=folder_states(str(folder), folders),
        said=(),
        settled=are_settled(str(folder), folders, listed_at=time.time_ns()),
    )
    write_index(index_key(str(folder), exclude=(), made_by=model.store.made_by), index)
    return embeddings


def seconds(use: Callable[[], object]) -> tuple[float, float]:
    """The seconds that a call takes, and those that a processor works for it and the processes it starts."""
    start, before = time.perf_counter(), sum(os.times()[:4])
    use()
    return time.perf_counter() - start, sum(os.times()[:4]) - before


def show(what: str, use: Callable[[int], object]) -> None:
    """Print the median of some calls, each given its number."""
    times, worked = zip(*(seconds(partial(use, n)) for n in range(RUNS)), strict=True)
    print(
        f"{what:40} {statistics.median(times):.2f} s, {min(times):.2f} to {max(times):.2f};"
        f" {statistics.median(worked):.2f} s of a processor"
    )


def processes(count: int) -> None:
    """Print the times of whole processes."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        os.environ["CLIPCLI_CACHE"] = str(root / "cache")
        photos = root / "photos"
        names = library(photos, count)

        def find(*arguments: str) -> None:
            command = [sys.executable, "-m", "clipcli", "find", *arguments, "--model", "tiny", "-q"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

        find(TEXT, str(root / "0.jpg"))
        embeddings = keep_index(photos, names)
        matrix = root / "plain.npy"
        np.save(matrix, embeddings)
        print(f"{count:,} photos, tiny, whole processes: median of {RUNS}, least to most")
        show("words that were asked before", lambda _: find(TEXT, str(photos)))
        show("new words", lambda n: find(f"{TEXT} {n}", str(photos)))
        show("like a photo", lambda _: find("--like", str(photos / names[7]), str(photos)))
        tiny = str(Path(__file__).parents[1] / "clipcli" / "models" / "tiny")
        plain = [sys.executable, "-c", _PLAIN, tiny, str(matrix), TEXT]
        show("open_clip and a saved matrix", lambda _: subprocess.run(plain, check=True, capture_output=True))

        def one_more(n: int) -> None:
            # A further link to an image would be a change of all that are links to it.
            shutil.copy(root / f"{n}.jpg", photos / f"new-{n}.jpg")
            find(TEXT, str(photos))

        show("one photo more each time", one_more)


def matrices() -> None:
    """Print the times of exact search over random embeddings."""
    print(f"exact search of the best 10 in numpy, float32: median of {RUNS}, least to most")
    for count, dimensions in ((100_000, 384), (1_000_000, 384), (1_000_000, 512), (3_000_000, 512)):
        rows = unit_rows(count, dimensions)
        show(f"{count:,} × {dimensions}", lambda n, rows=rows: np.argpartition(-(rows @ rows[n]), 10)[:10])  # type: ignore[misc]
        del rows


def gathered_rows(count: int, dimensions: int) -> np.ndarray:
    """Made embeddings of length 1 around a thousand centres, as photos are alike: at random none is near another."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((1_000, dimensions), dtype=np.float32)
    rows = rng.standard_normal((count, dimensions), dtype=np.float32)
    for start in range(0, count, 10_000):
        part = rows[start : start + 10_000]
        part += centres[rng.integers(1_000, size=len(part))]
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return rows


def beside_an_index(count: int, dimensions: int = 384) -> None:
    """Print what exact search takes, and what an index takes to be made, to be opened and to be asked."""
    from usearch.index import Index  # type: ignore[import-not-found, unused-ignore]

    rows, queries = gathered_rows(count, dimensions), gathered_rows(100, dimensions)
    exact = [np.argpartition(-(rows @ query), 10)[:10] for query in queries[:20]]
    show(f"numpy, {count:,} × {dimensions}", lambda n: np.argpartition(-(rows @ queries[n]), 10)[:10])
    index = Index(ndim=dimensions, metric="ip", dtype="f32")

    def make() -> None:
        for start in range(0, count, 10_000):
            keys = np.arange(start, min(count, start + 10_000))
            index.add(keys, rows[keys], threads=1)

    _, worked = seconds(make)
    with tempfile.TemporaryDirectory() as name:
        path = str(Path(name) / "index")
        index.save(path)
        size = os.path.getsize(path)
        print(f"usearch: made in {worked:,.0f} s of a processor, {size / 1e9:.2f} GB beside {rows.nbytes / 1e9:.2f} GB")

        def opened() -> Any:
            index = Index(ndim=dimensions, metric="ip", dtype="f32")
            index.view(path)
            return index

        show("usearch, opened and asked", lambda n: opened().search(queries[n], 10))
        index = opened()
        show("usearch, asked", lambda n: index.search(queries[n], 10))
        found = [set(index.search(query, 10).keys.tolist()) for query in queries[:20]]
    right = np.mean([len(one & set(best.tolist())) / 10 for one, best in zip(found, exact, strict=True)])
    print(f"usearch finds {right:.0%} of the best 10")


def main() -> None:
    """Measure, and print medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--matrices", action="store_true")
    parser.add_argument("--index", type=int)
    given = parser.parse_args()
    if given.index is not None:
        beside_an_index(given.index)
    elif given.matrices:
        matrices()
    else:
        processes(given.images)


if __name__ == "__main__":
    main()
