"""The page of a review: photos to look at, keys and buttons to say what they show, progress and accuracy.

It is the same page with a server, which it tells each decision, and as a file, which saves them as a download.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipcli.report.render import rendered, write_html

# In a header, beside the policy in the page itself: no other page may show this one in a frame.
POLICY_OF_SERVER = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


def review_page(content: Mapping[str, Any]) -> str:
    """The page as HTML; `content` is what its script reads, as `commands.review.page` makes it."""
    from markupsafe import Markup

    # Names that are not UTF-8 keep their bytes as JSON escapes, and no text can end the element.
    data = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    return rendered(
        "review.html.j2",
        styles=("page.css", "review.css"),
        scripts=("review_decisions.js", "review_search.js", "review.js"),
        content=content,
        data=Markup(data),
    )


def write_review(path: Path, content: Mapping[str, Any]) -> None:
    """Write the page as one file. Raises `OutputFailed`."""
    write_html(path, review_page(content))
