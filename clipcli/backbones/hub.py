"""Models as `hf-hub:org/name`: a repository of the Hugging Face hub, kept in its own cache.

A copy in the cache is used without asking the network.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from clipcli.backbones import transformers_config
from clipcli.backbones.checkpoint import CONFIG_NAME, Checkpoint, Fetch, read_config
from clipcli.errors import ModelUnavailable, UnknownName
from clipcli.events import Downloading, Event
from clipcli.offline import why_offline

PREFIX = "hf-hub:"
# A message names so many of the models that are here.
_SHOWN = 5
DEFAULT_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
# What transformers saves of a CLIP model: its weights, and files that its configuration is read with.
_TRANSFORMERS_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_BESIDE = (("preprocessor_config.json", "processor_config.json"), ("tokenizer.json", "vocab.json"))


def find(model: str) -> Fetch | None:
    """The function that gets a model from the hub, or `None` if the name does not begin with `hf-hub:`.

    Raises `UnknownName` if the rest is no name of a repository.
    """
    if not model.startswith(PREFIX):
        return None
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    repository = model.removeprefix(PREFIX)
    try:
        validate_repo_id(repository)
    except HFValidationError:
        raise UnknownName(f"'{repository}' is no name of a repository; write hf-hub:org/name") from None
    return partial(_fetch, repository, name=model)


def _fetch(repository: str, *, name: str) -> Generator[Event, None, Checkpoint]:
    config = yield from download(repository, (CONFIG_NAME, transformers_config.CONFIG_NAME), model=name)
    if config.name == transformers_config.CONFIG_NAME:
        return (yield from _fetch_transformers(repository, config.parent, name=name))
    read = read_config(config, name=name)
    weights = yield from download(repository, DEFAULT_WEIGHTS, model=name)
    # Under its hub name, open_clip would ask the network for the configuration again.
    local = "hf_tokenizer_name" not in read["model_cfg"]["text_cfg"]
    return Checkpoint(
        name=name,
        weights=weights,
        tokenizer=f"local-dir:{config.parent}" if local else name,
        **read,
    )


def _fetch_transformers(repository: str, folder: Path, *, name: str) -> Generator[Event, None, Checkpoint]:
    """Get a CLIP model that transformers saved; `folder` is where the cache has its `config.json`."""
    for filenames in _BESIDE:
        yield from _if_there(repository, filenames, model=name)
    read = transformers_config.read_transformers_config(folder, name=name)
    weights = yield from download(repository, _TRANSFORMERS_WEIGHTS, model=name)
    return Checkpoint(name=name, weights=weights, tokenizer=transformers_config.TOKENIZER, **read)


def _if_there(repository: str, filenames: Sequence[str], *, model: str) -> Generator[Event, None, None]:
    """Get the first of these files that there is, if there is one."""
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        yield from download(repository, filenames, model=model)
    except ModelUnavailable as e:
        if not isinstance(e.__cause__, EntryNotFoundError) or isinstance(e.__cause__, LocalEntryNotFoundError):
            raise


def repositories() -> list[str]:
    """The repositories in the local cache that hold a model, sorted."""
    from huggingface_hub import constants

    folders = sorted(Path(constants.HF_HUB_CACHE).glob("models--*--*"))
    names = ["/".join(folder.name.split("--")[1:]) for folder in folders]
    return [name for name in names if name.count("/") == 1 and cached_model(name) is not None]


def cached_model(repository: str) -> tuple[Path, Path] | None:
    """The configuration and the weights of a repository, if the local cache has both."""
    for config_name, weights_names in (
        (CONFIG_NAME, DEFAULT_WEIGHTS),
        (transformers_config.CONFIG_NAME, _TRANSFORMERS_WEIGHTS),
    ):
        config, weights = cached(repository, (config_name,)), cached(repository, weights_names)
        if config and weights and (config_name == CONFIG_NAME or transformers_config.is_clip(config)):
            return config, weights
    return None


def cached(repository: str, filenames: Sequence[str]) -> Path | None:
    """The path of the first of these files that is in the local cache, or `None`."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    for filename in filenames:
        try:
            path = try_to_load_from_cache(repository, filename)
        except HFValidationError:
            return None
        if isinstance(path, str):
            return Path(path)
    return None


def download(repository: str, filenames: Sequence[str], *, model: str) -> Generator[Event, None, Path]:
    """Get the first of these files that the local cache has, else the first that the hub has.

    `model` is the name for messages. Yields `Downloading`. Raises `ModelUnavailable`.
    """
    cached_path = cached(repository, filenames)
    if cached_path is not None:
        return cached_path
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    for filename in filenames:
        try:
            return (yield from _download(repository, filename))
        except LocalEntryNotFoundError as e:
            raise _unavailable(model, repository, filename, e) from e
        except EntryNotFoundError as e:
            missing = e
        # The hub's client fails in many ways, some of them errors of its dependencies. Each means that there are no
        # weights.
        except Exception as e:
            raise _unavailable(model, repository, filename, e) from e
    raise _unavailable(model, repository, " or ".join(filenames), missing) from missing


def _download(repository: str, filename: str) -> Generator[Event, None, Path]:
    """Download one file in a thread, so that this generator can yield its progress."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    # One request first: where the hub cannot be reached it fails at once. The download would retry for half a minute.
    get_hf_file_metadata(hf_hub_url(repository, filename))
    events: queue.SimpleQueue[Event | Path | Exception] = queue.SimpleQueue()

    def work() -> None:
        try:
            bar = _progress_bar(filename, events)
            events.put(Path(hf_hub_download(repository, filename, tqdm_class=bar)))
        except Exception as e:
            events.put(e)

    threading.Thread(target=work, daemon=True).start()
    while True:
        event = events.get()
        if isinstance(event, Exception):
            raise event
        if isinstance(event, Path):
            return event
        yield event


def _progress_bar(filename: str, events: queue.SimpleQueue[Any]) -> type[Any]:
    """A tqdm class that shows nothing and puts its progress into the queue."""
    from tqdm.auto import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._devnull = open(os.devnull, "w")  # noqa: SIM115 - closed with the bar
            super().__init__(*args, **{**kwargs, "file": self._devnull, "disable": False})

        def update(self, n: float | None = 1) -> bool | None:
            shown: bool | None = super().update(n)
            events.put(Downloading(filename, int(self.n), int(self.total) if self.total else None))
            return shown

        def close(self) -> None:
            super().close()
            self._devnull.close()

    return Bar


def _unavailable(model: str, repository: str, filename: str, error: Exception) -> ModelUnavailable:
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    if isinstance(error, GatedRepoError):
        why = "the hub wants you to accept its terms and log in: hf auth login"
    elif isinstance(error, RepositoryNotFoundError):
        why = "the hub has no such repository, or it is private"
    elif isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
        why = "the repository has no such file"
    elif isinstance(error, LocalEntryNotFoundError) or type(error).__module__.startswith(("http", "huggingface_hub")):
        why = _offline_reason()
    else:
        why = f"{type(error).__name__}: {error}"
    from clipcli.backbones.here import names_here

    return ModelUnavailable(
        f"cannot get {model}: {why} (tried {repository}/{filename}); give --model a directory that holds it, "
        f"or another model that is here already: {_listed(names_here())}, "
        "or copy the hub cache from a machine that has it and point HF_HOME there"
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more (clipcli models --cached)" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _offline_reason() -> str:
    from huggingface_hub import constants

    forbidden = why_offline()
    if forbidden is not None:
        return f"{forbidden} is set and it is not in the local cache"
    return f"{constants.ENDPOINT} cannot be reached and it is not in the local cache"
