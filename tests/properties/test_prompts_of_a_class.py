"""A class has as many prompts as it has names and templates, and its descriptions as they are."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from clipcli.classes.labels import LabelledClass
from clipcli.classes.prompts import prompts_of

TEXTS = st.text(max_size=8) | st.sampled_from(["{}", "{0}", "a {} b", "}{", "{{}}", "%s"])
LABELLED = st.builds(
    LabelledClass, TEXTS, st.lists(TEXTS, max_size=3).map(tuple), st.lists(TEXTS, max_size=3).map(tuple)
)
PARTS = st.text(max_size=5).filter(lambda part: "{}" not in part and not part.endswith("{") and part[:1] != "}")
TEMPLATES = st.lists(st.tuples(PARTS, PARTS), min_size=1, max_size=4)


@settings(max_examples=50, deadline=None)
@given(labelled=LABELLED, parts=TEMPLATES)
def test_prompts_are_names_times_templates_and_the_descriptions(
    labelled: LabelledClass, parts: list[tuple[str, str]]
) -> None:
    prompts = prompts_of(labelled, [f"{before}{{}}{after}" for before, after in parts])
    names = {labelled.label, *labelled.aliases}
    count = len(names) * len(parts)
    assert len(prompts) == count + len(labelled.descriptions)
    assert prompts[count:] == labelled.descriptions
    assert prompts[: len(parts)] == tuple(f"{before}{labelled.label}{after}" for before, after in parts)
    assert {f"{before}{name}{after}" for name in names for before, after in parts} == set(prompts[:count])
