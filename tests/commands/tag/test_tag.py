"""Labels become keywords in sidecars: which of them, in which file, and back again."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

import clipcli
from clipcli.actions import replace
from clipcli.actions.failed import Failed
from clipcli.actions.journal import Journal
from clipcli.actions.keywords import Wanted, tagged
from clipcli.actions.labelled import read_labelled
from clipcli.actions.replace import Keeper
from clipcli.actions.xmp import LISTS, own_of, read_packet
from clipcli.commands.tag.changes import Change, changes_of_sidecars
from clipcli.commands.tag.photos import photos_of
from clipcli.commands.tag.settings import TagSettings
from clipcli.errors import ClipcliWarning, InputNotFound, OutputFailed, UsageError
from clipcli.notices import Notices

from .conftest import FINISHED, LONG_AGO, Predict, files_below, sidecar_keywords

MINE = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">
   <dc:subject><rdf:Bag><rdf:li>mine</rdf:li></rdf:Bag></dc:subject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""
GROUPS = [("animal", "dog", "beagle"), ("animal", "dog", "husky"), ("animal", "cat"), ("car",)]


def tag(**settings: Any) -> clipcli.Tagged:
    return clipcli.tag("predictions.csv", **settings)


def test_a_plan_writes_nothing(predict: Predict) -> None:
    predict({"photos/a.jpg": ["dog"], "photos/b.jpg": ["cat"]})
    before = files_below("photos")
    plan = tag()
    assert [(change.file, change.kind, change.labels) for change in plan.changes] == [
        ("photos/a.jpg.xmp", "new", ("dog",)),
        ("photos/b.jpg.xmp", "new", ("cat",)),
    ]
    assert (plan.left, plan.journal) == (0, None)
    assert files_below("photos") == before
    assert sorted(os.listdir()) == ["photos", "predictions.csv"]


def test_labels_become_keywords_once(predict: Predict) -> None:
    predict({"photos/a.jpg": ["beagle"], "photos/b.jpg": ["car"]}, classes=GROUPS)
    done = tag(apply=True)
    assert done.counts == {"new": 2}
    assert sidecar_keywords("photos/a.jpg.xmp") == ("beagle", "dog", "animal")
    packet = read_packet(Path("photos/a.jpg.xmp").read_bytes())
    assert packet.listed(LISTS["lr:hierarchicalSubject"].key) == ("animal|dog|beagle",)
    assert packet.listed(LISTS["digiKam:TagsList"].key) == ("animal/dog/beagle",)
    own = own_of(packet)
    assert own is not None
    assert (own.model, own.date, own.labels, own.scores) == ("tiny-model", FINISHED, ("beagle",), ("0.9",))
    assert sidecar_keywords("photos/b.jpg.xmp") == ("car",)
    assert read_packet(Path("photos/b.jpg.xmp").read_bytes()).listed(LISTS["lr:hierarchicalSubject"].key) is None
    before = files_below("photos")
    again = tag(apply=True)
    assert (again.counts, again.journal) == ({"same": 2}, None)
    assert files_below("photos") == before


def test_undo_brings_all_back_with_times(predict: Predict) -> None:
    predict({"photos/a.jpg": ["dog"], "photos/b.jpg": ["cat"], "photos/c.jpg": ["dog"]})
    Path("photos/b.xmp").write_bytes(MINE)
    Path("photos/c.jpg.xmp").write_bytes(tagged(None, Wanted(paths=(("x",),), scores=("1",), model=None, date=None)))
    os.utime("photos/b.xmp", (LONG_AGO, LONG_AGO))
    before = files_below("photos")
    first = tag(apply=True)
    assert first.counts == {"new": 1, "changed": 2}
    tagged_files = files_below("photos")
    second = tag(untag=True, apply=True)
    assert second.counts == {"removed": 2, "changed": 1}
    assert sorted(files_below("photos")) == ["a.jpg", "b.jpg", "b.xmp", "c.jpg"]
    for done, files in ((second, tagged_files), (first, before)):
        assert done.journal is not None
        undone = clipcli.undo(done.journal)
        assert (sum(undone.undone.values()), undone.left) == (3, ())
        assert files_below("photos") == files


def test_undo_leaves_what_was_changed_since(predict: Predict) -> None:
    predict({"photos/a.jpg": ["dog"], "photos/b.jpg": ["cat"]})
    Path("photos/b.xmp").write_bytes(MINE)
    done = tag(apply=True)
    for name in ("a.jpg.xmp", "b.xmp"):
        path = Path("photos", name)
        path.write_bytes(path.read_bytes() + b"\n")
    before = files_below("photos")
    assert done.journal is not None
    assert [one.left for one in clipcli.undo(done.journal).left] == ["it was changed since"] * 2
    assert files_below("photos") == before


def test_relabelled_photos_lose_the_old_keywords_alone(predict: Predict) -> None:
    Path("photos").mkdir()
    predict({"photos/a.jpg": ["beagle"], "photos/b.jpg": ["car"], "photos/c.jpg": ["car"]}, classes=GROUPS)
    Path("photos/b.xmp").write_bytes(MINE)
    tag(apply=True)
    assert sidecar_keywords("photos/b.xmp") == ("mine", "car")
    # c has no label any more: its sidecar was made for the old one alone.
    predict({"photos/a.jpg": ["car"], "photos/b.jpg": ["cat"], "photos/c.jpg": []}, classes=GROUPS)
    done = tag(apply=True)
    assert done.counts == {"changed": 2, "removed": 1}
    assert sidecar_keywords("photos/a.jpg.xmp") == ("car",)
    assert sidecar_keywords("photos/b.xmp") == ("mine", "cat", "animal")
    assert not Path("photos/c.jpg.xmp").exists()


@pytest.mark.parametrize(
    ("naming", "there", "taken"),
    [
        ("auto", [], "a.jpg.xmp"),
        ("auto", ["a.xmp"], "a.xmp"),
        ("auto", ["a.XMP"], "a.XMP"),
        ("auto", ["a.jpg.xmp"], "a.jpg.xmp"),
        ("auto", ["a.xmp", "a.jpg.xmp"], "a.jpg.xmp"),
        # Lightroom's sidecar of the RAW.
        ("auto", ["a.xmp", "a.CR2"], "a.jpg.xmp"),
        ("stem", ["a.jpg.xmp"], "a.xmp"),
        ("stem", ["a.xmp", "a.CR2"], "a.xmp"),
        ("full", ["a.xmp"], "a.jpg.xmp"),
    ],
)
def test_which_sidecar_is_taken(predict: Predict, naming: str, there: list[str], taken: str) -> None:
    predict({"photos/a.jpg": ["dog"]})
    for name in there:
        Path("photos", name).write_bytes(MINE)
    before = files_below("photos")
    done = tag(sidecars=naming, apply=True)
    assert [change.file for change in done.changes] == [f"photos/{taken}"]
    after = files_below("photos")
    assert {name for name in after if after[name] != before.get(name)} == {taken}
    assert "dog" in (sidecar_keywords(f"photos/{taken}") or ())
    # Wherever they are, they are found again.
    tag(untag=True, sidecars=naming, apply=True)
    assert {name: data for name, (data, _) in files_below("photos").items()} == {
        name: data for name, (data, _) in before.items()
    }


def test_two_photos_do_not_share_a_sidecar_in_silence(predict: Predict) -> None:
    predict({"photos/a.jpg": ["dog"], "photos/a.png": ["cat"]})
    done = tag(sidecars="stem", apply=True)
    assert done.counts == {"new": 1}
    assert done.failed == (Failed("photos/a.png", "photos/a.jpg has the same sidecar; give --sidecars full"),)
    assert sidecar_keywords("photos/a.xmp") == ("dog",)
    done = tag(apply=True)
    assert done.counts == {"new": 2}


def test_labels_are_chosen(predict: Predict) -> None:
    predict({"photos/a.jpg": ["beagle", "car", "cat"]}, classes=GROUPS)
    for settings, keywords in (
        ({}, ("beagle", "dog", "animal")),
        ({"top_k": 2}, ("beagle", "dog", "animal", "car")),
        ({"top_k": 3, "min_score": 0.05}, ("beagle", "dog", "animal", "car")),
        ({"top_k": 3, "under": "auto/ml"}, ("beagle", "dog", "animal", "ml", "auto", "car", "cat")),
        ({"min_score": 0.95}, None),
    ):
        tag(apply=True, **settings)
        assert sidecar_keywords("photos/a.jpg.xmp") == keywords


def test_all_labels_of_a_photo_that_has_several(predict: Predict) -> None:
    predict({"photos/a.jpg": ["dog", "car"], "photos/b.jpg": []}, several=True, classes=[("dog",), ("car",)])
    done = tag(apply=True)
    assert [change.labels for change in done.changes] == [("dog", "car")]
    assert sidecar_keywords("photos/a.jpg.xmp") == ("dog", "car")
    tag(apply=True, top_k=1)
    assert sidecar_keywords("photos/a.jpg.xmp") == ("dog",)


def test_an_unknown_photo_gets_no_keyword(predict: Predict) -> None:
    rows = {"photos/a.jpg": ["nothing", "dog"], "photos/b.jpg": ["dog", "cat"], "photos/c.jpg": ["unknown", "dog"]}
    predict(rows, classes=[("dog",), ("cat",), ("unknown",)], unknown=True, unknown_label="nothing")
    assert [change.file for change in tag(top_k=2).changes] == ["photos/b.jpg.xmp", "photos/c.jpg.xmp"]
    # Without a manifest it goes by the usual name.
    Path("predictions.csv.json").unlink()
    assert [change.file for change in tag(top_k=2).changes] == ["photos/a.jpg.xmp", "photos/b.jpg.xmp"]


def test_a_corrected_label_has_its_own_groups(predict: Predict) -> None:
    predict({"photos/a.jpg": ["husky"]}, classes=GROUPS)
    text = "path,label,score,label_path,error\nphotos/a.jpg,cat,0.9,animal/dog/husky,\n"
    Path("predictions.csv").write_text(text)
    tag(apply=True)
    assert sidecar_keywords("photos/a.jpg.xmp") == ("cat", "animal")
    # A row's own path counts where no manifest has the groups.
    Path("predictions.csv.json").unlink()
    Path("predictions.csv").write_text(text.replace("cat", "husky"))
    tag(apply=True)
    assert sidecar_keywords("photos/a.jpg.xmp") == ("husky", "dog", "animal")


def test_a_label_of_a_person_is_no_model_s(predict: Predict) -> None:
    predict({"photos/a.jpg": ["cat"]}, classes=GROUPS)
    Path("predictions.csv").write_text("path,source,label,score,error\nphotos/a.jpg,person,cat,1,\n")
    tag(apply=True)
    own = own_of(read_packet(Path("photos/a.jpg.xmp").read_bytes()))
    assert own is not None
    assert (own.labels, own.scores, own.model) == (("cat",), ("1",), None)


def test_what_cannot_be_tagged_is_counted(predict: Predict) -> None:
    predict({"photos/a.jpg": ["dog"], "photos/gone.jpg": ["dog"], "photos/b.jpg": ["dog"], "photos/c.jpg": ["dog"]})
    Path("photos/gone.jpg").unlink()
    Path("photos/b.jpg.xmp").write_bytes(b"no XMP")
    Path("photos/c.jpg.xmp").write_bytes(b"<!DOCTYPE x><x/>")
    with zipfile.ZipFile("z.zip", "w") as archive:
        archive.write("photos/a.jpg", "z.jpg")
    with open("predictions.csv", "a") as file:
        file.write("z.zip/z.jpg,dog,0.9,\nphotos/bad.jpg,,,truncated\nphotos/a.jpg,cat,0.9,\n")
    before = files_below("photos")
    with pytest.warns(ClipcliWarning) as said:
        done = tag(apply=True)
    assert (done.counts, done.left) == ({"new": 1}, 3)
    assert done.failed == (
        Failed("photos/b.jpg.xmp", "broken XML: syntax error, line 1"),
        Failed("photos/c.jpg.xmp", "a DOCTYPE in it, which XMP does not have"),
    )
    assert {name: file for name, file in files_below("photos").items() if name != "a.jpg.xmp"} == before
    assert sidecar_keywords("photos/a.jpg.xmp") == ("dog",)
    assert sorted(str(one.message) for one in said) == [
        "1 image has vanished since it was labelled, photos/gone.jpg: left out; if they only lie elsewhere, paths are"
        " looked up beside the predictions and from the working folder",
        "1 photo is in a zip or a shard, z.zip/z.jpg: left alone; only files are tagged",
        "1 row is of an image again, photos/a.jpg: the first row of each image counts",
    ]


def test_a_photo_that_changed_since_is_told(predict: Predict) -> None:
    predict({"photos/a.jpg": ["dog"], "photos/b.jpg": ["dog"]}, classes=[("dog",)])
    os.utime("photos/b.jpg")
    with pytest.warns(ClipcliWarning, match=r"1 image has changed since it was labelled, photos/b.jpg: "):
        assert tag().counts == {"new": 2}


def test_photos_that_are_all_elsewhere_are_an_error(predict: Predict, monkeypatch: pytest.MonkeyPatch) -> None:
    predict({"photos/a.jpg": ["dog"]})
    Path("photos").rename("pictures")
    with pytest.raises(InputNotFound, match=r"none of the 1 images is there, such as photos/a.jpg; "):
        tag()
    Path("other").mkdir()
    Path("pictures").rename("photos")
    monkeypatch.chdir("other")
    assert clipcli.tag("../predictions.csv", apply=True).counts == {"new": 1}
    assert Path("../photos/a.jpg.xmp").exists()


def test_labels_that_are_no_keywords_as_they_are(predict: Predict) -> None:
    predict({"photos/a.jpg": ["a/c unit"], "photos/b.jpg": ["two\nlines"]})
    tag(apply=True, under="auto")
    assert sidecar_keywords("photos/a.jpg.xmp") == ("a/c unit", "auto")
    packet = read_packet(Path("photos/a.jpg.xmp").read_bytes())
    assert packet.listed(LISTS["digiKam:TagsList"].key) == ("auto/a-c unit",)
    assert packet.listed(LISTS["lr:hierarchicalSubject"].key) == ("auto|a/c unit",)
    assert sidecar_keywords("photos/b.jpg.xmp") == ("two lines", "auto")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"untag": True, "top_k": 2},
            "untag=True takes out all that was written before, whatever its label; drop top_k",
        ),
        ({"under": "a//b"}, "under='a//b' is no group; write names with a / between them, as in auto/photos"),
        ({"sidecars": "other"}, "unknown sidecars 'other'; choose one of: auto, full, stem"),
    ],
)
def test_settings_that_do_not_fit(predict: Predict, settings: dict[str, Any], message: str) -> None:
    predict({"photos/a.jpg": ["dog"]})
    with pytest.raises(UsageError) as error:
        tag(**settings)
    assert str(error.value) == message


def test_names_of_any_kind(predict: Predict) -> None:
    names = ["photos/-a b&c'.jpg", "photos/größe 猫.jpg", "photos/no suffix.JPEG"]
    predict({name: ["dog"] for name in names})
    done = tag(apply=True)
    assert [change.file for change in done.changes] == [f"{name}.xmp" for name in names]
    assert done.journal is not None
    clipcli.undo(done.journal)
    assert sorted(files_below("photos")) == sorted(name[7:] for name in names)


def test_a_disk_that_is_full_ends_it_and_can_be_undone(predict: Predict, monkeypatch: pytest.MonkeyPatch) -> None:
    predict({f"photos/{n}.jpg": ["dog"] for n in range(4)})
    before = files_below("photos")
    write = replace.write_file

    def full(data: bytes, target: str, *, part: str) -> None:
        if target.endswith("2.jpg.xmp"):
            raise OSError(28, "No space left on device")
        write(data, target, part=part)

    monkeypatch.setattr(replace, "write_file", full)
    with pytest.raises(OutputFailed, match=r"cannot write photos/2.jpg.xmp: No space left on device; "):
        tag(apply=True)
    assert len(files_below("photos")) == 6
    [journal] = Path().glob("clipcli-journal-*.jsonl")
    clipcli.undo(journal)
    assert files_below("photos") == before


def test_a_sidecar_that_changes_meanwhile_is_left(predict: Predict) -> None:
    predict({"photos/a.jpg": ["dog"]})
    Path("photos/a.xmp").write_bytes(MINE)
    photos, _ = photos_of(read_labelled("predictions.csv", Notices()), TagSettings("predictions.csv"), Notices())
    [change] = changes_of_sidecars(photos, "auto", Notices())
    assert isinstance(change, Change)
    Path("photos/a.xmp").write_bytes(MINE + b" ")
    with Journal.create(Path(), command="tag") as journal, pytest.raises(OSError, match="changed meanwhile"):
        change.apply(Keeper(journal))
    assert Path("photos/a.xmp").read_bytes() == MINE + b" "


def test_a_link_stays_a_link(predict: Predict) -> None:
    predict({"photos/a.jpg": ["dog"]})
    Path("real.xmp").write_bytes(MINE)
    Path("photos/a.xmp").symlink_to("../real.xmp")
    done = tag(apply=True)
    assert Path("photos/a.xmp").is_symlink()
    assert sidecar_keywords("real.xmp") == ("mine", "dog")
    assert done.journal is not None
    clipcli.undo(done.journal)
    assert Path("real.xmp").read_bytes() == MINE
