"""Puts classes into the hierarchy of WordNet: each below what it is a kind of, as far as that parts some from others.

A label with several meanings has that of a thing one can see which has most in common with the other labels: as many
as possible below as many of the senses above it as possible. Of several kinds that a thing is, the first counts. Groups
that part hardly anything from the rest are left out, so that paths are short.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count, pairwise

from clipcli.classes.labels import IMAGENET_ID, LabelledClass
from clipcli.classes.tree import same_name
from clipcli.classes.wordnet import Synset, WordNet, find_wordnet
from clipcli.errors import UsageError, some_of
from clipcli.notices import Notice, Notices

TAXONOMIES = {"wordnet": "WordNet's nouns, by what is a kind of what"}
Chain = tuple[Synset, ...]
# Below the one are things that can be seen, below the other people.
_PHYSICAL, _PEOPLE = "physical entity", "person"
# How much less a meaning counts than the next more frequent one. benchmarks/scores/hierarchy.py prints how many classes
# of ImageNet get their own meaning so.
_RARER = 0.8
# A group with groups in it parts hardly anything where it holds this share of all, or one of them this share of it.
_MOST = 0.75
LACKING = Notice("label is not in WordNet", "labels are not in WordNet", "they stand beside its groups, in none")
BY_HEAD = Notice(
    "label is in WordNet by its last words alone",
    "labels are in WordNet by their last words alone",
    "they stand below these",
    warns=False,
)
SEVERAL = Notice(
    "label has several meanings in WordNet",
    "labels have several meanings in WordNet",
    "that nearest to the other labels was taken; where it is wrong, give labels that nest in a .yaml",
    warns=False,
)


def in_taxonomy(classes: Sequence[LabelledClass], notices: Notices) -> tuple[LabelledClass, ...]:
    """The classes with the groups that WordNet has for them; `notices` counts what was guessed, and what it lacks.

    Raises `UsageError` for labels that nest already or that it does not group, and the errors of `find_wordnet`.
    """
    if any(one.groups for one in classes):
        raise UsageError("the labels nest already; leave out --taxonomy, or give the labels alone")
    wordnet = find_wordnet()
    meanings = [_meanings(one, wordnet, notices) for one in classes]
    chains = _chosen(meanings, notices)
    groups = _groups(chains)
    names = _names([synset for chain in chains for synset in chain if synset.offset in groups], classes)
    if not names:
        raise UsageError(
            f"WordNet sets none of the labels {some_of([one.label for one in classes])} apart from the others as a"
            " group; leave out --taxonomy, or give labels that nest in a .yaml"
        )
    return tuple(
        replace(one, groups=tuple(names[synset.offset] for synset in chain if synset.offset in groups))
        for one, chain in zip(classes, chains, strict=True)
    )


def _meanings(one: LabelledClass, wordnet: WordNet, notices: Notices) -> list[Chain]:
    """What a class may mean, the most frequent first: by an id of ImageNet, else by its names, or its last words."""
    for name in (one.label, *one.aliases) if wordnet.has_ids else ():
        if IMAGENET_ID.fullmatch(name) and wordnet.has(name[1:]):
            return [_chain(wordnet.synset(name[1:]), wordnet)]
    label = one.words or one.label
    words = label.split()
    last = [" ".join(words[start:]) for start in range(1, len(words))]
    for name in (label, *one.aliases, *last):
        senses = wordnet.senses(name)
        if senses:
            if name in last:
                notices.add(BY_HEAD, f"'{label}' by '{name}'")
            return _visible([_chain(sense, wordnet) for sense in senses])
    notices.add(LACKING, f"'{one.label}'")
    return []


def _chain(sense: Synset, wordnet: WordNet) -> Chain:
    """The senses from the root of WordNet down to one."""
    chain = [sense]
    while chain[-1].above:
        chain.append(wordnet.synset(chain[-1].above[0]))
    return tuple(reversed(chain))


def _visible(meanings: Sequence[Chain]) -> list[Chain]:
    """The meanings that are things, and no people, who are called by the names of many things; all if none is."""
    things = [chain for chain in meanings if _PHYSICAL in _nouns(chain) and not chain[-1].is_instance]
    return [chain for chain in things if _PEOPLE not in _nouns(chain)] or things or list(meanings)


def _nouns(chain: Chain) -> set[str]:
    return {synset.nouns[0] for synset in chain}


def _chosen(meanings: Sequence[Sequence[Chain]], notices: Notices) -> list[Chain]:
    """One of the meanings of each class: that which has most in common with the other classes; empty for none."""
    weights: Counter[str] = Counter()
    for some in meanings:
        for chain in some:
            weights.update({synset.offset: 1 / len(some) for synset in chain})
    found: list[Chain] = []
    for some in meanings:
        own: Counter[str] = Counter()
        for chain in some:
            own.update({synset.offset: 1 / len(some) for synset in chain})
        common = [
            sum(weights[one.offset] - own[one.offset] for one in chain[1:]) * _RARER**n for n, chain in enumerate(some)
        ]
        chosen = max(range(len(some)), key=common.__getitem__, default=None)
        found.append(() if chosen is None else some[chosen])
        if len(some) > 1:
            notices.add(SEVERAL, f"'{found[-1][-1].nouns[0]}' ({found[-1][-1].meaning})")
    return found


def _groups(chains: Sequence[Chain]) -> set[str]:
    """The offsets of the senses that part classes from others."""
    parts: dict[str, set[object]] = {}
    members: Counter[str] = Counter()
    for number, chain in enumerate(chains):
        inside: list[object] = [*(synset.offset for synset in chain[1:]), number]
        for synset, part in zip(chain, inside, strict=False):
            parts.setdefault(synset.offset, set()).add(part)
            members[synset.offset] += 1
    found = sum(map(bool, chains))
    branching = {offset for offset, some in parts.items() if len(some) > 1 and members[offset] < found}
    inner: dict[str, int] = {}
    for chain in chains:
        kept = [synset.offset for synset in chain if synset.offset in branching]
        for above, below in pairwise(kept):
            inner[above] = max(inner.get(above, 0), members[below])
    return {
        offset
        for offset in branching
        if offset not in inner or (members[offset] < _MOST * found and inner[offset] < _MOST * members[offset])
    }


def _names(synsets: Sequence[Synset], classes: Sequence[LabelledClass]) -> dict[str, str]:
    """A name for each sense: its first noun that no class and no other group has."""
    taken = {same_name(name) for one in classes for name in (one.label, one.words or one.label)}
    names: dict[str, str] = {}
    for synset in dict.fromkeys(synsets):
        name = next(name for name in _possible(synset) if same_name(name) not in taken)
        taken.add(same_name(name))
        names[synset.offset] = name
    return names


def _possible(synset: Synset) -> Iterator[str]:
    yield from synset.nouns
    yield f"{synset.nouns[0]} (any)"
    yield from (f"{synset.nouns[0]} ({n})" for n in count(2))
