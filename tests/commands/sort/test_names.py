"""Names that every file system takes, and folders that no label leads out of."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from clipcli.commands.sort.names import CHANGED, SAME_FOLDER, Folders, numbered, safe_name
from clipcli.notices import Notices


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("cat", "cat"),
        ("IMG 1.final.jpg", "IMG 1.final.jpg"),
        ('a<b>c:d"e/f\\g|h?i*j', "a_b_c_d_e_f_g_h_i_j"),
        ("tab\there", "tab_here"),
        ("con", "con_"),
        ("CON.jpg", "CON_.jpg"),
        ("lpt1.tar.gz", "lpt1_.tar.gz"),
        ("COM¹", "COM¹_"),
        ("aux .txt", "aux_ .txt"),
        ("console", "console"),
        ("com10", "com10"),
        ("etc...", "etc"),
        ("end. ", "end"),
        ("..", "_"),
        ("", "_"),
        ("ж" * 200 + ".jpg", "ж" * 125 + ".jpg"),
        ("x" * 300, "x" * 255),
        ("a. " + "x" * 300, ("a. " + "x" * 300)[:255]),
        ("\udcff.jpg", "\udcff.jpg"),
    ],
)
def test_a_name_is_made_safe(name: str, safe: str) -> None:
    assert safe_name(name) == safe
    assert len(os.fsencode(safe)) <= 255


def test_a_number_stands_before_the_suffix() -> None:
    assert [numbered("IMG.jpg", n) for n in (1, 2, 13)] == ["IMG.jpg", "IMG-2.jpg", "IMG-13.jpg"]
    assert numbered("x" * 251 + ".jpg", 22) == "x" * 248 + "-22.jpg"
    assert numbered("noted", 2) == "noted-2"


@pytest.mark.parametrize("label", ["../x", "a/b", "/etc", "..", ".", "~", "a\\b", "\0", " ", "../../../..", "C:\\x"])
def test_no_label_leads_out(tmp_path: Path, label: str) -> None:
    folder = Path(Folders(str(tmp_path), Notices()).at((label,)))
    assert folder.parent == tmp_path
    assert folder.resolve() == folder
    assert not folder.name.startswith(".")


def test_each_label_has_a_folder_of_its_own(tmp_path: Path) -> None:
    notices = Notices()
    folders = Folders(str(tmp_path), notices)
    labels = ["a/b", "a_b", "a\\b", "Cat", "cat", "x" * 120, "x" * 130]
    names = [os.path.basename(folders.at((label,))) for label in labels]
    assert names == ["a_b", "a_b-2", "a_b-3", "Cat", "cat-2", "x" * 100, "x" * 100 + "-2"]
    assert [os.path.basename(folders.at((label,))) for label in labels] == names
    assert str(notices.take(CHANGED)).startswith(
        "4 names are not ones that every file system takes, such as 'a/b', whi"
    )
    assert str(notices.take(SAME_FOLDER)).startswith(
        "4 labels would have the folders of others, such as 'a_b', which is"
    )
    # Two ways to write the same letter are one label.
    accents = [folders.at((unicodedata.normalize(form, "café"),)) for form in ("NFC", "NFD")]
    assert accents[0] == accents[1]


def test_folders_that_are_there_are_taken_as_they_are_spelt(tmp_path: Path) -> None:
    (tmp_path / "Dog" / "2024").mkdir(parents=True)
    (tmp_path / "cat").write_text("a file")
    folders = Folders(str(tmp_path), Notices())
    assert folders.at(("dog", "2024")) == str(tmp_path / "Dog" / "2024")
    assert folders.at(("cat",)) == str(tmp_path / "cat-2")
