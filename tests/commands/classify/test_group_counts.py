"""Images are counted by the groups of their labels, which the summary shows indented."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from clipcli.cli.group_summary import group_table
from clipcli.commands.classify.group_counts import GroupCount, GroupCounts
from clipcli.records import Row

NODES = (("animal",), ("animal", "dog"), ("animal", "cat"), ("AC/DC",), ("empty",))


def rows(*labels: tuple[str, float]) -> list[Row]:
    return [Row("a.jpg", (path.split("/")[-1],), (score,), label_path=path) for path, score in labels]


def counted(*, at: float | None = None) -> GroupCounts:
    counts = GroupCounts(NODES, at=at)
    counts.add(rows(("animal/dog/beagle", 0.9), ("animal/dog", 0.8), ("animal", 0.8), (r"AC\/DC/song", 0.9)))
    counts.add([*rows(("animal", 0.3), ("sky", 0.9)), Row("x.jpg", (), (), "truncated")])
    return counts


def test_a_group_has_the_images_of_all_that_is_in_it() -> None:
    assert counted().counts() == [
        GroupCount(("animal",), 4, 2),
        GroupCount(("animal", "dog"), 2, 1),
        GroupCount(("AC/DC",), 1, 0),
    ]
    assert GroupCounts().counts() == []


def test_what_backing_off_did_is_said_in_words() -> None:
    assert counted().sentences() == []
    assert counted(at=0.8).sentences() == [
        "3 of 6 images have a group as label, as no class reaches 0.8.",
        "Of 1 image no group reaches it: the label is the outermost one, and its score lower.",
    ]
    counts = GroupCounts(NODES, at=0.2)
    counts.add(rows(("animal/dog/beagle", 0.3)))
    assert counts.sentences() == ["Each label is a class, and none a group: back off at more than 0.2 for groups."]


def test_groups_are_indented_below_those_around_them() -> None:
    assert [line.plain for line in group_table(counted(), 7, None)] == [
        " group   images   share  itself",
        " animal       4  57.1 %       2",
        "   dog        2  28.6 %       1",
        " AC/DC        1  14.3 %",
    ]
    assert list(group_table(GroupCounts(), 7, None)) == []


@pytest.mark.parametrize("width", [40, 80])
def test_many_groups_fit_the_terminal(width: int) -> None:
    nodes = tuple((f"a long name of a group {n}", "写真" * 20) for n in range(30))
    counts = GroupCounts(tuple(path[:n] for path in nodes for n in (1, 2)), at=0.5)
    counts.add(rows(*[("/".join(path), 0.4) for path in nodes[:25]]))
    lines = [line.plain for line in group_table(counts, 25, width)]
    assert all(cell_len(line) <= width for line in lines)
    assert any(line.startswith(" … and 30 smaller groups") for line in lines)
