"""Names of classes that are no plain words, and folders that are no classes."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_data import jpeg

import clipcli
from clipcli.classes.labels import LabelledClass
from clipcli.classes.prompts import read_prompted_classes
from clipcli.classes.words import as_words, in_words
from clipcli.data.class_names import matched
from clipcli.data.pairs import PairOptions, read_pairs
from clipcli.data.tree import Data
from clipcli.errors import UsageError
from clipcli.notices import Notices


def make(root: Path, *paths: str) -> str:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(jpeg())
    return str(root)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["hot_dog", "cat"], ["hot dog", "cat"]),
        (["001.hot_dog", "002.cat"], ["hot dog", "cat"]),
        (["n02085620-hot_dog", "n02085782-Japanese_spaniel"], ["hot dog", "Japanese spaniel"]),
        (["10_hot_dog", "5_cat"], ["hot dog", "cat"]),
        (["HotDog", "Cat", "RedFox"], ["Hot Dog", "Cat", "Red Fox"]),
        (["hotDog", "cat"], ["hot Dog", "cat"]),
        (["hot.dog", "St. Bernard"], ["hot dog", "St. Bernard"]),
        (["_hot__dog_"], ["hot dog"]),
        # These are words as they are.
        (["3_wheeler", "4_wheeler"], ["3 wheeler", "4 wheeler"]),
        (["7 up", "8 ball"], ["7 up", "8 ball"]),
        (["iPhone", "MacBook", "Galaxy"], ["iPhone", "MacBook", "Galaxy"]),
        (["MacDonald", "Cat"], ["MacDonald", "Cat"]),
        (["T-shirt", "dress"], ["T-shirt", "dress"]),
        (["BMW", "VW"], ["BMW", "VW"]),
        (["2 CV", "10_ton truck"], ["2 CV", "10 ton truck"]),
        (["0", "1"], ["0", "1"]),
        (["_", "a"], ["_", "a"]),
        (["n01440764", "n01443537"], ["n01440764", "n01443537"]),
    ],
)
def test_names_become_words(names: list[str], words: list[str]) -> None:
    assert as_words(names) == dict(zip(names, words, strict=True))


def test_prompts_say_the_words_and_rows_the_label(tmp_path: Path) -> None:
    notices = Notices()
    made = read_prompted_classes(["hot_dog", "cat"], "a photo of a {}.", notices)
    assert made.prompts() == [("a photo of a hot dog.",), ("a photo of a cat.",)]
    assert [event.message for event in notices.events()] == [
        "1 name was turned into words, 'hot_dog' into 'hot dog': for prompts alone; --keep-names leaves names as they"
        " are"
    ]
    photos = make(tmp_path, "a.jpg")
    [row] = clipcli.classify(photos, labels=["hot_dog"], model="tiny", cache=False)
    assert row.labels == ("hot_dog",)


def test_names_may_be_kept() -> None:
    notices = Notices()
    made = read_prompted_classes(["hot_dog"], "a {}.", notices, keep_names=True)
    assert (made.prompts(), list(notices.events())) == ([("a hot_dog.",)], [])


def test_aliases_become_words_too() -> None:
    [made] = in_words([LabelledClass("hot_dog", aliases=("frank_furter",))], Notices(), keep_names=False)
    assert (made.label, made.names) == ("hot_dog", ("hot dog", "frank furter"))


@pytest.mark.parametrize(
    "folders", [("001.hot_dog", "002.cat"), ("HotDog", "Cat"), ("n02085620-hot_dog", "n02123045-cat")]
)
def test_labels_fit_folders_by_their_words(folders: tuple[str, str]) -> None:
    classes = in_words([LabelledClass("hot dog"), LabelledClass("cat")], Notices(), keep_names=False)
    assert [one.label for one in matched(folders, classes, where="data").values()] == ["hot dog", "cat"]


@pytest.mark.parametrize("written", ["hot_dog", "hot dog"])
def test_scores_are_the_same_however_a_label_is_written(written: str, tmp_path: Path) -> None:
    """67.9 % of labels were right with spaces in label files, and 51.9 % with `_`."""
    photos = make(tmp_path, "a.jpg")
    [row] = clipcli.classify(photos, labels=[written, "cat"], model="tiny", cache=False, score="cosine", top_k=2)
    [plain] = clipcli.classify(photos, labels=["hot dog", "cat"], model="tiny", cache=False, score="cosine", top_k=2)
    assert row.scores == plain.scores


SPLITS = ("train/cat/1.jpg", "train/dog/1.jpg", "val/cat/1.jpg", "val/dog/1.jpg")


def test_training_does_not_take_splits_for_classes(tmp_path: Path) -> None:
    """datasets#4015: "a photo of a train." is learned, from the validation photos too."""
    pets = make(tmp_path / "pets", *SPLITS)
    with pytest.raises(UsageError, match=r"two folders deep, below 'train', 'val'; did you mean \S*pets/train\?"):
        read_pairs(Data(pets), options=PairOptions(("a {}",)))
    with pytest.raises(UsageError, match=r"two folders deep, below 'train', 'val'; did you mean \S*pets/val\?"):
        clipcli.evaluate(pets, model="tiny")


@pytest.mark.parametrize("folders", [("train", "val"), ("train2017", "val2017"), ("Training", "Testing")])
@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_captions_of_several_splits_are_not_mixed(folders: tuple[str, str], command: str, tmp_path: Path) -> None:
    data = make(tmp_path, *(f"{folder}/{n}.jpg" for folder in folders for n in range(2)))
    for image in tmp_path.rglob("*.jpg"):
        image.with_suffix(".txt").write_text(str(image))
    call = {
        "train": lambda: clipcli.train(data, output=tmp_path / "run", model="tiny"),
        "evaluate": lambda: clipcli.evaluate(data, model="tiny"),
    }[command]
    with pytest.raises(UsageError, match=rf"holds several splits, .*; give one of them, as in \S*/{folders[0]}"):
        call()


def test_metadata_of_several_splits_is_not_mixed(tmp_path: Path) -> None:
    data = make(tmp_path, "train/1.jpg", "test/1.jpg")
    for split in ("train", "test"):
        (tmp_path / split / "metadata.csv").write_text("file_name,text\n1.jpg,a cat\n")
    with pytest.raises(UsageError, match="holds several splits, 'test', 'train'"):
        read_pairs(Data(data), options=PairOptions(("a {}",)))


def test_classes_that_are_called_like_a_split_are_classes(tmp_path: Path) -> None:
    data = make(tmp_path, "train/1.jpg", "car/1.jpg")
    read = read_pairs(Data(data), options=PairOptions(("a {}",)))
    assert [pair.label for pair in read.pairs] == ["car", "train"]
