"""Classes get the groups that WordNet has for them, from a small WordNet made here in the form of the large one."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from clipcli.classes.given import read_classes
from clipcli.classes.labels import LabelledClass
from clipcli.classes.taxonomy import in_taxonomy
from clipcli.classes.wordnet import WordNet, find_wordnet
from clipcli.errors import BadFile, MissingExtra, UsageError
from clipcli.notices import Notices

# The nouns of each sense, what it is a kind of (or an instance of, with a `!`), and its meaning.
SENSES = {
    "entity": (["entity"], "", "that which is"),
    "physical": (["physical_entity"], "entity", "an entity that has physical existence"),
    "person": (["person", "somebody"], "physical", "a human being"),
    "animal": (["animal", "beast"], "physical", "a living organism"),
    "dog": (["dog", "domestic_dog"], "animal", "a member of the genus Canis"),
    "beagle": (["beagle"], "dog", "a small hound"),
    "husky": (["husky"], "dog", "a dog of the north"),
    "crane (bird)": (["crane"], "animal", "a large wading bird"),
    "pig": (["hog", "guinea_pig"], "animal", "a swine"),
    "greedy": (["hog"], "person", "a person who is greedy"),
    "vehicle": (["vehicle"], "physical", "a conveyance"),
    "truck": (["truck", "motortruck"], "vehicle", "a vehicle for hauling"),
    "bus": (["bus"], "vehicle", "a vehicle for many"),
    "tram": (["tram"], "vehicle", "a vehicle on rails"),
    "van": (["van"], "vehicle", "a closed vehicle"),
    "crane (machine)": (["crane"], "vehicle", "lifts and moves heavy objects"),
    "mouse": (["mouse"], "animal", "a small rodent"),
    "idea": (["idea", "hog"], "entity", "a thought"),
    "Crane": (["Crane"], "!person", "a writer"),
}
HEADER = "  1 WordNet 3.0 Copyright 2006 by Princeton University.  \n"


@pytest.fixture
def wordnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a made WordNet, which the environment names."""
    folder = tmp_path / "wordnet"
    folder.mkdir()
    offsets, lines = {}, {}
    # A line is as long with any offset, so the first pass finds the offsets and the second writes them.
    for _ in range(2):
        place = len(HEADER)
        for name, (nouns, above, meaning) in SENSES.items():
            kind, over = ("@i" if above.startswith("!") else "@"), offsets.get(above.strip("!"), 0)
            pointer = f"001 {kind} {over:08} n 0000" if above else "000"
            words = " ".join(f"{noun} 0" for noun in nouns)
            lines[name] = f"{offsets.get(name, 0):08} 03 n {len(nouns):02x} {words} {pointer} | {meaning}; more\n"
            offsets[name], place = place, place + len(lines[name])
    (folder / "data.noun").write_text(HEADER + "".join(lines.values()))
    by_noun: dict[str, list[str]] = {}
    # The most frequent sense of a hog is the greedy one, and of a crane the writer.
    for name in ("Crane", "greedy", *SENSES):
        for noun in SENSES[name][0]:
            by_noun.setdefault(noun.lower(), []).append(f"{offsets[name]:08}")
    entries = {noun: list(dict.fromkeys(found)) for noun, found in by_noun.items()}
    (folder / "index.noun").write_text(
        HEADER + "".join(f"{n} n {len(o)} 1 @ {len(o)} 0 {' '.join(o)}  \n" for n, o in sorted(entries.items()))
    )
    (folder / "noun.exc").write_text("mice mouse\n")
    monkeypatch.setenv("WNSEARCHDIR", str(folder))
    return folder


def grouped(*labels: str, notices: Notices | None = None) -> list[str]:
    classes = in_taxonomy([LabelledClass(label) for label in labels], notices or Notices())
    return ["/".join((*one.groups, one.label)) for one in classes]


def said_about(*labels: str) -> list[str]:
    notices = Notices()
    grouped(*labels, notices=notices)
    return [event.message for event in notices.events()]


@pytest.mark.usefixtures("wordnet")
def test_classes_stand_below_what_parts_them() -> None:
    assert grouped("beagle", "husky", "mouse", "truck", "bus") == [
        "animal/dog/beagle",
        "animal/dog/husky",
        "animal/mouse",
        "vehicle/truck",
        "vehicle/bus",
    ]
    # Groups that hold three quarters of all, or of the one around them, part hardly anything more.
    assert grouped("beagle", "husky", "truck", "bus") == ["dog/beagle", "dog/husky", "vehicle/truck", "vehicle/bus"]
    assert grouped("beagle", "husky", "mouse", "truck") == ["dog/beagle", "dog/husky", "mouse", "truck"]
    assert grouped("beagle", "husky", "dog", "truck")[:2] == ["domestic dog/beagle", "domestic dog/husky"]


@pytest.mark.usefixtures("wordnet")
def test_a_group_takes_a_name_that_no_class_has() -> None:
    assert grouped("dog", "beagle", "truck", "bus")[:2] == ["domestic dog/dog", "domestic dog/beagle"]
    assert grouped("dog", "domestic dog", "truck", "bus")[:2] == ["dog (any)/dog", "dog (any)/domestic dog"]
    assert grouped("Vehicle", "truck", "beagle", "husky")[0] == "vehicle (any)/Vehicle"


@pytest.mark.usefixtures("wordnet")
@pytest.mark.parametrize(
    ("plural", "group"), [("mice", "animal"), ("trucks", "vehicle"), ("buses", "vehicle"), ("Bus", "vehicle")]
)
def test_a_plural_is_found_by_its_singular(plural: str, group: str) -> None:
    found = grouped(plural, "hog", "beagle", "truck", "crane (any)", "vehicle")
    assert found[0].split("/")[0].startswith(group)


@pytest.mark.usefixtures("wordnet")
def test_a_word_means_what_goes_with_the_other_labels_and_no_person() -> None:
    assert grouped("crane", "beagle", "husky", "mouse", "truck", "bus")[0] == "animal/crane"
    assert grouped("crane", "truck", "tram", "bus", "vehicle", "van", "beagle", "husky")[0] == "vehicle (any)/crane"
    assert grouped("hog", "mouse", "truck", "bus")[0] == "animal/hog"
    assert said_about("crane", "beagle", "mouse", "truck", "bus") == [
        "1 label has several meanings in WordNet, 'crane' (a large wading bird): that nearest to the other labels was"
        " taken; where it is wrong, give labels that nest in a .yaml"
    ]


@pytest.mark.usefixtures("wordnet")
def test_what_wordnet_lacks_is_said_and_stands_below_the_root() -> None:
    labels = ("gizmo", "beagle", "husky", "truck", "red bus")
    assert grouped(*labels) == ["gizmo", "dog/beagle", "dog/husky", "vehicle/truck", "vehicle/red bus"]
    assert said_about(*labels) == [
        "1 label is not in WordNet, 'gizmo': they stand beside its groups, in none",
        "1 label is in WordNet by its last words alone, 'red bus' by 'bus': they stand below these",
    ]


def test_aliases_and_ids_of_imagenet_are_looked_up_too(wordnet: Path) -> None:
    machine = next(one for one in WordNet(wordnet).senses("crane") if one.meaning.startswith("lifts"))
    classes = [
        LabelledClass("lifter", aliases=(f"n{machine.offset}",)),
        LabelledClass("lorry", aliases=("truck",)),
        LabelledClass("beagle"),
        LabelledClass("husky"),
    ]
    assert [one.groups for one in in_taxonomy(classes, Notices())] == [("vehicle",), ("vehicle",), ("dog",), ("dog",)]
    # In another version the same offset would be another sense.
    data = (wordnet / "data.noun").read_text()
    (wordnet / "data.noun").write_text(data.replace("WordNet 3.0", "WordNet 3.1"))
    assert in_taxonomy(classes, Notices())[0].groups == ()


@pytest.mark.usefixtures("wordnet")
@pytest.mark.parametrize("labels", [("beagle", "husky"), ("gizmo", "gadget"), ("truck", "gizmo", "beagle")])
def test_labels_that_are_not_grouped_are_an_error(labels: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=rf"WordNet sets none of the labels '{labels[0]}'.* apart from the others"):
        grouped(*labels)


@pytest.mark.usefixtures("wordnet")
def test_labels_that_nest_are_in_groups_already() -> None:
    with pytest.raises(UsageError, match="the labels nest already; leave out --taxonomy"):
        read_classes({"hierarchy": {"dog": ["beagle"], "cat": ["tabby"]}}, Notices(), taxonomy="wordnet")


def test_senses_are_read_from_the_files(wordnet: Path) -> None:
    found = WordNet(wordnet)
    [beagle] = found.senses("Beagle")
    assert (beagle.nouns, beagle.meaning, beagle.is_instance) == (("beagle",), "a small hound", False)
    assert found.synset(beagle.above[0]).nouns == ("dog", "domestic dog")
    assert [one.meaning for one in found.senses("guinea pig")] == ["a swine"]
    assert found.senses("crane")[0].is_instance
    assert found.senses("") == found.senses("nothing") == []


def test_a_wordnet_of_two_versions_is_an_error(wordnet: Path) -> None:
    (wordnet / "data.noun").write_text("x" + (wordnet / "data.noun").read_text())
    with pytest.raises(BadFile, match=r"data\.noun: no sense at \d{8}; index\.noun and data\.noun are of two versions"):
        WordNet(wordnet).senses("beagle")


def test_where_it_is_not_installed_the_error_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WNSEARCHDIR", str(tmp_path))
    with pytest.raises(MissingExtra) as raised:
        find_wordnet()
    assert str(raised.value) == (
        "--taxonomy wordnet needs WordNet, which is not on this machine; install it with apt install wordnet-base, or"
        " with pip install nltk and python -m nltk.downloader wordnet, or name the folder of data.noun in WNSEARCHDIR"
    )


def test_nltk_keeps_it_in_its_own_folder(wordnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "corpora").mkdir()
    wordnet.rename(tmp_path / "corpora" / "wordnet")
    monkeypatch.delenv("WNSEARCHDIR")
    monkeypatch.setattr("clipcli.classes.wordnet._PLACES", ())
    monkeypatch.setenv("NLTK_DATA", str(tmp_path))
    assert find_wordnet().folder == tmp_path / "corpora" / "wordnet"


def test_nltk_keeps_it_in_a_zip(wordnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "corpora").mkdir()
    with zipfile.ZipFile(tmp_path / "corpora" / "wordnet.zip", "w") as archive:
        for file in wordnet.iterdir():
            archive.write(file, f"wordnet/{file.name}")
    monkeypatch.delenv("WNSEARCHDIR")
    monkeypatch.setattr("clipcli.classes.wordnet._PLACES", ())
    monkeypatch.setenv("NLTK_DATA", str(tmp_path))
    assert [one.nouns for one in find_wordnet().senses("beagle")] == [("beagle",)]


def test_debians_wordnet_is_read() -> None:
    try:
        wordnet = find_wordnet()
    except MissingExtra as e:
        pytest.skip(f"no WordNet: {e}")
    assert wordnet.senses("beagle")[0].nouns == ("beagle",)
