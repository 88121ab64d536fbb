"""Tables are literal and whole: what one names is there, and what is there one names."""

from __future__ import annotations

import zlib

import pytest
from safetensors.numpy import load_file

import clipcli
from clipcli.backbones import DEFAULT_MODEL, ORIGINS
from clipcli.backbones.bundled import BUNDLED, folder
from clipcli.backbones.catalogue import bundled_model
from clipcli.classes.label_files import READERS
from clipcli.classes.prompts import DEFAULT_PROMPTS, load_prompts, prompt_set_names
from clipcli.cli import COMMANDS, command_of
from clipcli.commands.classify.settings import ClassifySettings
from clipcli.commands.convert import forms
from clipcli.commands.convert.settings import FORMS
from clipcli.commands.train import defaults, loss, settings
from clipcli.data import reference
from clipcli.data.kinds import KINDS
from clipcli.data.pairs import CAPTION_KINDS
from clipcli.data.tables import TABLES, TEXT_TABLES
from clipcli.loaded import LoadSettings
from clipcli.outputs import WRITERS
from clipcli.outputs.check import choose_format
from clipcli.scoring import kinds, score
from clipcli.settings import described


def test_the_public_names_resolve() -> None:
    assert sorted(clipcli.__all__) == clipcli.__all__
    for name in clipcli.__all__:
        assert getattr(clipcli, name).__doc__
    assert set(clipcli.__all__) <= set(dir(clipcli))


def test_every_score_has_its_function() -> None:
    assert set(score._FUNCTIONS) == set(kinds.SCORES) - {"auto"}


def test_every_loss_has_its_function() -> None:
    assert set(loss.LOSS_FUNCTIONS) == set(settings.LOSSES)


def test_every_form_is_made() -> None:
    assert list(forms.FORMS) == list(FORMS)


def test_every_default_is_of_a_setting() -> None:
    assert (defaults.FINE_TUNE.keys() | defaults.PRETRAIN.keys()) <= settings.FIELDS.keys()


def test_every_format_is_chosen_by_its_suffixes() -> None:
    for name, form in WRITERS.items():
        assert {choose_format(f"labels{suffix}", None) for suffix in form.suffixes} == {name}


def test_every_command_says_what_it_does() -> None:
    assert all(command_of(name).__doc__ for name in COMMANDS)


@pytest.mark.parametrize("name", BUNDLED)
def test_every_bundled_model_is_small_and_has_a_card(name: str) -> None:
    model = bundled_model(name)
    assert model.weights is not None
    # What a wheel makes of it.
    assert len(zlib.compress(model.weights.read_bytes())) <= 24e6
    tensors = load_file(model.weights).values()
    assert {tensor.dtype.name for tensor in tensors if tensor.ndim > 1} == {"float16"}
    # The rows of tokens that no text held.
    assert min((tensor != 0).any(axis=1).mean() for tensor in tensors if tensor.ndim == 2) < 0.9
    card = (folder(name) / "README.md").read_text(encoding="utf-8")
    assert {"## Trained on", "## Figures", "## Not for"} <= set(card.splitlines())
    assert f"{model.image_size} pixels" in " ".join(card.split())


def test_defaults_are_in_the_tables() -> None:
    assert DEFAULT_PROMPTS in prompt_set_names()
    assert ORIGINS["tag"](DEFAULT_MODEL) is not None
    assert described(ClassifySettings)["model"].by_default == DEFAULT_MODEL
    assert described(LoadSettings)["model"].by_default == DEFAULT_MODEL


def test_every_kind_of_input_is_in_the_help() -> None:
    assert all(kind.written in described(ClassifySettings)["inputs"].text for kind in KINDS.values())


def test_every_prompt_set_says_what_it_is_for() -> None:
    assert all(load_prompts(name).about and load_prompts(name).source for name in prompt_set_names())


def test_every_table_has_rows() -> None:
    assert all((ORIGINS, KINDS, READERS, WRITERS, COMMANDS, CAPTION_KINDS, TABLES, reference.READERS))
    assert set(TEXT_TABLES) < TABLES.keys()
