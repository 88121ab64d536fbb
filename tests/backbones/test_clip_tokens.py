"""The tokenizer that needs no torch gives open_clip's ids, for odd texts as well."""

from __future__ import annotations

import random

import numpy as np
import pytest
from open_clip.tokenizer import SimpleTokenizer

from clipcli.backbones.clip_tokens import ClipTokenizer

TEXTS = [
    *("", " ", "a photo of a cat.", "A  Photo\tof\na DOG!!", "it's we'll I'm they'd you've don't can't've", "x" * 400),
    *("&amp;&lt;b&gt; &amp;amp; &quot;&#39;", "caf\u00e9 na\u00efve \u00c5ngstr\u00f6m", "schÃ¶n â€œquotedâ€\x9d"),
    *(
        "\u732b\u3068\u72ac",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f",
        "\u0417\u0434\u0440\u0430\u0432",
    ),
    *(
        "<start_of_text> cat <end_of_text>",
        "<START_OF_TEXT>",
        "1234 \u00bd \u0664\u0665 x\u00b2",
        "\u0130stanbul \ufb01sh",
    ),
    *(
        "snake_case-and/other\\things",
        "\x1b[31mred\x1b[0m",
        "a\u00a0b\u3000c\u2028d",
        "\u2018curly\u2019 \u2026 \ufeff",
    ),
    *("\ud83d", "'S 'RE \u017ft K\u212a", "0\u0308 e\u0301", "~`@#$%^&*()_+{}|:<>?", "\x00\x07cat\x7f", "\uff21\uff22"),
]
PARTS = [
    *(
        "cat",
        "Dog",
        "'s",
        "'ll ",
        " ",
        "\t",
        "  ",
        "&",
        "&amp;",
        "&lt",
        ";",
        "<",
        ">",
        "</w>",
        "_",
        "-",
        "9",
        "42",
        ".",
        "!",
    ),
    *(
        "\u00e9",
        "e\u0301",
        "\u00df",
        "\u4e2d",
        "\u0627",
        "\U0001f600",
        "\u200d",
        "\u2019",
        "\u201c",
        "\ufffd",
        "\x85",
        "\u00bc",
    ),
    *(
        "photo",
        "of",
        "a",
        "ing",
        "THE",
        "x",
        "\u0130",
        "\u017f",
        "\u212a",
        "\x1b[1m",
        "\r\n",
        "<end_of_text>",
        "\u0e01",
        "Ã©",
    ),
]


@pytest.fixture(scope="module")
def theirs() -> SimpleTokenizer:
    """open_clip's own."""
    return SimpleTokenizer()


def encoded(tokenizer: object, text: str) -> object:
    """The ids of a text, or the kind of error."""
    try:
        return tokenizer([text]).tolist()  # type: ignore[operator]
    except Exception as e:
        return type(e)


def test_odd_texts_have_open_clips_ids(theirs: SimpleTokenizer) -> None:
    ours = ClipTokenizer(77)
    rng = random.Random(0)
    mixed = ["".join(rng.choices(PARTS, k=rng.randint(1, 12))) for _ in range(3000)]
    plain = ["".join(chr(rng.randint(9, 126)) for _ in range(rng.randint(1, 30))) for _ in range(1000)]
    wild = ["".join(chr(rng.randint(1, 0x2FFF)) for _ in range(rng.randint(1, 8))) for _ in range(1000)]
    for text in (*TEXTS, *mixed, *plain, *wild):
        assert encoded(ours, text) == encoded(theirs, text), repr(text)


def test_several_texts_and_other_contexts(theirs: SimpleTokenizer) -> None:
    ours, texts = ClipTokenizer(77), [text for text in TEXTS if text.isprintable()]
    np.testing.assert_array_equal(ours(texts), theirs(texts).numpy())
    for length in (8, 33, 78):
        np.testing.assert_array_equal(ours(texts, length), theirs(texts, length).numpy())
        np.testing.assert_array_equal(ClipTokenizer(length)(texts), theirs(texts, length).numpy())


def test_tokens_are_decoded_as_open_clip_does(theirs: SimpleTokenizer) -> None:
    ours = ClipTokenizer(77)
    assert ours.decoder == theirs.decoder
    assert ours.byte_decoder == theirs.byte_decoder
