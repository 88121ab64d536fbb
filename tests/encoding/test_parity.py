"""open_clip on the same weights is the oracle: embeddings, probabilities and labels agree with its own functions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES
from PIL import Image

import clipcli

LABELS = ["tench", "great white shark", "kite (bird of prey)", "crane, the bird", "海岸"]


def oracle_classifier(folder: Path) -> np.ndarray:
    """open_clip's class embeddings `[C, D]`."""
    model = open_clip.create_model(f"local-dir:{folder}").eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    weights = open_clip.build_zero_shot_classifier(model, tokenizer, LABELS, OPENAI_IMAGENET_TEMPLATES)
    return weights.T.numpy()


def oracle_probabilities(folder: Path, paths: list[str], class_embeddings: np.ndarray) -> np.ndarray:
    """open_clip's probabilities `[N, C]` of RGB photos."""
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    with torch.no_grad():
        images = torch.stack([preprocess(Image.open(path)) for path in paths])
        features = torch.cat([model.encode_image(part, normalize=True) for part in images.split(16)])
        logits = model.logit_scale.exp() * features @ torch.from_numpy(class_embeddings).T
        if model.logit_bias is not None:
            return (logits + model.logit_bias).sigmoid().numpy()
        return logits.softmax(dim=-1).numpy()


def table(rows: list[clipcli.Row]) -> np.ndarray:
    """Scores `[N, C]` in the order of `LABELS`, from rows that hold all labels."""
    return np.array([[dict(zip(row.labels, row.scores, strict=True))[label] for label in LABELS] for row in rows])


@pytest.mark.parametrize("name", ["vit", "resnet", "sigmoid"])
def test_class_embeddings_agree_with_open_clip(models: dict[str, Path], name: str) -> None:
    classifier = clipcli.build_classifier(LABELS, model=str(models[name]), precision="fp32")
    np.testing.assert_allclose(classifier.class_embeddings, oracle_classifier(models[name]), atol=1e-5)


@pytest.mark.parametrize("name", ["vit", "resnet", "sigmoid"])
def test_probabilities_agree_with_open_clip(models: dict[str, Path], name: str, photos: Path) -> None:
    assert_agreement(models[name], photos)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["vit", "resnet", "sigmoid"])
def test_probabilities_agree_with_open_clip_on_real_photos(
    models: dict[str, Path], name: str, shared: Callable[[str], Path], tmp_path: Path
) -> None:
    photos = shared("data/photos")
    rows = assert_agreement(models[name], photos)
    assert_corrupt_ones_change_nothing_else(models[name], photos, rows, tmp_path)


def assert_agreement(model: Path, folder: Path) -> list[clipcli.Row]:
    """Check all rows against open_clip, which ignores colour profiles, and give them."""
    options = {"labels": LABELS, "model": str(model), "precision": "fp32", "top_k": len(LABELS), "color": "raw"}
    rows = list(clipcli.classify(folder, **options))
    paths = [str(path) for path in sorted(folder.rglob("*")) if path.is_file()]
    assert [row.path for row in rows] == paths
    expected = oracle_probabilities(model, paths, oracle_classifier(model))
    np.testing.assert_allclose(table(rows), expected, atol=1e-4)
    assert [row.labels[0] for row in rows] == [LABELS[i] for i in expected.argmax(axis=1)]
    return rows


def assert_corrupt_ones_change_nothing_else(model: Path, folder: Path, rows: list[clipcli.Row], tmp_path: Path) -> None:
    """20 corrupt files among the photos give 20 rows with a reason, and every other row as it was."""
    good = sorted(folder.iterdir())
    mixed = list(good)
    for n in range(20):
        bad = tmp_path / f"bad-{n}.jpg"
        bad.write_bytes([b"", b"not an image", good[n].read_bytes()[: 200 * (n + 1)]][n % 3])
        mixed.insert(3 * n + n % 2, bad)
    options = {"labels": LABELS, "model": str(model), "precision": "fp32", "top_k": len(LABELS), "color": "raw"}
    again = list(clipcli.classify(mixed, **options))
    assert [row.path for row in again] == [str(path) for path in mixed]
    assert sum(row.error is not None for row in again) == 20
    kept = [row for row in again if row.error is None]
    assert [row.labels for row in kept] == [row.labels for row in rows]
    np.testing.assert_allclose(table(kept), table(rows), atol=1e-6)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", ["vit", "resnet", "sigmoid"])
def test_half_precision_stays_close(models: dict[str, Path], name: str, photos: Path, precision: str) -> None:
    options = {"labels": LABELS, "model": str(models[name]), "top_k": len(LABELS), "score": "cosine"}
    exact = table(list(clipcli.classify(photos, precision="fp32", **options)))
    close = table(list(clipcli.classify(photos, precision=precision, **options)))
    np.testing.assert_allclose(close, exact, atol=0.03)


@pytest.mark.parametrize("name", ["vit", "resnet", "sigmoid"])
def test_a_published_checkpoint_in_openclips_full_form_gives_the_same(
    models: dict[str, Path], name: str, photos: Path, tmp_path: Path
) -> None:
    """A training checkpoint, `module.` before each name, in an architecture that open_clip knows by name."""
    from safetensors.torch import load_file

    state = load_file(models[name] / "open_clip_model.safetensors")
    path = tmp_path / "epoch_1.pt"
    torch.save({"epoch": 1, "state_dict": {f"module.{key}": value for key, value in state.items()}}, path)
    options = {"labels": LABELS, "precision": "fp32", "top_k": len(LABELS), "score": "cosine"}
    spec = f"test-{name}/{path}"
    from_file = clipcli.build_classifier(LABELS, model=spec, precision="fp32")
    from_directory = clipcli.build_classifier(LABELS, model=str(models[name]), precision="fp32")
    np.testing.assert_array_equal(from_file.class_embeddings, from_directory.class_embeddings)
    assert len(list(clipcli.classify(photos, model=spec, **options))) == 6
