"""A model's folder runs none of its code: not by its tokenizer, its text tower, or a pickle beside them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from clipcli.backbones import find
from clipcli.backbones.load import load
from clipcli.backbones.runtime import choose_runtime
from clipcli.errors import BadFile, ClipcliError, ModelUnavailable
from clipcli.events import result_of

RAN = "ran"
CODE = "import pathlib\npathlib.Path({ran!r}).write_text('')\nclass Own: pass\n"


def given(model: str, folder: Path, **text_cfg: Any) -> Path:
    """A copy of a model, whose configuration asks for code beside it to be run; the code leaves a file `ran`."""
    shutil.copytree(model, folder)
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"] |= text_cfg
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(CODE.format(ran=str(folder / RAN)))
    own = {"AutoTokenizer": ["own.Own", "own.Own"], "AutoConfig": "own.Own"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": own, "tokenizer_class": "Own"}))
    (folder / "config.json").write_text(json.dumps({"auto_map": own, "model_type": "own"}))
    return folder


def loaded(folder: Path) -> None:
    checkpoint = result_of(find(str(folder))(), show=lambda _: None)
    load(checkpoint, runtime=choose_runtime(device="cpu"), towers=["text"])


@pytest.mark.parametrize("wants", [{}, {"trust_remote_code": True}])
def test_code_of_a_tokenizer_is_not_run(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wants: dict[str, bool]
) -> None:
    pytest.importorskip("transformers")
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda text="": asked.append(text) or "y")
    folder = given(model, tmp_path / "m", hf_tokenizer_name="own", tokenizer_kwargs=wants)
    with pytest.raises(ModelUnavailable, match="cannot get the tokenizer"):
        loaded(folder)
    assert not (folder / RAN).exists()
    assert not asked


def test_code_of_a_text_tower_is_not_run(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda text="": asked.append(text) or "y")
    folder = given(model, tmp_path / "m", hf_model_name=str(tmp_path / "m"), hf_tokenizer_name="own")
    with pytest.raises((BadFile, ModelUnavailable)):
        loaded(folder)
    assert not (folder / RAN).exists()
    assert not asked


def test_what_a_tokenizer_of_open_clip_does_not_take_is_an_error(model: str, tmp_path: Path) -> None:
    folder = given(model, tmp_path / "m", tokenizer_kwargs={"trust_remote_code": True})
    with pytest.raises(ClipcliError, match="cannot get the tokenizer"):
        loaded(folder)
    assert not (folder / RAN).exists()
