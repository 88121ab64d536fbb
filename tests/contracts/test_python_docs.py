"""The page about Python and the notebook are true: their code runs, and gives what they say."""

from __future__ import annotations

import io
import re
import runpy
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from places import ROOT

PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
NOTEBOOK = ROOT / "examples" / "notebook.ipynb"
# A block of code and the block of what it prints.
PRINTED = re.compile(r"```python\n(.*?)```\n\n```\n(.*?)```", re.DOTALL)


@pytest.mark.slow
def test_every_block_of_the_page_prints_what_stands_below_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("skimage", reason="the photos are scikit-image's: pip install 'scikit-image>=0.22'")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "examples" / "demo_photos.py"))["main"](Path("photos"))
    blocks = PRINTED.findall(PAGE)
    assert len(blocks) == PAGE.count("```python\n") >= 8
    scope: dict[str, object] = {}
    for code, expected in blocks:
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(compile(code, "docs/python.md", "exec"), scope)
        assert printed.getvalue() == expected, code


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_the_notebook_gives_what_stands_below_its_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("nbclient", "ipykernel", "skimage"):
        pytest.importorskip(module, reason=f"{module} is not installed: pip install '.[dev]'")
    import nbformat
    from nbclient import NotebookClient

    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    stored = nbformat.read(NOTEBOOK, as_version=4)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    for cell, before in zip(notebook.cells, stored.cells, strict=True):
        assert results(cell) == results(before), cell.source
    assert sum(len(results(cell)) for cell in stored.cells) >= 4


def results(cell: dict) -> list[str]:
    """What a cell gives, as text."""
    return [output["data"]["text/plain"] for output in cell.get("outputs", []) if "data" in output]


def test_the_notebook_is_small() -> None:
    assert NOTEBOOK.stat().st_size < 20_000
