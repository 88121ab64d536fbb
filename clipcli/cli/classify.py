"""`clipcli classify`."""

from __future__ import annotations

import os
import shlex
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from clipcli.cli import exit_codes
from clipcli.cli.classify_rows import RowsOutput, keep_corrections, write_rows
from clipcli.cli.classify_summary import Summary, answers_of
from clipcli.cli.classify_update import check_update, read_update, show_warnings, watch
from clipcli.cli.flags import FlagValues, Terminal, flags_of, settings_of
from clipcli.cli.garbage import Show, pause_collector
from clipcli.cli.words import close_standard_output
from clipcli.commands.classify.settings import ClassifySettings, RowsFile, check_cluster, check_images, check_part
from clipcli.data.tree import split_zip
from clipcli.errors import UsageError
from clipcli.events import Warned
from clipcli.images.in_hand import left_in_hand, noting_images
from clipcli.images.limits import limits_of
from clipcli.outputs.check import check_is_not_read, check_output, choose_format, is_stream
from clipcli.outputs.earlier import Earlier, find_earlier, left_over, remove_left_over
from clipcli.outputs.remote import is_there, local_path, remove_parts, settle, waits, writing
from clipcli.outputs.shards import PLACEHOLDER, shard_of_process, started_together
from clipcli.settings import as_dict, to_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clipcli.cli.display import Display
    from clipcli.commands.classify.update import Update
    from clipcli.events import Event


EXAMPLES = (
    "clipcli classify photos --labels 'cat, dog, a red car'",
    "clipcli classify photos --labels labels.txt --max-images 100 -o first.csv",
)


# Messages name this many of the images that were being decoded.
_FEW = 4
_PART_BY_DEFAULT = f"predictions-{PLACEHOLDER}.csv"
_NO_RESUME = (
    "--refine labels all images together, so there is no rest to label; give --update, or --overwrite, in place of"
    " --resume: what was encoded comes from the cache"
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
    settings, file, of_shard = _of_shard(settings, file)
    is_file = not is_stream(file.output) and not os.path.isdir(file.output)
    with writing(file.output) if is_file else nullcontext():
        return _write(settings, file, terminal, of_shard)


def _write(settings: ClassifySettings, file: RowsFile, terminal: Terminal, of_shard: Sequence[str]) -> int:
    """Label the images and write their rows, once, or with `--watch` as they come; returns the exit code.

    `of_shard` is what to say of a shard, in the beginning and at the end.
    """
    format = _checked_format(file, settings, terminal)
    from clipcli.cli.display import Display

    with Display(quiet=terminal.quiet, verbose=terminal.verbose) as display, pause_collector(display.show) as show:
        for said in of_shard[:1]:
            display.say(said)
        if file.watch:
            return _watch(settings, file, display, show=show, format=format)
        summary = _label(settings, file, display, show=show, format=format)
    summary.show(display)
    for said in of_shard[1:] if not summary.interrupted else ():
        display.say(said)
    if file.report:
        display.say(f"{file.report}: {_of_page(summary, file)}")
    return summary.exit_code()


def _of_shard(settings: ClassifySettings, file: RowsFile) -> tuple[ClassifySettings, RowsFile, list[str]]:
    """The settings with the shard of this process, which is in the name of its output; and what to say of it.

    The first line is for the beginning, and the other for the end.
    """
    check_part(settings, file)
    if settings.shard is None:
        return settings, file, []
    shard, by = shard_of_process(settings.shard, os.environ)
    output = _PART_BY_DEFAULT if file.output == RowsFile().output else file.output
    if by is not None and PLACEHOLDER not in output and started_together(os.environ):
        name = Path(output)
        raise UsageError(
            f"all processes would write {output}; name their shards in it, as in --output"
            f" {name.with_name(f'{name.stem}-{PLACEHOLDER}{name.suffix}')}"
        )
    file = replace(file, output=output.replace(PLACEHOLDER, shard.in_names))
    parts = shlex.quote(output.replace(PLACEHOLDER, f"*-of-{shard.count}")) if PLACEHOLDER in output else "PART…"
    said = [
        f"Labelling {by or f'shard {shard}'}, into {file.output}.",
        f"Next, once all {shard.count:,} parts are there: clipcli merge {parts} -o OUTPUT",
    ]
    return replace(settings, shard=str(shard)), file, said


def _label(settings: ClassifySettings, file: RowsFile, display: Display, *, show: Show, format: str) -> Summary:
    """Label the images and write their rows, and the page of `--report`; returns what is to be said at the end."""
    from clipcli.cli.next_command import next_command

    earlier = _find_earlier_rows(file, display, format=format, top_k=settings.top_k)
    settings = _after_a_death(settings, file, display)
    update = read_update(file, display) if file.update else None
    replaced = left_over(file.output) if file.overwrite else []
    if earlier is not None and earlier.is_output:
        # A run that was killed once its output was in place has left what it went on with.
        replaced += earlier.parts
    keep_corrections(file, display)
    answers = answers_of(as_dict(settings))
    is_update = update is not None and update.former is not None
    proposed = () if settings.shard else next_command(settings, file)
    summary = Summary(file.output, next_command=proposed, is_update=is_update, **answers)
    rows = RowsOutput(file, settings, format=format, earlier=earlier, update=update)
    # Importing torch takes seconds: all that can be checked without it was.
    from clipcli.commands.classify.album import Album
    from clipcli.commands.classify.run import run

    limits = limits_of(settings)
    album = Album(file.report, most=file.report_images, limits=limits, **answers) if file.report else None
    events = run(settings, earlier=earlier, output=file.output, album=album, update=update)
    if file.cluster is not None:
        events = _on_cluster(settings, file, file.cluster, earlier)
    try:
        with noting_images(str(local_path(file.output)), limits):
            write_rows(events, rows, summary, display, show=show)
        _tidy(file, replaced)
        for event in album.write() if album else ():
            show(event)
    except KeyboardInterrupt:
        summary.interrupted = True
    except BrokenPipeError:
        close_standard_output()
        summary.reader_gone = True
    return summary


def _tidy(file: RowsFile, replaced: Sequence[Path]) -> None:
    """Put the output where it belongs, and remove what it replaces."""
    settle(file.output)
    remove_left_over(replaced)
    if file.cluster is not None:
        remove_parts(file.output)


def _after_a_death(settings: ClassifySettings, file: RowsFile, display: Display) -> ClassifySettings:
    """The settings to resume a run with: in worker processes, where the run before was ended while it decoded."""
    images = left_in_hand(local_path(file.output)) if file.resume else []
    if not images:
        return settings
    names = " or ".join(images[:_FEW])
    was = f"the run before was ended from outside, or by a decoder, while it decoded {names}"
    display.show(Warned(f"{was}; this one decodes in worker processes, as with --isolate"))
    return replace(settings, isolate=True)


def _on_cluster(settings: ClassifySettings, file: RowsFile, cluster: str, earlier: Earlier | None) -> Iterator[Event]:
    """The events of a run on a cluster; it imports what a run here may do without."""
    from clipcli.commands.classify.on_ray import run_on_ray

    return run_on_ray(settings, cluster=cluster, output=file.output, resume=file.resume, earlier=earlier)


def _watch(settings: ClassifySettings, file: RowsFile, display: Display, *, show: Show, format: str) -> int:
    """Bring the output up to date as images come and go; the model stays loaded. Ends by Ctrl-C."""
    from clipcli.commands.classify.run import model_of, run

    model = model_of(settings)

    def bring_up_to_date(update: Update, *, first: bool) -> Summary:
        summary = Summary(file.output, **answers_of(as_dict(settings)))
        rows = RowsOutput(file, settings, format=format, update=update)
        events = run(settings, output=file.output, update=update, model=model)
        write_rows(events, rows, summary, display, show=show if first else partial(show_warnings, show=show))
        display.do_what_is_left()
        return summary

    try:
        watch(settings, file, display, bring_up_to_date=bring_up_to_date)
    except KeyboardInterrupt:
        display.say(f"Stopped; {file.output} is as the last line says.")
    return exit_codes.INTERRUPTED


def _checked_format(file: RowsFile, settings: ClassifySettings, terminal: Terminal) -> str:
    """The format of the output, once all files that are to be written were checked."""
    check_images(settings)
    check_update(settings, file)
    check_cluster(settings, file)
    format = choose_format(file.output, file.format)
    if file.spreadsheet_safe and format != "csv":
        raise UsageError(f"--spreadsheet-safe is for CSV, and {format} holds no formulas; drop it")
    check_is_not_read(file.output, [*_files_read(settings, terminal), *file.corrections])
    check_output(
        file.output,
        overwrite=file.overwrite,
        resume=file.resume or file.update,
        manifest=file.manifest,
        addresses=not file.update,
    )
    _check_report(file, settings, terminal)
    if settings.refine and file.resume:
        raise UsageError(_NO_RESUME)
    return format


def _of_page(summary: Summary, file: RowsFile) -> str:
    """What became of the page, in a sentence."""
    if not summary.interrupted and not summary.reader_gone:
        return "a page of the photos to look through in a browser."
    can_go_on = summary.tally.rows and not is_stream(file.output) and not file.update
    return f"not written; {'--resume writes it' if can_go_on else 'the run was stopped'}."


def _check_report(file: RowsFile, settings: ClassifySettings, terminal: Terminal) -> None:
    """Check that the page of `--report` can be written, and is no other file of the command."""
    if file.report is None:
        return
    from clipcli.commands.classify.album import check_album

    files = [*_files_read(settings, terminal), *file.corrections]
    if os.path.realpath(file.report) == os.path.realpath(file.output):
        raise UsageError(f"--report {file.report} is the --output as well; give another")
    check_album(file.report, overwrite=file.overwrite, resume=file.resume or file.update, reads=files)


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
    if file.resume and (file.cluster is None or is_there(file.output) or waits(file.output)):
        return find_earlier(file.output, format=format, top_k=top_k)
    for part in left_over(file.output)[:1] if not file.update else ():
        display.show(Warned(f"{part} holds rows of an interrupted run; --resume goes on with them"))
    return None
