"""How good a model's labels are on real data: zero-shot by prompt set, linear probes by shots, retrieval.

Writes the tables of docs/evaluation.md, all of them measured in this run. The data are `tiny-imagenet.zip`,
`caltech101.zip`, `clothing.zip` and `flickr8k.zip` in one folder. `--all` also fits Tiny-ImageNet's probe on all of its
training photos, which on a few cores of a processor takes long.
Run: python benchmarks/evaluation.py [MODEL] [DATA] [--output FILE] [--all] [--only PART]
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import clipcli
from clipcli.commands.evaluate.results import Evaluation
from clipcli.commands.evaluate.tables import table_of_differences, table_of_runs

SHARED = Path(__file__).parents[2] / "shared"
PROMPTS = "imagenet,imagenet-7,plain,name"
SHOTS = "1,2,4,8,16"
PARTS = ("clothing", "caltech101", "flickr8k", "tiny-imagenet")


def main() -> None:
    """Measure part by part, and write what is there after each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", nargs="?", default="tiny")
    parser.add_argument("data", nargs="?", default=str(SHARED / "data"))
    parser.add_argument("--output", default="docs/evaluation.md")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--only", choices=PARTS)
    given = parser.parse_args()
    data, name = Path(given.data), Path(given.model).name or given.model
    parts: dict[str, Callable[[], str]] = {
        "clothing": lambda: labels(
            "Clothing, `validation`, 10 classes", data / "clothing.zip", "validation", given.model, f"{SHOTS},full"
        ),
        "caltech101": lambda: labels(
            "Caltech-101, `val`, 101 classes", data / "caltech101.zip", "val", given.model, f"{SHOTS},full"
        ),
        "flickr8k": lambda: captions(data / "flickr8k.zip" / "dev", given.model),
        "tiny-imagenet": lambda: labels(
            "Tiny-ImageNet, `val`, 200 classes",
            data / "tiny-imagenet.zip",
            "val",
            given.model,
            f"{SHOTS},full" if given.all else SHOTS,
        ),
    }
    texts = [introduction(name)]
    for part, measure in parts.items():
        if given.only in (None, part):
            texts.append(measure())
            target = Path(given.output)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("\n\n".join(texts) + "\n", encoding="utf-8")


def introduction(name: str) -> str:
    """What the page is about."""
    return f"""# How right the labels of `{name}` are

Measured by `python benchmarks/evaluation.py`, on a processor in fp32, with `clipcli evaluate`. In brackets: 95 %
intervals of a bootstrap over images. ECE: expected calibration error in 15 bins, larger by chance alone, for which its
interval allows. NLL: negative log-likelihood in nats. Linear probes: logistic regression on the frozen image
embeddings, its regularisation chosen by the likelihood of training images held out; with few shots mean ± standard
deviation over three draws from all training images. Where a model was trained on the `train` part itself, as `tiny` was
on those of Flickr8k and Tiny-ImageNet, it is better here than elsewhere."""


def labels(title: str, archive: Path, split: str, model: str, shots: str) -> str:
    """Zero-shot by prompt set, and linear probes by shots, with one decode of the images."""
    found = clipcli.evaluate(
        archive / split,
        model=model,
        prompts=PROMPTS,
        linear_probe=archive / "train",
        shots=shots,
        precision="fp32",
        device="cpu",
    )
    parts = [f"## {title}", table(table_of_runs(found))]
    chosen = [f"{'all' if p.shots is None else p.shots}: {strengths(p.regularisation)}" for p in found.probes]
    parts.append(f"The regularisation C that was chosen, by shots: {'; '.join(chosen)}.")
    if not all(probe.converged for probe in found.probes):
        parts.append("Not all of the probes converged.")
    top1 = [row for row in table_of_differences(found) if row[2] in ("figure", "top-1")]
    parts += ["Top-1 of the prompt sets compared, on the same images:", table(top1)]
    return "\n\n".join(parts)


def captions(data: Path, model: str) -> str:
    """Retrieval both ways."""
    found: Evaluation = clipcli.evaluate(data, model=model, precision="fp32", device="cpu")
    [run] = found.runs
    rows = [[cell.replace("→", "to") for cell in row[1:]] for row in table_of_runs(found)]
    about = f"{rows[1][0]} photos with {run.captions:,} captions."  # type: ignore[union-attr]
    return "\n\n".join(["## Flickr8k, `dev`, retrieval", about, table([row[1:] for row in rows])])


def strengths(values: tuple[float, ...]) -> str:
    """The strengths of all seeds, to three digits."""
    return ", ".join(f"{float(f'{value:.3g}'):g}" for value in values)


def table(rows: list[list[str]]) -> str:
    """Rows as a table in Markdown; the first is its header."""
    header, *others = rows
    lines = [header, ["---"] * len(header), *others]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


if __name__ == "__main__":
    main()
