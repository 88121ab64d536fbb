"""Prompt sets: shipped, from files, or a single template; and the prompts of a class."""

from __future__ import annotations

from pathlib import Path

import pytest
from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES, SIMPLE_IMAGENET_TEMPLATES

from clipcli.classes.labels import LabelledClass
from clipcli.classes.prompts import load_prompts, prompt_set_names, prompts_of
from clipcli.errors import BadFile, InputNotFound, UnknownName

SHIPPED = [
    *("actions", "aircraft", "birds", "cars", "digits", "flowers", "food", "imagenet", "imagenet-7"),
    *("name", "pets", "plain", "satellite", "scenes", "signs", "textures"),
]


@pytest.mark.parametrize(
    ("name", "oracle"), [("imagenet", OPENAI_IMAGENET_TEMPLATES), ("imagenet-7", SIMPLE_IMAGENET_TEMPLATES)]
)
def test_the_imagenet_sets_are_those_of_open_clip_in_order(name: str, oracle: list) -> None:
    prompts = prompts_of(LabelledClass("{tench}"), load_prompts(name).templates)
    assert list(prompts) == [template("{tench}") for template in oracle]


def test_the_shipped_sets_are_these() -> None:
    assert prompt_set_names() == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_set_loads_and_says_what_it_is(name: str) -> None:
    prompts = load_prompts(name)
    assert prompts.name == name
    assert prompts.templates
    assert len(set(prompts.templates)) == len(prompts.templates)
    assert prompts.about
    assert prompts.source


def test_the_set_of_the_name_alone_adds_nothing() -> None:
    assert prompts_of(LabelledClass("a cat on a sofa"), load_prompts("name").templates) == ("a cat on a sofa",)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("own.yaml", "- 'a {}.'\n- 'my {}, {x}'\n"),
        ("own.yml", "about: mine\ntemplates:\n  - 'a {}.'\n  - 'my {}, {x}'\n"),
        ("own.txt", "# mine\na {}.\n\nmy {}, {x}\n"),
        ("own.TXT", "\ufeffa {}.\r\nmy {}, {x}\r\n"),
    ],
)
def test_a_file_holds_templates_of_ones_own(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode())
    assert load_prompts(str(path)).templates == ("a {}.", "my {}, {x}")


def test_a_yaml_mapping_may_say_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("about: mine\nsource: me\ntemplates: ['a {}.']\n")
    assert (load_prompts(str(path)).about, load_prompts(str(path)).source) == ("mine", "me")


def test_a_yaml_mapping_that_says_nothing_about_itself_has_an_empty_text(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("about:\ntemplates: ['a {}.']\n")
    assert load_prompts(str(path)).about == ""


def test_a_template_is_a_set_of_its_own() -> None:
    assert load_prompts("a sketch of {}").templates == ("a sketch of {}",)


@pytest.mark.parametrize(
    ("spec", "error", "names"),
    [
        ("a {} and a {}", BadFile, "2 {}"),
        ("a photo", UnknownName, "no {}"),
        ("a {label}", UnknownName, "no {}"),
        ("imagnet", UnknownName, "did you mean imagenet"),
        ("Pets", UnknownName, "did you mean pets"),
        ("zzzzzz", UnknownName, "clipcli prompts"),
        ("missing.yaml", InputNotFound, "missing.yaml"),
        ("missing.txt", InputNotFound, "missing.txt"),
    ],
)
def test_a_wrong_spec_says_what_is_wrong(spec: str, error: type[Exception], names: str) -> None:
    with pytest.raises(error) as raised:
        load_prompts(spec)
    assert names in str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "names"),
    [
        ("own.txt", b"a {}.\n\na photo\n", "line 3: the template 'a photo' has no {}"),
        ("own.txt", b"a {} {}\n", "line 1: the template 'a {} {}' has 2 {}"),
        ("own.txt", b"# nothing\n", "no templates"),
        ("own.txt", b"caf\xe9 {}\n", "UTF-8"),
        ("own.yaml", b"- 'a {}'\n- a photo\n", "template 2: the template 'a photo' has no {}"),
        ("own.yaml", b"templates: []\n", "no templates"),
        ("own.yaml", b"", "no list of templates"),
        ("own.yaml", b"about: x\n", "no list of templates"),
        ("own.yaml", b"templates: 'a {}'\n", "no list of templates"),
        ("own.yaml", b"- a {}: x: y\n", "not YAML"),
        ("own.yaml", b"- a \x07{}\n", "not YAML"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, name: str, content: bytes, names: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadFile) as raised:
        load_prompts(str(path))
    assert name in str(raised.value)
    assert names in str(raised.value)


def test_prompts_are_names_in_templates_and_then_descriptions_verbatim() -> None:
    labelled = LabelledClass("cat", ("kitty", "cat"), ("it purrs {}", "soft"))
    assert prompts_of(labelled, ("a {}.", "my {}!")) == (
        "a cat.",
        "my cat!",
        "a kitty.",
        "my kitty!",
        "it purrs {}",
        "soft",
    )


@pytest.mark.parametrize("label", ["{}", "{0}", "{{x}}", "}{", "%s", "\\1"])
def test_braces_in_a_label_survive(label: str) -> None:
    assert prompts_of(LabelledClass(label), ("a {} in {x}",)) == (f"a {label} in {{x}}",)
