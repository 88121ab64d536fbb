"""A first look at some of the images, and what the summary says was left out or passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipcli.commands.classify.first_look import first_look
from clipcli.commands.classify.run import run
from clipcli.commands.classify.settings import ClassifySettings
from clipcli.data.samples import image_file
from clipcli.errors import InputNotFound, UsageError
from clipcli.events import InputsFound, Noted, RowsReady

ITEMS = [image_file(f"{n:04}.jpg") for n in range(1200)]


def test_the_first_images_in_order() -> None:
    some, said = first_look(ITEMS, max_images=100, sample=None)
    assert some == ITEMS[:100]
    assert said == "the first 100 of 1,200 images (--max-images 100); 1,100 images were left out"
    assert first_look(ITEMS, max_images=1199, sample=None)[1] == (
        "the first 1,199 of 1,200 images (--max-images 1199); 1 image was left out"
    )


def test_a_sample_is_the_same_in_every_run_and_in_order() -> None:
    some, said = first_look(ITEMS, max_images=None, sample=5)
    assert [item.id for item in some] == ["0082.jpg", "0530.jpg", "0788.jpg", "0861.jpg", "1047.jpg"]
    assert said == "a random 5 of 1,200 images (--sample 5); 1,195 images were left out"
    assert first_look(ITEMS, max_images=None, sample=5) == (some, said)


@pytest.mark.parametrize("options", [{"max_images": 1200, "sample": None}, {"max_images": None, "sample": 5000}])
def test_where_there_are_no_more_nothing_is_said(options: dict[str, int | None]) -> None:
    assert first_look(ITEMS, **options) == (ITEMS, None)


def test_one_of_both(photos: Path) -> None:
    with pytest.raises(UsageError, match="--max-images takes the first images, and --sample some at random"):
        list(run(ClassifySettings(photos, labels="cat, dog", model="tiny", max_images=2, sample=2)))


def test_the_rows_and_what_the_summary_is_told(photos: Path, model: str) -> None:
    for name in ("a.mp4", "b.MOV", "c.cr2", "a.jpg.xmp", "notes.odt"):
        (photos / name).touch()
    settings = ClassifySettings(photos, labels="cat, dog", model=model, max_images=2)
    events = list(run(settings))
    rows = [Path(row.path).name for event in events if isinstance(event, RowsReady) for row in event.rows]
    assert rows == ["a.jpg", "b.png"]
    [found] = [event for event in events if isinstance(event, InputsFound)]
    assert (found.count, found.left_out) == (
        2,
        (
            "the first 2 of 6 images (--max-images 2); 4 images were left out",
            f"5 files are no images, such as {photos}/a.jpg.xmp (2 video, 1 sidecar, 1 RAW, 1 .odt): passed over; name"
            " one as an input to have it tried",
        ),
    )
    assert not any("no images" in event.message for event in events if isinstance(event, Noted))


def test_a_folder_without_photos_says_what_is_in_it(tmp_path: Path) -> None:
    for name in ("1.nef", "2.nef", "3.mp4"):
        (tmp_path / name).touch()
    with pytest.raises(InputNotFound) as e:
        list(run(ClassifySettings(tmp_path, labels="cat, dog", model="tiny")))
    assert str(e.value) == (
        f"no images in {tmp_path}; 3 files are no images, such as {tmp_path}/1.nef (2 RAW, 1 video): passed over; name"
        " one as an input to have it tried"
    )
