"""The page of the labelled photos: by label, the least sure first, of bounded size, with every name as text."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from PIL import Image

from clipcli.commands.classify.album import Album, even_shares
from clipcli.events import ThumbnailsMade
from clipcli.records import ImageItem, Reference, Row

Labelled = list[tuple[str, str | None, float]]


def page(folder: Path, photos: Labelled, *, most: int = 100) -> str:
    """The page of photos with a name, a label (or `None` where they are skipped) and a score, without its script."""
    album = Album(str(folder / "out.html"), most=most)
    for name, label, score in photos:
        path = folder / name
        if label is not None:
            Image.new("RGB", (400, 200), "navy").save(path, "JPEG")
        row = Row(str(path), (), (), "not an image") if label is None else Row(str(path), (label,), (score,))
        album.add([row], [ImageItem(str(path), Reference("file", str(path)))])
    made = list(album.write())
    assert all(isinstance(event, ThumbnailsMade) for event in made)
    html = (folder / "out.html").read_text(encoding="utf-8")
    return re.sub("<(style|script)>.*?</\\1>", "", html, flags=re.DOTALL)


def shown(html: str) -> dict[str, list[str]]:
    """The names of the photos in each section."""
    groups = {}
    for part in html.split("<div data-group=")[1:]:
        [name] = re.findall(r"<h3>(.*?)<small>", part)
        groups[unescape(name)] = [unescape(path) for path in re.findall(r"<figcaption>.*?<small>(.*?)</small>", part)]
    return groups


PHOTOS: Labelled = [
    ("1.jpg", "cat", 0.9),
    ("2.jpg", "dog", 0.4),
    ("3.jpg", "cat", 0.2),
    ("bad.jpg", None, 0.0),
    ("4.jpg", "cat", 0.5),
]


def test_each_label_has_a_section_with_the_least_sure_first(tmp_path: Path) -> None:
    html = page(tmp_path, PHOTOS)
    assert shown(html) == {"cat": ["3.jpg", "4.jpg", "1.jpg"], "dog": ["2.jpg"], "Skipped": ["bad.jpg"]}
    assert re.findall(r'data-score="(.*?)"', html) == ["0.2", "0.5", "0.9", "0.4"]
    assert "4 photos have a label, most often cat (3); 1 could not be read." in html
    assert f"Least sure: cat, 0.200 ({tmp_path}/3.jpg)." in html
    assert f"Paths begin at {tmp_path}/." in html
    assert "<figcaption>not an image<small>bad.jpg</small>" in html


def test_the_table_counts_every_photo(tmp_path: Path) -> None:
    html = page(tmp_path, PHOTOS, most=2)
    rows = [re.findall(r"<td[^>]*>([^<]*)", row) for row in re.findall(r"<tr>.*?</tr>", html)[1:]]
    assert rows == [["cat", "3", "60.0%", "0.533"], ["dog", "1", "20.0%", "0.400"]]


def test_only_so_many_photos_are_shown_and_the_page_says_so(tmp_path: Path) -> None:
    html = page(tmp_path, PHOTOS, most=2)
    assert shown(html) == {"cat": ["3.jpg"], "dog": ["2.jpg"], "Skipped": ["bad.jpg"]}
    assert html.count("<img ") == 2
    assert "2 of 4 photos are shown; --report-images N sets how many." in html
    assert "the 1 least sure of 3; mean score 0.533" in html


def test_of_many_photos_the_least_sure_stay(tmp_path: Path) -> None:
    scores = [(7 * n % 40) / 40 for n in range(40)]
    html = page(tmp_path, [(f"{score:.3f}.jpg", "cat", score) for score in scores], most=3)
    assert shown(html) == {"cat": ["0.000.jpg", "0.025.jpg", "0.050.jpg"]}


@pytest.mark.parametrize(
    ("counts", "most", "shares"),
    [
        ([5, 1, 5], 100, [5, 1, 5]),
        ([5, 1, 5], 7, [3, 1, 3]),
        ([9, 9], 0, [0, 0]),
        ([3, 3, 3], 2, [0, 1, 1]),
        ([], 5, []),
    ],
)
def test_labels_share_the_places_evenly(counts: list[int], most: int, shares: list[int]) -> None:
    assert even_shares(counts, most=most) == shares


def test_thumbnails_are_small_and_loaded_when_they_are_seen(tmp_path: Path) -> None:
    html = page(tmp_path, PHOTOS[:1])
    [image] = re.findall(r"<img [^>]*>", html)
    assert 'loading="lazy"' in image
    assert 'src="data:image/jpeg;base64,' in image
    assert len(image) < 8_000


def test_a_photo_that_is_gone_by_now_is_shown_without_a_picture(tmp_path: Path) -> None:
    album = Album(str(tmp_path / "out.html"), most=9)
    album.add([Row("gone.jpg", ("cat",), (0.5,))], [ImageItem("gone.jpg", Reference("file", str(tmp_path / "gone")))])
    assert list(album.write()) == [ThumbnailsMade(1, 1)]
    html = (tmp_path / "out.html").read_text()
    assert "<img" not in html
    assert "gone.jpg" in html


def test_nothing_labelled_is_a_page_too(tmp_path: Path) -> None:
    html = page(tmp_path, [("bad.jpg", None, 0.0)])
    assert "0 photos have a label; 1 could not be read." in html
    assert shown(html) == {"Skipped": ["bad.jpg"]}


def test_hostile_labels_and_names_are_text(tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>\"'&"
    html = page(tmp_path, [(hostile.replace("/", "") + ".jpg", hostile, 0.5)])
    assert shown(html) == {hostile: [hostile + ".jpg"]}
    assert re.findall(r"<img (?!src=\"data:)", html) == []


def test_the_score_of_the_next_label_is_shown(tmp_path: Path) -> None:
    album = Album(str(tmp_path / "out.html"), most=9)
    row = Row("a.jpg", ("cat", "dog"), (0.51, 0.00042))
    album.add([row], [ImageItem("a.jpg", Reference("file", "a.jpg"))])
    list(album.write())
    assert "<figcaption>0.510; next dog 4.2e-04<small>a.jpg" in (tmp_path / "out.html").read_text()


def test_a_photo_of_several_labels_is_shown_with_each_and_those_without_together(tmp_path: Path) -> None:
    album = Album(str(tmp_path / "out.html"), most=100, several=True)
    for name, labels, scores in [
        ("1.jpg", ("cat", "dog"), (0.9, 0.6)),
        ("2.jpg", ("dog",), (0.8,)),
        ("3.jpg", (), ()),
    ]:
        Image.new("RGB", (40, 20), "navy").save(tmp_path / name, "JPEG")
        path = str(tmp_path / name)
        album.add([Row(path, labels, scores)], [ImageItem(path, Reference("file", path))])
    album.add([Row("bad.jpg", (), (), "not an image")], [ImageItem("bad.jpg", Reference("file", "bad.jpg"))])
    made = list(album.write())
    assert [event.total for event in made if isinstance(event, ThumbnailsMade)] == [3, 3, 3]
    html = (tmp_path / "out.html").read_text(encoding="utf-8")
    groups = {name: [Path(path).name for path in paths] for name, paths in shown(html).items()}
    assert groups == {"dog": ["1.jpg", "2.jpg"], "cat": ["1.jpg"], "No label": ["3.jpg"], "Skipped": ["bad.jpg"]}
    assert "2 photos have a label, most often dog (2); 1 has none; 1 could not be read." in html
    captions = re.findall("<figcaption>(.*?)<small>", html)
    assert captions == ["0.600; also cat", "0.800", "0.900; also dog", "none over its threshold", "not an image"]
    assert f"Least sure: dog, 0.600; also cat ({tmp_path}/1.jpg)." in html
