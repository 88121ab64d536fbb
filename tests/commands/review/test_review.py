"""What is read before a review: rows of every kind, the labels, the manifest, the cache and earlier corrections."""

from __future__ import annotations

from pathlib import Path

import pytest

import clipcli
from clipcli.commands.review.page import _content
from clipcli.errors import BadFile, InputNotFound, UsageError
from clipcli.outputs.correction import Correction
from clipcli.outputs.corrections import append_corrections
from clipcli.records import Row
from clipcli.scoring.schema import Schema

from .conftest import LABELS, Written, labelled, picture, prepared

NINE, TEN = "2026-05-01T09:00:00+00:00", "2026-05-01T10:00:00+00:00"
NO_CACHE = "The cache has no embeddings of the photos: they are spread by labels alone, with no look-alikes."


def test_the_least_sure_come_first_and_a_quarter_at_random(written: Written) -> None:
    written(labelled(40))
    said: list[str] = []
    review = prepared(said)
    assert said == [NO_CACHE]
    assert (len(review.photos), review.total, len(review.drawn), review.alike) == (40, 40, 10, ())
    assert review.drawn == tuple(range(3, 40, 4))
    doubtful = [photo.lead for n, photo in enumerate(review.photos) if n not in review.drawn]
    assert max(doubtful[:3]) < 0.97
    assert dict(review.labels) == dict.fromkeys(LABELS, ())
    # With few labels each has its own key.
    assert all(photo.keys == LABELS for photo in review.photos)
    assert [len(prepared(random=n).drawn) for n in (0, 5)] == [0, 5]


def test_with_many_labels_those_that_are_likely_have_keys(written: Written) -> None:
    many = [f"label {n}" for n in range(20)]
    rows = [Row(f"{n}.png", (many[n % 12], many[19]), (0.6, 0.3)) for n in range(24)]
    written(rows, schema=Schema(top_k=2), labels=many)
    for photo in prepared().photos:
        assert photo.keys[:2] == photo.row.labels
        assert len(photo.keys) == len(set(photo.keys)) == 10


def test_rows_with_an_error_are_left_out_and_said(written: Written) -> None:
    written([*labelled(3), Row("bad.jpg", (), (), "truncated"), Row("gone.jpg", (), (), "no such file")])
    said: list[str] = []
    assert len(prepared(said).photos) == 3
    assert said[0] == (
        "2 rows have an error in place of a label, such as bad.jpg (1 truncated, 1 no such file): there is nothing to"
        " review in it, and it was left out"
    )


def test_a_photo_that_has_two_rows_is_reviewed_once(written: Written) -> None:
    written([*labelled(3), labelled(1)[0]])
    said: list[str] = []
    assert len(prepared(said).photos) == 3
    assert said[0].startswith("1 row is of a photo again, photos/000.png: it was left out")


def test_unknown_photos_are_none_of_the_labels(written: Written) -> None:
    rows = [Row("a.png", ("unknown", "cat"), (0.9, 0.2)), Row("b.png", ("dog", "cow"), (0.3, 0.25))]
    written(rows, schema=Schema(top_k=2), unknown=True, unknown_label="unknown")
    review = prepared()
    by_path = {photo.row.path: photo for photo in review.photos}
    assert (review.unknown, by_path["a.png"].said, by_path["b.png"].said) == ("unknown", (), ("dog",))
    assert tuple(review.labels) == LABELS
    # The second score is of another kind, so that doubt is by the first alone.
    assert by_path["b.png"].lead == 0.3
    content = _content(review, {}, output="c.csv", served=True)
    assert sorted(photo["scores"] for photo in content["photos"] if not photo["said"]) == [[[None, 0.9], [0, 0.2]]]


def test_several_labels_are_in_doubt_near_their_threshold(written: Written) -> None:
    rows = [
        Row("a.png", ("cat", "dog"), (0.99, 0.97)),
        Row("b.png", ("cow",), (0.62,)),
        Row("c.png", (), ()),
    ]
    written(rows, schema=Schema(several=True), multi_label=True, multi_label_at=0.6)
    review = prepared()
    assert review.several
    assert {photo.row.path: round(photo.lead, 3) for photo in review.photos} == {
        "a.png": 0.37,
        "b.png": 0.02,
        "c.png": 0,
    }
    assert {photo.row.path: photo.said for photo in review.photos}["a.png"] == ("cat", "dog")


def test_with_a_score_for_each_label_doubt_is_by_all(written: Written) -> None:
    row = Row("a.png", ("cat",), (0.9,), all_scores=(0.9, 0.49, 0.1))
    written([row], schema=Schema(several=True, wide=LABELS), multi_label=True)
    assert prepared().photos[0].lead == pytest.approx(0.01)


def test_groups_of_labels_are_found_too(written: Written) -> None:
    rows = [
        Row("a.png", ("pet",), (0.9,), label_path="animal/pet"),
        Row("b.png", ("cow",), (0.8,), label_path="animal/cow"),
    ]
    groups = [["animal", "pet"], ["animal", "pet"], ["animal"]]
    written(rows, schema=Schema(has_paths=True), groups=groups, back_off=0.8)
    review = prepared()
    assert dict(review.labels) == {"cat": ("animal", "pet"), "dog": ("animal", "pet"), "cow": ("animal",), "pet": ()}
    content = _content(review, {}, output="c.csv", served=True)
    assert {photo["within"] for photo in content["photos"]} == {"animal/pet", "animal/cow"}


def test_without_a_manifest_the_labels_are_those_of_the_rows(written: Written) -> None:
    written(labelled(2), labels=None)
    said: list[str] = []
    assert tuple(prepared(said).labels) == ("cat", "dog")
    assert said[0].startswith("1 output has no manifest, which names the labels, predictions.csv: the labels to choose")


def test_rows_that_a_person_labelled_are_reviewed(written: Written) -> None:
    rows = [
        Row("a.png", ("cat",), (1.0,), source="person"),
        Row("b.png", (), (), source="person"),
        Row("c.png", ("dog",), (0.4,), source="model"),
    ]
    written(rows, schema=Schema(has_source=True))
    review = prepared()
    assert review.photos[0].row.path == "c.png"
    assert {review.photos[n].row.path: labels for n, labels in review.said.items()} == {"a.png": ("cat",), "b.png": ()}
    append_corrections("corrections.csv", [Correction("a.png", ("cow",), NINE)])
    assert {review.photos[n].row.path: labels for n, labels in prepared().said.items()}["a.png"] == ("cow",)


def test_what_was_decided_before_counts(written: Written) -> None:
    written(labelled(6))
    append_corrections("ann.csv", [Correction("photos/000.png", ("dog",), TEN), Correction("else.png", ("cat",), TEN)])
    append_corrections(
        "bob.csv", [Correction("photos/000.png", (), NINE), Correction("photos/001.png", ("yak",), NINE)]
    )
    append_corrections("corrections.csv", [Correction("photos/002.png", ("cow",), NINE)])
    said: list[str] = []
    review = prepared(said, corrections=["ann.csv", "bob.csv", "./corrections.csv"])
    assert {review.photos[n].row.path: labels for n, labels in review.said.items()} == {
        "photos/000.png": ("dog",),
        "photos/001.png": ("yak",),
        "photos/002.png": ("cow",),
    }
    assert "yak" in review.labels
    assert said[:3] == [
        "1 photo has different labels in the files of corrections; the latest review counts:",
        "  photos/000.png: none of the labels in bob.csv, 'dog' in ann.csv, which is the latest",
        "1 correction is of a photo that predictions.csv has no label for, such as else.png: left alone",
    ]


def test_the_first_photos_alone(written: Written) -> None:
    written(labelled(40))
    review = prepared(max_images=10)
    assert (len(review.photos), review.total, review.drawn) == (10, 40, (3, 7))
    assert [photo.row.path for photo in review.photos] == [photo.row.path for photo in prepared().photos[:10]]


def test_a_page_without_a_server_shows_the_first_500(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipcli.commands.review.run.PHOTOS_IN_A_FILE", 5)
    written(labelled(8))
    assert [len(prepared(**file).photos) for file in ({"html": "x.html"}, {})] == [5, 8]


def test_a_page_of_photos_that_are_gone_is_refused_and_some_are_named(written: Written) -> None:
    written(labelled(3))
    said: list[str] = []
    Path("photos/001.png").unlink()
    assert len(prepared(said, html="x.html").photos) == 3
    assert said[0] == "1 photo is no longer there, such as photos/001.png: shown without a picture"
    for name in ("000", "002"):
        Path(f"photos/{name}.png").unlink()
    with pytest.raises(InputNotFound, match=r"none of the 3 photos is there, such as photos/000\.png; run this in"):
        prepared(html="x.html")


def test_embeddings_come_from_the_cache_of_the_run(tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from clipcli.cli import main

    monkeypatch.chdir(tmp_path)
    for n in range(24):
        picture(Path(f"photos/{n}.png"), n // 4)
    with pytest.raises(SystemExit):
        main(["classify", "photos", "--labels", "cat,dog", "--model", model, "--quiet"])
    said: list[str] = []
    review = prepared(said, random=0)
    assert said == []
    assert len(review.alike) >= 1
    for group in review.alike:
        assert len({review.photos[n].said for n in group}) == 1
    picture(Path("photos/0.png"), 99)
    prepared(said)
    assert said == [
        "The cache has no embeddings of 1 of 24 photos: they are spread by labels alone, with no look-alikes."
    ]


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("path,label\na.jpg,cat\n", BadFile, "expected path,label,score,error"),
        ("path,label,score,error\n", UsageError, "has no row with a label to review"),
        ("path,label,score,error\na.jpg,,,bad\n", UsageError, "has no row with a label to review"),
    ],
)
def test_what_cannot_be_reviewed_is_refused(
    written: Written, content: str, error: type[clipcli.ClipcliError], message: str
) -> None:
    written([], labels=None).write_text(content)
    with pytest.raises(error, match=message):
        prepared()


def test_files_are_checked_first(written: Written) -> None:
    with pytest.raises(InputNotFound, match=r"cannot read predictions\.csv"):
        prepared()
    written(labelled(2))
    with pytest.raises(UsageError, match=r"--output x\.parquet does not end in \.csv"):
        prepared(output="x.parquet")
    with pytest.raises(UsageError, match=r"--output predictions\.csv is read by this command"):
        prepared(output="predictions.csv")
    append_corrections("corrections.csv", [Correction("photos/000.png", ("cat", "dog"), NINE)], several=True)
    with pytest.raises(BadFile, match="several labels for a photo, and the rows one"):
        prepared()


def test_corrections_from_another_folder_are_of_the_same_photos(written: Written) -> None:
    written(labelled(6))
    Path("reviews").mkdir()
    append_corrections("reviews/c.csv", [Correction("../photos/001.png", ("cow",), NINE)])
    said: list[str] = []
    review = prepared(said, corrections=["reviews/c.csv"])
    assert {review.photos[n].row.path: labels for n, labels in review.said.items()} == {"photos/001.png": ("cow",)}
    assert said[0].startswith(
        "1 correction names its image from another folder, ../photos/001.png, which is photos/001"
    )
