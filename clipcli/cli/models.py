"""`clipcli models`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clipcli.cli.columns import format_size, print_columns, printable
from clipcli.errors import MissingExtra, UsageError, install

if TYPE_CHECKING:
    from clipcli.backbones.catalogue import ListedModel

# The hub's name for a model card.
_CARD_NAME = "README.md"


EXAMPLES = (
    "clipcli models --cached",
    "clipcli models tiny",
)


def command(
    model: Annotated[
        str | None,
        typer.Argument(metavar="M", help="A model to show, or an architecture whose tags to list."),
    ] = None,
    cached: Annotated[bool, typer.Option("--cached", help="Only models whose weights are on this machine.")] = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure the images/s of the guide on this machine, without a download.")
    ] = False,
    prepare: Annotated[
        bool,
        typer.Option("--prepare", help="Convert M for OpenVINO, so that runs with few new photos start without torch."),
    ] = False,
) -> None:
    """Show a few models to choose from, and list all that --model takes by name; or show one, or prepare one."""
    if prepare:
        if model is None or cached or measure:
            raise UsageError("--prepare takes one model, as in clipcli models tiny --prepare")
        _prepare(model)
        return
    if measure and (model is not None or cached):
        raise UsageError("--measure measures the models of the guide; leave out M and --cached")
    if model is not None:
        _show(model, cached=cached)
        return
    from clipcli.cli.model_guide import show_guide

    if not cached:
        show_guide(measure=measure)
    if measure:
        return
    from clipcli.backbones.catalogue import all_models

    if not cached:
        print("\nAll models\n")
    _list([entry for entry in all_models() if entry.weights or not cached])


def _prepare(model: str) -> None:
    """Prepare both towers of a model. Raises the errors of loading it, `MissingExtra`, and `CacheUnusable`."""
    from clipcli.backbones.checkpoint import IMAGE, TEXT
    from clipcli.backbones.runtime import choose_runtime
    from clipcli.cli.display import Display
    from clipcli.encoding.engines import openvino, store
    from clipcli.encoding.model import Model
    from clipcli.events import result_of
    from clipcli.loaded import LoadSettings
    from clipcli.memory.memory import open_memory

    if openvino.version() is None:
        raise MissingExtra(f"--prepare needs OpenVINO; run {install('openvino')}")
    with Display(quiet=False, verbose=False) as display:
        # What is known of a model is kept by the device that was asked for.
        has_card = choose_runtime().kind != "cpu"
        settings = LoadSettings(model=model, engine="openvino", device="cpu" if has_card else "auto")
        verdicts = result_of(
            Model(model, settings, memory=open_memory(cache=True)).prepare(IMAGE, TEXT), show=display.show
        )
        for tower, verdict in zip((IMAGE, TEXT), verdicts, strict=True):
            if verdict.problem is None:
                display.say(f"The {tower} tower is prepared; least cosine to torch {verdict.cosine:.5f}.")
            else:
                display.say(f"The {tower} tower cannot be prepared: {verdict.problem}; torch runs it.", style="yellow")
        if has_card:
            display.say("Runs with --device cpu start without torch; on the card, as without --device, torch runs.")
        display.say(f"{store.engines_path()} holds {format_size(store.usage()[1])}.")


def _show(model: str, *, cached: bool) -> None:
    """Print a model, by its name or directory, or list the tags of an architecture. Raises `UnknownName`."""
    from clipcli.backbones import bundled, catalogue, directory, hub_names, tags
    from clipcli.backbones.tags import split_architecture

    if model in bundled.BUNDLED:
        _describe(catalogue.bundled_model(model))
        return _print_card(bundled.folder(model))
    path = directory.absolute_name(model)
    if path is not None:
        _describe(catalogue.directory_model(Path(path), name=path, origin="a directory"))
        return _print_card(Path(path))
    repository = hub_names.repository_of(model)
    if repository is not None:
        return _describe(catalogue.hub_model(repository))
    arch, tag = split_architecture(model)
    if arch and not tag:
        of_arch = [entry for entry in catalogue.all_models() if entry.name.startswith(f"{arch}/")]
        if of_arch:
            return _list([entry for entry in of_arch if entry.weights or not cached])
    if arch is None or tags.find(model) is None:
        raise tags.unknown_model(model)
    parameters = catalogue.count_parameters(tags.model_config(arch))
    return _describe(catalogue.published_model(arch, tag, parameters=parameters))


def _list(entries: list[ListedModel]) -> None:
    header = ("model", "parameters", "pixels", "on this machine")
    print_columns([header, *((e.name, _millions(e), e.image_size, _weights(e)) for e in entries)])


def _describe(entry: ListedModel) -> None:
    """Print the facts of a model."""
    text_cfg, preprocess_cfg = entry.model_cfg["text_cfg"], entry.preprocess_cfg
    rows = [
        ("model", entry.name),
        ("from", entry.origin),
        ("parameters", _millions(entry)),
        ("input", f"{entry.image_size} pixels, resize mode {preprocess_cfg.get('resize_mode', 'shortest')}"),
        ("context", f"{text_cfg.get('context_length', 77)} tokens"),
        ("embedding", f"{entry.model_cfg['embed_dim']} dimensions"),
        ("score", "sigmoid" if entry.model_cfg.get("init_logit_bias") is not None else "softmax"),
        ("weights", str(entry.weights) if entry.weights else "not on this machine; they are fetched when first used"),
        ("size", format_size(entry.weights.stat().st_size) if entry.weights else "?"),
    ]
    print_columns(rows)


def _print_card(folder: Path) -> None:
    """Print the model card in the folder, if there is one, as the Markdown that it is."""
    try:
        card = (folder / _CARD_NAME).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    print("", *map(printable, card.strip().splitlines()), sep="\n")


def _millions(entry: ListedModel) -> str:
    return f"{entry.parameters / 1e6:,.1f} M" if entry.parameters else "?"


def _weights(entry: ListedModel) -> str:
    return format_size(entry.weights.stat().st_size) if entry.weights else "-"
