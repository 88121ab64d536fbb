"""`clipcli review`."""

from __future__ import annotations

import shlex
import webbrowser
from typing import TYPE_CHECKING

from clipcli.cli import exit_codes
from clipcli.cli.flags import FlagValues, Terminal, flags_of, settings_of
from clipcli.commands.review.settings import ReviewFile, ReviewSettings
from clipcli.events import PageServed, result_of
from clipcli.settings import to_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from clipcli.cli.display import Display
    from clipcli.commands.review.decisions import Said
    from clipcli.commands.review.run import Review
    from clipcli.events import Event

EXAMPLES = (
    "clipcli review predictions.csv",
    "clipcli review predictions.csv --html review.html",
)


@flags_of(ReviewSettings, ReviewFile)
def command(flags: FlagValues, terminal: Terminal) -> int:
    """Open a page to confirm and correct labels by keyboard, the doubtful first; each decision is on disk at once.

    Some photos come at random, by which the page tells how many of all labels are right. It ends when the page says
    done, or on Ctrl-C, and goes on where it was when it is started again.
    """
    settings, file = settings_of(flags, terminal, ReviewSettings, ReviewFile)
    if terminal.show_config:
        print(to_yaml(settings, file), end="")
        return exit_codes.DONE
    from clipcli.cli.display import Display
    from clipcli.commands.review.page import check_html, write_html
    from clipcli.commands.review.run import prepare

    if file.html is not None:
        check_html(file.html, [settings.predictions, *settings.corrections, terminal.config])
    with Display(quiet=terminal.quiet, verbose=terminal.verbose) as display:
        review = result_of(prepare(settings, file), show=display.show)
        if file.html is not None:
            result_of(write_html(review, file.html), show=display.show)
        else:
            said = _served(review, file, display)
    if file.html is not None:
        display.say(f"{file.html}: {_shown(review)}. Open it in a browser; it saves corrections.csv as a download.")
        return exit_codes.DONE
    for line in _summary(review, said, file=file.output):
        display.say(line)
    return exit_codes.DONE


def _served(review: Review, file: ReviewFile, display: Display) -> Mapping[int, Said]:
    """Serve the page until it says done or a signal stops it; returns what was said about photos."""
    from clipcli.commands.review.serve import open_decisions, serve

    display.say(f"{_shown(review)}. Decisions go into {file.output}; Ctrl-C or Done on the page ends the review.")

    def show(event: Event) -> None:
        display.show(event)
        if isinstance(event, PageServed):
            # The address is for who opens it elsewhere: a script, or a person without a browser here.
            print(event.url, flush=True)
            if file.browser and not webbrowser.open(event.url):
                display.say("No browser was found; open that address in one.")

    with open_decisions(review, file.output) as decisions:
        try:
            result_of(serve(review, decisions), show=show)
        except KeyboardInterrupt:
            display.say("Stopped.")
        return decisions.said


def _shown(review: Review) -> str:
    """How many photos the page has, and which."""
    count = len(review.photos)
    photos = f"{count:,} photo{'' if count == 1 else 's'}"
    first = f"the first {photos} of {review.total:,}" if count < review.total else photos
    at_random = f", {len(review.drawn):,} of them drawn at random" if review.drawn else ""
    before = f", {len(review.said):,} reviewed before" if review.said else ""
    return f"{first[0].upper()}{first[1:]} to review{at_random}{before}"


def _summary(review: Review, said: Mapping[int, Said], *, file: str) -> Iterator[str]:
    """How many photos were reviewed, how many labels were right, and what to do with the corrections."""
    from clipcli.commands.review.decisions import accuracy, is_right

    if not said:
        yield "No photo was reviewed."
        return
    right = sum(is_right(review.photos[n], labels) for n, labels in said.items())
    yield (
        f"{len(said):,} of {len(review.photos):,} photos reviewed: {right:,} labels confirmed,"
        f" {len(said) - right:,} corrected."
    )
    found = accuracy(review.photos, review.drawn, said)
    if found is not None:
        yield (
            f"Accuracy by {found.count:,} photo{'' if found.count == 1 else 's'} drawn at random:"
            f" {found.right / found.count:.1%} [{found.low * 100:.1f}, {found.high * 100:.1f}]."
        )
    yield f"{file}: use it with clipcli classify PHOTOS --update --corrections {shlex.quote(file)}"
    yield f"Or learn from it: clipcli adapt --corrections {shlex.quote(file)} --classifier classes.safetensors"
