"""Collects what the text tower is to learn: words, what they mean, and which of ImageNet's classes they look like.

MiniLM knows a rare noun by its letters more than by its sense: "emu" is near "ant" and "ibis" near "ibex". So a noun
is embedded by what WordNet says about it: "ibis, wading birds of warm regions" is near spoonbills, as it should be. The
same embeddings tell which classes an image of it would be taken for. Then it is averaged with nouns of like spelling,
as WordNet puts rare senses first at times: "pants" are bloomers there.
Run: python collect.py SOURCES TARGET CAPTIONS.json…
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import open_clip
import sources
from nouns import Nouns, blended
from texts import MiniLM, Numbers, Texts
from wordnet import WordNet

_LONGEST_NOUN = 40
# The name of a kind with more classes says little about an image.
_MOST_OF_A_KIND = 400


def main() -> None:
    """Write the texts into the folder TARGET, unless they are there."""
    source, target, *captions = map(Path, sys.argv[1:])
    if not target.exists():
        collect(WordNet(sources.wordnet(source)), MiniLM(sources.minilm(source)), captions).save(target)


def collect(wordnet: WordNet, minilm: MiniLM, captions: Sequence[Path]) -> Texts:
    """Collect and embed all texts."""
    number, synsets = Numbers(), imagenet_synsets()
    below = classes_below(wordnet, synsets)
    named = zip(open_clip.IMAGENET_CLASSNAMES, synsets, strict=True)
    classes = [number(name, *wordnet.synsets[synset].nouns) for name, synset in named]
    own = set(synsets)
    names = {n for each in classes for n in each}
    kinds = [
        (sorted(n), number(*wordnet.synsets[synset].nouns))
        for synset, n in below.items()
        if len(n) < _MOST_OF_A_KIND and (len(n) > 1 or synset not in own)
    ]
    candidates = number(*(noun for noun in wordnet.nouns() if len(noun) < _LONGEST_NOUN), *one_token_words())
    meanings = number(*map(str, wordnet.synsets.values()))
    captioned = {path.stem: [number(*each) for each in json.loads(path.read_text())] for path in captions}
    texts = number.texts()
    spelt = minilm(texts)
    nouns = Nouns(wordnet, dict(zip(wordnet.synsets, spelt[meanings], strict=True)), synsets, below)
    found = {names[0]: nouns.of_class(n) for n, names in enumerate(classes)}
    for n in dict.fromkeys(candidates):
        noun = None if n in found else nouns.of_noun(texts[n], spelt[n])
        if noun is not None:
            found[n] = noun
    meant = spelt.copy()
    meant[list(found)] = [noun.meaning for noun in found.values()]
    meant[list(found)] = blended(spelt[list(found)], meant[list(found)], kept=[n in names for n in found])
    return Texts(
        texts=texts,
        spelt=spelt,
        meant=meant,
        classes=classes,
        kinds=kinds,
        nouns=np.array(list(found)),
        shares=np.stack([noun.shares for noun in found.values()]),
        known=np.array([noun.known for noun in found.values()], np.float32),
        words=[n for n in dict.fromkeys(candidates) if n not in found],
        meanings=meanings,
        captions=captioned,
    )


def imagenet_synsets() -> list[str]:
    """The offsets in WordNet of the 1,000 classes, in the order of the image tower's head; timm has the list."""
    listed = (files("timm") / "data" / "_info" / "imagenet_synsets.txt").read_text()
    return [line.removeprefix("n") for line in listed.split()]


def one_token_words() -> list[str]:
    """The words that CLIP's tokenizer has a token for, which are the common ones."""
    words = (token.removesuffix("</w>") for token in open_clip.SimpleTokenizer().encoder if token.endswith("</w>"))
    return [word for word in words if word.isascii() and word.isalpha() and len(word) > 2]


def classes_below(wordnet: WordNet, synsets: Sequence[str]) -> dict[str, set[int]]:
    """The classes at or below each synset that has any."""
    below: dict[str, set[int]] = {}
    for n, synset in enumerate(synsets):
        for level in wordnet.upwards(synset):
            for one in level:
                below.setdefault(one, set()).add(n)
    return below


if __name__ == "__main__":
    main()
