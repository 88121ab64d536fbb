"""What was found, in words: for the terminal and for the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clipcli.commands.find.run import Finding


def told(finding: Finding, *, duplicates: bool) -> str:
    """What was found among how many images, in a sentence."""
    images = f"{finding.images:,} {'image' if finding.images == 1 else 'images'}"
    if duplicates:
        count, groups = sum(len(same.photos) for same in finding.groups), len(finding.groups)
        if not groups:
            return f"None of {images} is there twice."
        copies = sum(photo.copy_of is not None for same in finding.groups for photo in same.photos)
        of_them = "1 is a copy" if copies == 1 else f"{copies:,} are copies"
        return (
            f"{count:,} of {images} are alike, in {groups:,} {'group' if groups == 1 else 'groups'}; {of_them} of"
            " another to the byte. In each the one of the most pixels comes first, among those that of the most bytes."
        )
    if not finding.hits:
        return f"None of {images} reaches the score; lower it, or leave it out."
    first, last = finding.hits[0].score, finding.hits[-1].score
    scores = f"a score of {first:.3f}" if len(finding.hits) == 1 else f"scores from {first:.3f} down to {last:.3f}"
    return f"The best {len(finding.hits):,} of {images}, with {scores}; a score is a cosine."
