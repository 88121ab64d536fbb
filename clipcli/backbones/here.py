"""The models that are on this machine: those that come with the package, and those in the caches of others."""

from __future__ import annotations

from collections.abc import Iterator

from clipcli.backbones import hub, tags
from clipcli.backbones.bundled import BUNDLED


def names_here() -> list[str]:
    """The names, as `--model` takes them, of all models whose weights are here; of several for one file the first."""
    published = dict(reversed([(weights, name) for name, weights in _published_here()]))
    return [*BUNDLED, *reversed(published.values()), *map(hub.PREFIX.__add__, repositories_here())]


def repositories_here() -> list[str]:
    """The repositories in the hub's cache that hold a model, but for those of published models, which have names."""
    published = {tags.weights_location(arch, tag)[0] for arch, tag in tags.published()}
    return [repository for repository in hub.repositories() if repository not in published]


def _published_here() -> Iterator[tuple[str, str]]:
    """The names of published models that are here, each with the path of its weights."""
    for arch, tag in tags.published():
        weights = tags.weights_here(arch, tag)
        if weights is not None:
            yield f"{arch}/{tag}", str(weights)
