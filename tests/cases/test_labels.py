"""Labels that a model cannot do justice to: too long, alone, or of words that it never saw."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import open_clip
import pytest
from small_data import jpeg

import clipcli
from clipcli.commands.classify.run import run
from clipcli.commands.classify.settings import ClassifySettings
from clipcli.encoding.label_checks import is_in_pieces
from clipcli.encoding.long_texts import overlapping_parts, too_long
from clipcli.events import Warned

TOKENIZER = open_clip.SimpleTokenizer(context_length=16)
LONG = "a photo of " + " and ".join(["a small brown animal on a table in the kitchen of a house"] * 5) + " with a"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "a.jpg").write_bytes(jpeg())
    return tmp_path


def warnings(photos: Path, labels: list[str], **options: str) -> list[str]:
    settings = ClassifySettings(photos, labels=labels, model="tiny", cache=False, **options)
    return [event.message for event in run(settings) if isinstance(event, Warned)]


def test_labels_that_differ_after_the_cut_do_not_score_the_same(photos: Path) -> None:
    """CLIP#212: two long labels that differ at their end scored 0.5 each, and nothing was said."""
    labels = [f"{LONG} dog", f"{LONG} cat"]
    told = warnings(photos, labels, prompts="a photo of a {}.")
    assert [line for line in told if "longer than tiny reads" in line]
    made = clipcli.build_classifier(labels, model="tiny", cache=False, prompts="name", precision="fp32")
    assert float(made.class_embeddings[0] @ made.class_embeddings[1]) < 0.9995
    assert np.allclose(np.linalg.norm(made.class_embeddings, axis=1), 1)


def test_a_label_that_fits_is_as_open_clip_has_it(photos: Path) -> None:
    assert [line for line in warnings(photos, ["cat", "dog"]) if "longer" in line] == []
    alone = clipcli.build_classifier(["cat"], model="tiny", cache=False, precision="fp32")
    beside = clipcli.build_classifier(["cat", f"{LONG} dog"], model="tiny", cache=False, precision="fp32")
    assert np.allclose(alone.class_embeddings[0], beside.class_embeddings[0], atol=1e-6)


@pytest.mark.parametrize("count", [1, 13, 14, 15, 40])
def test_long_texts_are_found_and_taken_apart(count: int) -> None:
    """A context of 16 has room for 14 tokens beside its begin and end."""
    text = " ".join(["dog"] * count)
    assert too_long(["cat", text], tokenizer=TOKENIZER) == ([1] if count > 14 else [])
    parts = overlapping_parts(text, tokenizer=TOKENIZER)
    assert too_long(parts, tokenizer=TOKENIZER) == []
    if count <= 14:
        assert parts == [text]
    else:
        assert [len(part.split()) for part in parts[:-1]] == [14] * (len(parts) - 1)


def test_parts_overlap_and_leave_nothing_out() -> None:
    words = [f"w{n}" for n in range(30)]
    parts = [part.split() for part in overlapping_parts(" ".join(words), tokenizer=TOKENIZER)]
    assert {word for part in parts for word in part} == set(words)
    assert all(set(one) & set(other) for one, other in pairwise(parts))


def test_a_word_that_is_too_long_by_itself_is_cut() -> None:
    assert overlapping_parts("x1" * 40, tokenizer=TOKENIZER) == ["x1" * 40]


def test_one_class_alone_is_warned_about(photos: Path) -> None:
    """transformers.js#135: one class scores 1.0 on everything."""
    assert any("one class alone scores 1 on every image" in line for line in warnings(photos, ["cat"]))
    assert not any("one class alone" in line for line in warnings(photos, ["cat"], score="cosine"))
    assert not any("one class alone" in line for line in warnings(photos, ["cat", "dog"]))


@pytest.mark.parametrize(
    "word", ["狗", "собака", "σκύλος", "כלב", "कुत्ता", "犬", "ねこ", "الكلب", "개", "東京", "ラーメン", "寿司"]
)
def test_words_of_other_scripts_are_taken_apart(word: str) -> None:
    assert is_in_pieces(word, TOKENIZER)


@pytest.mark.parametrize("word", ["dog", "café", "jalapeño", "naïve", "perro", "Käse", "mañana", "smörgåsbord", "qzx7"])
def test_words_of_our_letters_are_not(word: str) -> None:
    assert not is_in_pieces(word, TOKENIZER)


def test_labels_in_another_script_are_named(photos: Path, models: dict[str, Path]) -> None:
    """`狗` was the label of half of the photos, at 0.99."""
    settings = ClassifySettings(photos, labels=["狗", "cat"], model=str(models["vit"]), cache=False)
    told = [event.message for event in run(settings) if isinstance(event, Warned)]
    assert [line for line in told if "reads '狗' in pieces of letters" in line and "many languages" in line]


def test_a_tokenizer_for_many_languages_is_trusted() -> None:
    class Inner:
        unk_token_id = 0

        def __call__(self, word: str, **_: bool) -> dict[str, list[int]]:
            return {"input_ids": {"狗": [5], "犬": [0], "猫": [7, 8]}[word]}

        def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
            return [{5: "▁狗", 0: "<unk>", 7: "<0xE7>", 8: "<0x8C>"}[n] for n in ids]

    class Tokenizer:
        tokenizer = Inner()

    assert [is_in_pieces(word, Tokenizer()) for word in ("狗", "犬", "猫")] == [False, True, True]
