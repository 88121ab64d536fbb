"""Which columns are kept, and what a run says of how its rows are made."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_data import in_memory

import clipcli
from clipcli.classes.prompts import read_prompted_classes
from clipcli.commands.classify.kept_columns import kept_columns, split_columns
from clipcli.commands.classify.provenance import provenance_of
from clipcli.commands.classify.settings import ClassifySettings
from clipcli.errors import UsageError
from clipcli.notices import Notices
from clipcli.records import ImageItem, Provenance
from clipcli.scoring.classifier import Classifier
from clipcli.settings import as_dict

A, B = in_memory("a"), in_memory("b")
ITEMS = [replace(A, cells={"who": "Ann"}), replace(B, cells={"where": "Rome", "who": ""})]


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("", ()),
        ("who", ("who",)),
        (" where,who ,,where", ("where", "who")),
        (["a,b", "b", "c"], ("a", "b", "c")),
        ((), ()),
    ],
)
def test_names_are_split_by_commas(asked: str | list[str], names: tuple[str, ...]) -> None:
    assert split_columns(asked) == names


def test_columns_are_kept_in_the_order_asked_for_or_of_the_tables() -> None:
    assert kept_columns(("where", "who"), ITEMS) == ("where", "who")
    assert kept_columns(("all",), ITEMS) == ("who", "where")
    assert kept_columns((), ITEMS) == ()


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="both be called input_label"):
        kept_columns(("all",), [replace(A, cells={"label": "1", "input_label": "2"})])


def made(
    of: list[str] | Classifier, items: list[ImageItem] = ITEMS, *, prompts: str = "plain", **options: object
) -> Provenance:
    prompted = of if isinstance(of, Classifier) else read_prompted_classes(of, prompts, Notices())
    asked = ClassifySettings(inputs=("photos",), **options)
    return provenance_of(prompted, settings=as_dict(asked), model="tiny", items=items, kept=())


def test_settings_are_as_json_has_them() -> None:
    settings = made(["cat"], labels=["cat", "dog"], classifier=Path("x")).settings
    assert (settings["inputs"], settings["labels"], settings["classifier"]) == (["photos"], ["cat", "dog"], "x")
    assert settings["keep_columns"] == []
    json.dumps(dict(settings))


def test_the_images_digest_is_that_of_their_names_in_order() -> None:
    one = made(["cat"])
    assert (one.images, one.images_digest) == (
        2,
        made(["cat"], [A, B]).images_digest,
    )
    for others in (ITEMS[::-1], ITEMS[:1], [in_memory("ab")], [in_memory("\udcff"), ITEMS[1]]):
        assert made(["cat"], others).images_digest != one.images_digest


def test_a_classifier_is_told_by_a_digest_of_all_it_holds() -> None:
    facts = {"model": "x", "fingerprint": "x", "prompts": "x", "precision": "fp32", "logit_scale": 10.0}
    embeddings = np.eye(2, dtype=np.float32)

    def classifier(**changes: object) -> Classifier:
        values = {**facts, "logit_bias": None, "score": "softmax", "labels": ("cat", "dog"), **changes}
        return Classifier(**{"class_embeddings": embeddings, **values})

    digest = made(classifier()).classifier
    assert digest == made(classifier()).classifier
    others = [{"labels": ("cat", "cow")}, {"logit_scale": 11.0}, {"class_embeddings": embeddings[::-1]}]
    assert digest not in [made(classifier(**changes)).classifier for changes in others]


def test_kept_cells_are_in_the_rows_of_the_api(photos: Path, model: str) -> None:
    table = photos / "table.csv"
    table.write_text("path,who\na.jpg,Ann\n")
    [row] = clipcli.classify(table, labels=["cat", "dog"], model=model, keep_columns="who")
    assert row.kept == ("Ann",)
