"""The steps by which the bundled model learns, each on a little of what it learns from."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from places import ROOT

# Lines as WordNet has them: offset, file, kind, number of nouns (hexadecimal), nouns, pointers, what it means.
DATA = """\
  1 This is the licence of the file.
00000001 03 n 01 thing 0 000 | what there is
00000002 05 n 02 bird 0 fowl 1 001 @ 00000001 n 0000 | animals with feathers; "birds sing"
00000003 05 n 01 ostrich 0 002 @ 00000002 n 0000 + 00000009 v 0101 | a large bird that runs
00000004 05 n 01 emu 0 001 @ 00000002 n 0000 | a large bird of Australia
00000005 06 n 01 cup 0 001 @ 00000001 n 0000 | a vessel to drink from
00000006 18 n 01 fowler 0 001 @ 00000001 n 0000 | who hunts birds
"""
INDEX = """\
  1 This is the licence of the file.
bird n 1 1 @ 1 1 00000002
fowl n 1 1 @ 1 0 00000002
ostrich n 1 2 @ + 1 0 00000003
emu n 1 1 @ 1 0 00000004
cup n 2 1 @ 2 1 00000005 00000001
fowler n 1 1 @ 1 0 00000006
goose n 1 1 @ 1 0 00000002
cock n 2 1 @ 2 1 00000006 00000003
"""


@pytest.fixture(scope="module", autouse=True)
def folder() -> Iterator[None]:
    """The scripts import each other as they do when they are run."""
    path = str(ROOT / "examples" / "pretrain-tiny")
    sys.path.insert(0, path)
    yield
    sys.path.remove(path)
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and str(getattr(module, "__file__", None)).startswith(path):
            del sys.modules[name]


@pytest.fixture
def wordnet(tmp_path: Path):  # type: ignore[no-untyped-def]
    from wordnet import WordNet

    (tmp_path / "data.noun").write_text(DATA)
    (tmp_path / "index.noun").write_text(INDEX)
    (tmp_path / "noun.exc").write_text("geese goose\n")
    return WordNet(tmp_path)


def test_wordnet_has_senses_by_singulars_and_what_is_above(wordnet) -> None:  # type: ignore[no-untyped-def]
    assert wordnet.senses("Cup") == ["00000005", "00000001"]
    assert wordnet.senses("birds") == wordnet.senses("geese") == ["00000002"]
    assert wordnet.senses("dinosaur") == []
    assert list(wordnet.upwards("00000003")) == [["00000003"], ["00000002"], ["00000001"]]
    assert str(wordnet.synsets["00000002"]) == "bird, fowl: animals with feathers"
    assert [wordnet.synsets[n].is_person for n in ("00000005", "00000006")] == [False, True]
    assert wordnet.nouns() == ["thing", "bird", "fowl", "ostrich", "emu", "cup", "fowler"]


def test_a_noun_looks_like_the_classes_that_wordnet_and_minilm_have_near_it(wordnet) -> None:  # type: ignore[no-untyped-def]
    from collect import classes_below
    from nouns import Nouns

    classes = ["00000003", "00000005"]
    below = classes_below(wordnet, classes)
    assert below["00000002"] == {0}
    assert below["00000001"] == {0, 1}
    # An emu's meaning is as near to a cup's as to an ostrich's; they are birds.
    meanings = {synset: np.eye(384, dtype=np.float32)[int(synset)] for synset in wordnet.synsets}
    emu = 0.5 * meanings["00000003"] + 0.5 * meanings["00000005"] + 0.2 * meanings["00000004"]
    meanings["00000004"] = emu / np.linalg.norm(emu)
    nouns = Nouns(wordnet, meanings, classes, below)
    found = nouns.of_noun("emu", meanings["00000004"])
    assert found is not None
    assert found.shares[0] > 0.9
    assert found.known == 1
    bird = nouns.of_noun("birds", meanings["00000002"])
    assert bird is not None
    assert bird.shares.tolist() == [1, 0]
    assert nouns.of_class(1).shares.tolist() == [0, 1]
    person = nouns.of_noun("fowler", meanings["00000006"])
    assert person is not None
    assert person.known == 0
    both = nouns.of_noun("cock", meanings["00000003"])
    assert both is not None
    assert both.known > 0.8
    assert both.shares.tolist() == [1, 0]
    assert nouns.of_noun("dinosaur", emu) is None


def test_nouns_are_averaged_over_those_of_similar_spelling() -> None:
    from nouns import blended

    spelt = np.eye(4, dtype=np.float32)
    spelt[1] = spelt[0]
    meant = np.eye(4, dtype=np.float32)
    found = blended(spelt, meant, kept=[False, True, True, False])
    # The first is spelt as the second is: each counts e**10 times as much as the others.
    np.testing.assert_allclose(found[0], [0.5**0.5, 0.5**0.5, 0, 0], atol=1e-3)
    np.testing.assert_array_equal(found[[1, 2]], meant[[1, 2]])
    np.testing.assert_allclose(found[3], meant[3], atol=1e-3)


def test_the_name_of_a_class_is_a_better_answer_than_its_kind() -> None:
    from teacher import KIND_ALONE, KINDS, NAME_BEFORE_KIND, Lessons

    lessons = object.__new__(Lessons)
    lessons._texts = SimpleNamespace(kinds=[([0, 1], [7])])  # type: ignore[assignment]
    names, shown = torch.tensor([3, 4, 5]), torch.tensor([[0.5, 0.3, 0.2]])
    found = []
    for seed in range(50):
        lessons._random = np.random.default_rng(seed)
        texts, shares = lessons._with_kinds(names, shown)
        found.append((texts.tolist(), [round(share, 4) for share in shares[0].tolist()]))
    assert KINDS > 1
    assert sum(len(texts) == 2 for texts, _ in found) / 50 == pytest.approx(KIND_ALONE, abs=0.1)
    beside = round(0.8 * (1 - NAME_BEFORE_KIND), 4), *(round(p * NAME_BEFORE_KIND, 4) for p in (0.5, 0.3))
    assert {(tuple(texts), tuple(shares)) for texts, shares in found} == {
        ((7, 5), (0.8, 0.2)),
        ((7, 3, 4, 5), (*beside, 0.2)),
    }


def test_imagined_features_show_the_class_they_were_pushed_to() -> None:
    from imagination import Images, Imagination
    from tower import Head

    generator = torch.Generator().manual_seed(0)
    features = torch.rand(400, 64, generator=generator)
    head = Head(2 * torch.eye(10, 64), torch.zeros(10))
    images = Images(features, head.logits(features).argmax(1), features[:0], [])
    torch.manual_seed(0)
    wanted = torch.arange(10).repeat(20)
    imagined = Imagination(head, images)(features[:200], wanted)
    assert (imagined >= 0).all()
    assert (head.logits(imagined).argmax(1) == wanted).float().mean() > 0.95
    assert (head.logits(features[:200]).argmax(1) == wanted).float().mean() < 0.2


def test_the_whole_projection_takes_features_as_they_are() -> None:
    from teacher import Teacher

    features = 3 + 2 * torch.rand(50, 8)
    projection = torch.nn.Sequential(torch.nn.Linear(8, 384))
    teacher = Teacher(projection, mean=features.mean(0), spread=features.std(0).mean())
    expected = teacher.eval().embed_images(features)
    found = torch.nn.functional.normalize(teacher.whole_projection()(features), dim=-1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_lines_are_in_the_order_of_their_numbers_and_their_tokens_are_counted() -> None:
    import open_clip
    from lines import BATCH, Lines
    from texts import Numbers, Texts

    number = Numbers()
    nouns = number("Tench", "tinca tinca", "great white shark", "emu")
    kinds = [([0, 1], number("big fish"))]
    words, meanings, captions = number("happy"), number("emu: a large bird"), number("A dog runs.", "Two dogs run.")
    empty = np.zeros((len(number.texts()), 384), np.float32)
    lines = Lines(
        Texts(
            texts=number.texts(),
            spelt=empty,
            meant=empty,
            classes=[nouns[:2], nouns[2:3]],
            kinds=kinds,
            nouns=np.array(nouns),
            shares=np.zeros((4, 2), np.float16),
            known=np.ones(4, np.float32),
            words=words,
            meanings=meanings,
            captions={"pets": [captions]},
        ),
        context=16,
    )
    parts, numbers = lines.draw()
    rows = [row for part in parts for row in part.tolist()]
    assert len(rows) == len(numbers) == sum(int(BATCH * share) for share in (0.6, 0.1, 0.15, 0.15))
    texts = number.texts()
    for row, n in zip(rows, numbers, strict=True):
        assert texts[n].split(":")[0].removesuffix(".") in open_clip.decode(torch.tensor(row))
    seen = {token for row in rows for token in row}
    assert set(lines.seen.nonzero().flatten().tolist()) == seen

    lines.turn_to_everyday_words()
    counts = Counter(texts[n] for n in lines.draw()[1])
    assert {"tench", "tinca tinca", "great white shark", "big fish"} < set(counts)
    # The one noun here that is one token.
    assert counts["emu"] >= int(BATCH * 0.3)
    assert counts["happy"] == int(BATCH * 0.05)


def test_the_distance_is_least_where_the_teacher_has_a_text() -> None:
    from student import distance

    wanted = torch.nn.functional.normalize(torch.randn(8, 16, generator=torch.Generator().manual_seed(0)), dim=-1)
    right, cosine = distance(wanted, wanted)
    wrong, _ = distance(wanted.roll(1, 0), wanted)
    assert cosine == pytest.approx(1)
    assert right < wrong


def test_tokens_keep_six_digits_and_those_that_were_not_seen_none() -> None:
    from bundle import DIGITS, TOKENS, small

    weights = {TOKENS: torch.randn(4, 1000), "matrix": torch.randn(3, 3), "vector": torch.randn(3)}
    found = small(weights, seen=torch.tensor([True, True, False, True]))
    assert not found[TOKENS][2].any()
    seen = [0, 1, 3]
    torch.testing.assert_close(found[TOKENS][seen].float(), weights[TOKENS][seen], rtol=2**-DIGITS, atol=1e-6)
    assert len(torch.frexp(found[TOKENS].float())[0].abs().unique()) == 2 ** (DIGITS - 1) + 1
    assert [found[name].dtype for name in ("matrix", "vector")] == [torch.float16, torch.float32]
    torch.testing.assert_close(found["vector"], weights["vector"], rtol=0, atol=0)


def test_the_everyday_words_are_sixty() -> None:
    words = (ROOT / "examples" / "pretrain-tiny" / "everyday-words.txt").read_text().split()
    assert len(set(words)) == 60
