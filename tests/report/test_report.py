"""Pages open offline, show every name as text, and draw the same charts from the same numbers."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
import warnings
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from clipcli.errors import OutputFailed
from clipcli.report import (
    Bar,
    Charts,
    Code,
    Gallery,
    Group,
    Headline,
    Number,
    Page,
    Section,
    Table,
    Thumbnail,
    Verdict,
    write_page,
)
from clipcli.report.line_charts import Point, lines, thin, trade_off

HOSTILE = "\"onload=x><img>'&"
PIXEL = "data:image/png;base64,iVBORw0KGgo="


class Reader(HTMLParser):
    """What a browser would see: the tags with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def curve(title: str = "Loss", *, n: int = 4, **look: bool) -> str:
    return lines(
        {"training": (range(n), [1 / (i + 1) for i in range(n)])}, title=title, x_label="step", y_label="", **look
    )


def everywhere(text: str) -> Page:
    """A page that shows this text in every place that takes one."""
    sections: list[Section] = [
        Verdict([text, text], bad=True),
        Headline([Number(text, text, text)], heading=text),
        Charts(text, [lines({text: ([1], [2]), f"{text} ": ([1], [3])}, title=text, x_label=text, y_label=text)], text),
        Charts(text, [text]),
        Table(text, (text, text), [(text, Bar(text, 0.5)), (text, text)], text),
        Code(text, text),
        Gallery(text, [Group([Thumbnail(PIXEL, text, text, 0.5)], text, text)], text, filtered=True),
    ]
    return Page(text, text, sections)


def written(path: Path, page: Page) -> str:
    write_page(path / "page.html", page)
    return (path / "page.html").read_text(encoding="utf-8")


def test_a_hostile_name_is_text_wherever_it_stands(tmp_path: Path) -> None:
    tame, hostile = (Reader(written(tmp_path, everywhere(text))) for text in ("tame", HOSTILE))
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in tame.tags]
    assert hostile.text.count(HOSTILE) == tame.text.count("tame") >= 19
    handlers = {name for _, attributes in hostile.tags for name in attributes if name.startswith("on")}
    assert handlers == set()


def test_a_page_forbids_requests_and_all_scripts_but_its_own(tmp_path: Path) -> None:
    page = Reader(written(tmp_path, everywhere("name")))
    [policy] = [meta["content"] for meta in page.of("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in str(policy).split(";"))
    assert rules.items() >= {"default-src": "'none'", "style-src": "'unsafe-inline'", "img-src": "data:"}.items()
    assert page.of("script") == [{}]
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    script = html[html.index("<script>") + 8 : html.index("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert rules["script-src"] == f"'sha256-{digest}'"


def test_a_page_fetches_nothing_from_outside(tmp_path: Path) -> None:
    html = written(tmp_path, everywhere("name"))
    links = [v for _, attributes in Reader(html).tags for k, v in attributes.items() if k in ("src", "href", "srcset")]
    assert links
    assert {str(link) for link in links if not str(link).startswith(("#", "data:"))} == set()
    assert not re.search(r"https?:|@import|url\((?!#)", html)


def test_the_same_page_gives_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_page(tmp_path / folder / "page.html", everywhere("name"))
    assert (tmp_path / "a/page.html").read_bytes() == (tmp_path / "b/page.html").read_bytes()


def test_a_chart_is_the_same_in_another_process() -> None:
    code = "from clipcli.report.line_charts import lines; import sys; sys.stdout.reconfigure(encoding='utf-8')\n"
    code += "print(lines({'a': ([1, 2], [3, 4])}, title='t', x_label='x', y_label='y'), end='')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", timeout=120, check=True)
    assert done.stdout == lines({"a": ([1, 2], [3, 4])}, title="t", x_label="x", y_label="y")


def test_nothing_is_left_beside_a_page(tmp_path: Path) -> None:
    page = Page("title", "", [])
    (tmp_path / "folder").mkdir()
    write_page(tmp_path / "page.html", page)
    for place in ("folder", "nowhere/page.html"):
        with pytest.raises(OutputFailed, match=place):
            write_page(tmp_path / place, page)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "page.html"]


def test_a_name_that_is_not_utf8_is_shown_as_an_escape(tmp_path: Path) -> None:
    assert r"photo\udcff.jpg" in Reader(written(tmp_path, everywhere("photo\udcff.jpg"))).text


def test_numbers_are_set_apart_from_text_and_one_row_is_marked(tmp_path: Path) -> None:
    table = Table("T", ("class", "like", "images"), [("cat", "dog", "3"), ("cow", None, "4")], text_columns=2, marked=1)
    page = Reader(written(tmp_path, Page("title", "", [table])))
    assert [cell.get("class") for cell in page.of("td")] == ["text", "text", None] * 2
    assert [row.get("class") for row in page.of("tr")] == [None, None, "marked"]
    assert "None" not in page.text


def test_every_colour_of_a_chart_is_one_of_the_page(tmp_path: Path) -> None:
    chart = lines({f"{n}": ([1, 2], [n, 2]) for n in range(7)}, title="t", x_label="x", y_label="y")
    html = written(tmp_path, Page("title", "", [Charts("F", [chart])]))
    used = set(re.findall(r"var\((--[\w-]+)", chart))
    styles = html[: html.index("</style>")]
    light, dark = (set(re.findall(r"(--[\w-]+):", part)) for part in styles.split("prefers-color-scheme: dark"))
    assert len(used) >= 8
    assert used <= light & dark
    assert set(re.findall(r"(?<!, )#[0-9a-f]{6}\b", chart)) == set()


def test_ids_are_unique_across_the_charts_of_a_page_and_lead_somewhere(tmp_path: Path) -> None:
    charts = [curve("Loss"), curve("Rate"), curve("Loss", n=5), curve("Long", n=999, log_y=True)]
    html = written(tmp_path, Page("title", "", [Charts("F", charts)]))
    ids = [attributes["id"] for _, attributes in Reader(html).tags if "id" in attributes]
    targets = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', html))
    assert len(ids) == len(set(ids)) >= 4
    assert {a or b for a, b in targets} == set(ids)


def test_a_chart_says_what_it_shows() -> None:
    root = ElementTree.fromstring(
        lines({"a": ([1, 2], [0.25, 0.5])}, title="Top-1", x_label="step", y_label="", percent=True)
    )
    assert (root.tag, root.get("role")) == ("svg", "img")
    assert root.get("aria-label") == "Top-1, by step: a from 25.0% to 50.0%"
    assert {element.tag for element in root.iter()} & {"style", "metadata", "script"} == set()


def texts(chart: str) -> set[str]:
    return {"".join(element.itertext()).strip("\u2060") for element in ElementTree.fromstring(chart).iter("text")}


def test_only_several_series_have_a_legend() -> None:
    one = lines({"alone": ([1, 2], [1, 2])}, title="t", x_label="x", y_label="y")
    two = lines({"_first": ([1, 2], [1, 2]), "$second$": ([1, 2], [2, 1])}, title="t", x_label="x", y_label="y")
    assert "alone" not in texts(one)
    assert {"_first", "$second$"} <= texts(two)


@pytest.mark.parametrize(("n", "markers"), [(1, 1), (10, 10), (300, 0)])
def test_few_points_have_markers(n: int, markers: int) -> None:
    root = ElementTree.fromstring(lines({"a": (range(n), range(n))}, title="t", x_label="x", y_label="y"))
    styles = [str(element.get("style")) for element in root.iter("use")]
    # The band of a long series is drawn the same way, and can be seen through.
    assert sum("var(--series-1" in style and "opacity" not in style for style in styles) == markers


def test_a_long_series_is_thinned_to_the_means_of_its_bins() -> None:
    x = np.arange(100_000)
    thinned = thin(x, np.where(x % 2, 3.0, 1.0))
    assert 100 <= len(thinned.x) <= 500
    assert np.allclose((thinned.y, thinned.low, thinned.high), [[2.0], [1.0], [3.0]])
    assert thinned.x[0] < thinned.x[-1]
    assert len(lines({"a": (x, x % 7)}, title="t", x_label="x", y_label="y")) < 60_000


def test_a_short_series_is_left_as_it_is() -> None:
    thinned = thin([10, 20, 30], [3.0, float("nan"), 1.0])
    assert thinned.x.tolist() == [10, 20, 30]
    assert np.array_equal(thinned.y, [3.0, np.nan, 1.0], equal_nan=True)


def test_x_and_y_of_two_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        thin([1, 2, 3], [1, 2])


@pytest.mark.parametrize(
    ("values", "ticks"),
    [([0.1, 1000.0], {"0.1", "1", "10", "100", "1,000"}), ([1.0, 2.0], {"1.25"}), ([0.0, 1000.0], {"250"})],
    ids=["wide", "narrow", "with zero"],
)
def test_a_logarithmic_axis_is_only_for_what_spans_a_factor_of_ten_above_0(
    values: list[float], ticks: set[str]
) -> None:
    assert ticks <= texts(lines({"a": ([1, 2], values)}, title="t", x_label="x", y_label="y", log_y=True))


def test_the_ticks_of_an_axis_differ() -> None:
    """The logit scale of a short run hardly moves."""
    chart = lines({"": ([1, 2, 3], [19.3701, 19.3702, 19.3705])}, title="t", x_label="x", y_label="y")
    ticks = [text for element in ElementTree.fromstring(chart).iter("text") if (text := "".join(element.itertext()))]
    assert {"19.3702", "19.3704"} <= set(ticks)
    assert len(ticks) == len(set(ticks))


@pytest.mark.parametrize("values", [[], [float("nan")] * 3, [float("inf")]], ids=["empty", "nan", "infinite"])
def test_a_chart_without_numbers_says_so(values: list[float]) -> None:
    assert "no values" in texts(lines({"a": (range(len(values)), values)}, title="t", x_label="x", y_label="y"))


def test_a_chart_takes_any_name_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chart = lines({"猫\x00\ud800\n$": ([1], [1]), "b" * 999: ([1], [2])}, title="\x1b", x_label="ش", y_label="y")
    assert "猫\ufffd\ufffd $" in texts(chart)
    assert max(len(text) for text in texts(chart)) < 50


def test_the_users_own_style_of_matplotlib_changes_nothing() -> None:
    import matplotlib

    plain = curve()
    with matplotlib.rc_context({"axes.xmargin": 0.3, "font.size": 30, "svg.fonttype": "path"}):
        assert curve() == plain
        assert matplotlib.rcParams["font.size"] == 30


def test_a_trade_off_names_its_points_where_there_is_room() -> None:
    points = [
        Point("start", 0.22, 0.3),
        Point("hidden", 0.2199, 0.301),
        Point("kept", 0.2, 0.6),
        Point("end", 0.1, 0.7),
    ]
    chart = trade_off(points, title="t", x_label="x", y_label="y", marked=2)
    assert {"start", "kept", "end"} <= texts(chart)
    assert "hidden" not in texts(chart)
    assert "hidden: 22.0%, 30.1%" in str(ElementTree.fromstring(chart).get("aria-label"))


def test_importing_the_room_loads_neither_matplotlib_nor_jinja() -> None:
    heavy = "{'matplotlib', 'jinja2', 'torch'}"
    code = f"import sys, clipcli.report, clipcli.report.line_charts; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"
