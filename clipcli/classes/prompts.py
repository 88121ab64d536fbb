"""Prompt sets: templates such as `a photo of a {}.` that class names are put into.

A template holds one `{}`. A prompt set is shipped in `prompts/`, or is a file of your own or a single template.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clipcli.classes.given import read_classes
from clipcli.classes.labels import LabelledClass
from clipcli.classes.mapping import MappedLabels
from clipcli.errors import BadFile, InputNotFound, UnknownName, one_line, unknown
from clipcli.notices import Notices
from clipcli.parsed import yaml_of

DEFAULT_PROMPTS = "imagenet"
FILE_SUFFIXES = (".yaml", ".yml", ".txt")


@dataclass(frozen=True, slots=True)
class PromptSet:
    """Named templates in order; `about` is a sentence about them and `source` their origin, for `clipcli prompts`."""

    name: str
    templates: tuple[str, ...]
    about: str = ""
    source: str = ""


def prompts_folder() -> Path:
    """The folder of the shipped prompt sets: in the package if it is installed, beside it in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "prompt_sets"
    return installed if installed.is_dir() else package.parent / "prompts"


def prompt_set_names() -> list[str]:
    """The names of the shipped prompt sets, sorted."""
    return sorted(path.stem for path in prompts_folder().glob("*.yaml"))


def load_prompts(spec: str) -> PromptSet:
    """Load a prompt set by its name, from a `.yaml` or `.txt` file, or of a single template.

    Raises `UnknownName` for anything else, `InputNotFound` if there is no such file, and `BadFile` for a file that is
    no prompt set or a template without exactly one `{}`.
    """
    if "{}" in spec:
        return PromptSet(name=spec, templates=(_checked(spec, where="--prompts"),))
    if spec in prompt_set_names():
        return _read_yaml(prompts_folder() / f"{spec}.yaml", name=spec)
    path = Path(spec)
    if path.suffix.lower() in FILE_SUFFIXES:
        if not path.is_file():
            raise InputNotFound(f"no prompts file {spec}; check the path")
        return _read_txt(path) if path.suffix.lower() == ".txt" else _read_yaml(path, name=spec)
    if "{" in spec or " " in spec:
        raise UnknownName(
            f"the template '{spec}' has no {{}}; write {{}} where the label goes, as in 'a photo of a {{}}.'"
        )
    raise unknown("prompt set", spec, prompt_set_names(), see="clipcli prompts")


def prompts_of(labelled: LabelledClass, templates: Sequence[str]) -> tuple[str, ...]:
    """All prompts of a class: each of its names in each template, then its descriptions unchanged."""
    # str.replace, not str.format: a label or a template may hold braces of its own.
    named = (template.replace("{}", name) for name in labelled.names for template in templates)
    return (*named, *labelled.descriptions)


def _checked(template: str, *, where: str) -> str:
    count = template.count("{}")
    if count != 1:
        raise BadFile(f"{where}: the template '{template}' has {count or 'no'} {{}}; write one where the label goes")
    return template


def _read_txt(path: Path) -> PromptSet:
    lines = enumerate(_text(path).splitlines(), 1)
    templates = tuple(
        _checked(line.strip(), where=f"{path} line {number}")
        for number, line in lines
        if line.strip() and not line.startswith("#")
    )
    return _filled(PromptSet(name=str(path), templates=templates))


def _read_yaml(path: Path, *, name: str) -> PromptSet:
    try:
        content = yaml_of(_text(path))
    except ValueError as e:
        raise BadFile(f"{path}: not YAML: {one_line(e)}; check the indentation and quotes") from None
    if isinstance(content, list):
        content = {"templates": content}
    templates = content.get("templates") if isinstance(content, dict) else None
    if not isinstance(templates, list) or not all(isinstance(t, str) for t in templates):
        raise BadFile(f"{path}: no list of templates; write one template a line, each after '- ', in quotes")
    checked = tuple(_checked(t, where=f"{path}, template {n}") for n, t in enumerate(templates, 1))
    about, source = str(content.get("about") or ""), str(content.get("source") or "")
    return _filled(PromptSet(name=name, templates=checked, about=about, source=source))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        raise BadFile(f"cannot read prompts file {path}: {e}; save it as UTF-8 text") from None


def _filled(prompt_set: PromptSet) -> PromptSet:
    if not prompt_set.templates:
        raise BadFile(f"{prompt_set.name}: no templates in it; write at least one, as in 'a photo of a {{}}.'")
    return prompt_set


@dataclass(frozen=True, slots=True)
class PromptedClasses:
    """Classes with the prompt set that their names go into: all that a classifier needs beside a model."""

    classes: tuple[LabelledClass, ...]
    prompt_set: PromptSet

    def prompts(self) -> list[tuple[str, ...]]:
        """The prompts of each class, in the order of the classes."""
        return [prompts_of(labelled, self.prompt_set.templates) for labelled in self.classes]


def read_prompted_classes(
    labels: str | Path | Sequence[str] | MappedLabels,
    prompts: str | None,
    notices: Notices,
    *,
    keep_names: bool = False,
    keep_duplicates: bool = False,
    taxonomy: str | None = None,
) -> PromptedClasses:
    """Read and check labels and prompts; the default prompt set is `imagenet`.

    Labels become words in prompts unless `keep_names`, and duplicates one class unless `keep_duplicates`; `notices`
    counts both. With a `taxonomy` they are in its groups. Raises `BadFile`, `InputNotFound` or `UnknownName`, and as
    `in_taxonomy`.
    """
    return PromptedClasses(
        read_classes(labels, notices, keep_names=keep_names, keep_duplicates=keep_duplicates, taxonomy=taxonomy),
        load_prompts(DEFAULT_PROMPTS if prompts is None else prompts),
    )
