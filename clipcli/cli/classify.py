"""`clipcli classify`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipcli.cli import exit_codes
from clipcli.cli.classify_summary import Summary
from clipcli.cli.flags import FlagValues, Terminal, flags_of, settings_of
from clipcli.cli.garbage import Show, pause_collector
from clipcli.cli.words import close_standard_output
from clipcli.commands.classify.settings import ClassifySettings, RowsFile, check_images
from clipcli.data.tree import split_zip
from clipcli.errors import UsageError
from clipcli.events import Event, InputsFound, ModelKnown, ModelLoaded, RowsPlanned, RowsReady, Warned
from clipcli.files.manifest import Manifest, now
from clipcli.outputs.check import check_is_not_read, check_output, choose_format, is_stream
from clipcli.outputs.earlier import Earlier, find_earlier, keep_changed, left_over, remove_left_over
from clipcli.outputs.open import Output
from clipcli.records import ModelRecord, Provenance
from clipcli.settings import to_yaml

if TYPE_CHECKING:
    from clipcli.cli.display import Display


EXAMPLES = (
    "clipcli classify photos --labels 'cat, dog, a red car'",
    "clipcli classify photos --labels labels.txt --max-images 100 -o first.csv",
)


_NO_RESUME = (
    "--refine labels all images together, so there is no rest to label; give --overwrite in place of --resume: what was"
    " encoded comes from the cache"
)


@flags_of(ClassifySettings, RowsFile)
def command(flags: FlagValues, terminal: Terminal) -> int:
    """Label images: one row for each, in order, with its best labels and their scores.

    An image that cannot be read gets a row with the reason, and the command ends with exit code 3.
    """
    settings, file = settings_of(flags, terminal, ClassifySettings, RowsFile)
    if terminal.show_config:
        print(to_yaml(settings, file), end="")
        return exit_codes.DONE
    format = _checked_format(file, settings, terminal)
    from clipcli.cli.display import Display
    from clipcli.cli.next_command import next_command

    with Display(quiet=terminal.quiet, verbose=terminal.verbose) as display, pause_collector(display.show) as show:
        earlier = _find_earlier_rows(file, display, format=format, top_k=settings.top_k)
        replaced = left_over(file.output) if file.overwrite else []
        _keep_corrections(file, display)
        unknown = settings.unknown_label if settings.unknown else None
        # The first and the second score of a row are then of two kinds.
        by_score = settings.unknown or settings.back_off is not None
        answers: dict[str, Any] = {"unknown": unknown, "several": settings.multi_label, "by_score": by_score}
        summary = Summary(file.output, next_command=next_command(settings, file), **answers)
        open_output = _output_opener(file, earlier, format=format)
        # Importing torch takes seconds: all that can be checked without it was.
        from clipcli.commands.classify.album import Album
        from clipcli.commands.classify.run import run

        album = Album(file.report, most=file.report_images, **answers) if file.report else None
        try:
            events = run(settings, earlier=earlier, output=file.output, album=album)
            _write(
                events,
                summary,
                display,
                show=show,
                earlier=earlier,
                open_output=open_output,
                format=format,
                settings=settings,
            )
            remove_left_over(replaced)
            for event in album.write() if album else ():
                show(event)
        except KeyboardInterrupt:
            summary.interrupted = True
        except BrokenPipeError:
            close_standard_output()
            summary.reader_gone = True
    summary.show(display)
    if album:
        display.say(f"{album.path}: {_of_page(summary, file)}")
    return summary.exit_code()


def _checked_format(file: RowsFile, settings: ClassifySettings, terminal: Terminal) -> str:
    """The format of the output, once all files that are to be written were checked."""
    check_images(settings)
    format = choose_format(file.output, file.format)
    check_is_not_read(file.output, _files_read(settings, terminal))
    check_output(file.output, overwrite=file.overwrite, resume=file.resume, manifest=file.manifest)
    _check_report(file, settings, terminal)
    if settings.refine and file.resume:
        raise UsageError(_NO_RESUME)
    return format


def _keep_corrections(file: RowsFile, display: Display) -> None:
    """Keep an output that would be replaced, if it was changed by hand."""
    kept = keep_changed(file.output) if file.overwrite else None
    if kept is not None:
        display.show(Warned(f"{file.output} was changed since it was written, as by hand; it is kept as {kept}"))


def _of_page(summary: Summary, file: RowsFile) -> str:
    """What became of the page, in a sentence."""
    if not summary.interrupted and not summary.reader_gone:
        return "a page of the photos to look through in a browser."
    can_go_on = summary.tally.rows and not is_stream(file.output)
    return f"not written; {'--resume writes it' if can_go_on else 'the run was stopped'}."


def _check_report(file: RowsFile, settings: ClassifySettings, terminal: Terminal) -> None:
    """Check that the page of `--report` can be written, and is no other file of the command."""
    if file.report is None:
        return
    from clipcli.commands.classify.album import check_album

    if os.path.realpath(file.report) == os.path.realpath(file.output):
        raise UsageError(f"--report {file.report} is the --output as well; give another")
    check_album(file.report, overwrite=file.overwrite, resume=file.resume, reads=_files_read(settings, terminal))


def _files_read(settings: ClassifySettings, terminal: Terminal) -> list[object]:
    """The paths that the command reads, but for the images, which are not listed yet."""
    texts = [text for text in settings.inputs if isinstance(text, str)]
    inputs = [path for text in texts for path in (text, text.removeprefix("@")) if not os.path.isdir(path)]
    zips = [split[0] for text in texts if (split := split_zip(text)) is not None]
    return [
        *inputs,
        *zips,
        settings.embeddings,
        settings.labels,
        settings.prompts,
        settings.classifier,
        settings.model,
        terminal.config,
    ]


def _find_earlier_rows(file: RowsFile, display: Display, *, format: str, top_k: int) -> Earlier | None:
    """The rows of an earlier run that `--resume` goes on with; without it, warn if there are some."""
    if file.resume:
        return find_earlier(file.output, format=format, top_k=top_k)
    for part in left_over(file.output)[:1]:
        display.show(Warned(f"{part} holds rows of an interrupted run; --resume goes on with them"))
    return None


def _output_opener(file: RowsFile, earlier: Earlier | None, *, format: str) -> Callable[..., Output]:
    """A function that opens the output, once its schema and manifest are known.

    Whether it may replace an existing file is decided now, not when it is opened.
    """
    return partial(
        Output,
        file.output,
        format=format,
        keep_manifest=file.manifest,
        overwrite=file.overwrite or (file.resume and Path(file.output).exists()),
        superseded=earlier.parts if earlier else (),
    )


def _write(
    events: Iterator[Event],
    summary: Summary,
    display: Display,
    *,
    show: Show,
    earlier: Earlier | None,
    open_output: Callable[..., Output],
    format: str,
    settings: ClassifySettings,
) -> None:
    """Write the rows as they come, and show all events. The output is opened when the first rows come.

    Nothing is written if the output is complete already.
    """
    from clipcli.commands.classify.several import schema_of

    begun = earlier.manifest.begun if earlier else now()
    model = earlier.manifest.model if earlier else None
    provenance: Provenance | None = None
    output: Output | None = None
    with ExitStack() as stack:
        for event in events:
            match event:
                case InputsFound(count, earlier_rows) if 0 < earlier_rows < count:
                    display.say(f"Going on after {earlier_rows:,} of {count:,} images.")
                case RowsPlanned():
                    provenance = event.provenance
                case ModelLoaded() | ModelKnown():
                    model = _latest_model(model, event.record)
                    if output and model:
                        output.set_model(model)
                case RowsReady() if provenance and not (earlier and earlier.is_output and summary.is_complete()):
                    if output is None:
                        schema = schema_of(settings, provenance)
                        manifest = Manifest(provenance=provenance, model=model, format=format, begun=begun)
                        output = open_output(schema=schema, manifest=manifest, at_least=summary.earlier)
                        stack.enter_context(output)
                    output.write(event.rows)
            summary.add(event)
            show(event)


def _latest_model(model: ModelRecord | None, latest: ModelRecord | None) -> ModelRecord | None:
    """The latest record of the model; if it had nothing to encode, it keeps the device of the record before."""
    if model is None or latest is None or latest.device is not None:
        return latest or model
    return replace(latest, device=model.device)
