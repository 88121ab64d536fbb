"""Readers of files, given any bytes: each gives a value or a `ClipcliError`, and soon; `make fuzz` takes longer."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.execute import execute
from fuzz.inputs import SEEDS, TOKENS, edited
from fuzz.targets import TARGETS

# Executions of each target.
EXAMPLES = int(os.environ.get("CLIPCLI_FUZZ_EXAMPLES", "25"))
_SHARE = st.floats(0, 1)
_EDITS = st.lists(st.tuples(_SHARE, _SHARE, st.sampled_from(TOKENS) | st.binary(max_size=8)), min_size=1, max_size=4)


@pytest.mark.parametrize("target", TARGETS)
def test_any_bytes_give_a_value_or_an_error_of_clipcli(target: str) -> None:
    seeds = SEEDS[target]

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(seeds), _EDITS)
    def fuzz(seed: Path, edits: list[tuple[float, float, bytes]]) -> None:
        with TemporaryDirectory() as folder:
            execute(target, edited(seed.read_bytes(), edits), seed=seed, folder=Path(folder))

    fuzz()


@pytest.mark.parametrize(
    ("target", "seed"),
    [(target, seed) for target, seeds in SEEDS.items() for seed in seeds],
    ids=lambda one: str(getattr(one, "name", one)),
)
def test_seeds_and_what_once_failed(target: str, seed: Path, tmp_path: Path) -> None:
    read = execute(target, seed.read_bytes(), seed=seed, folder=tmp_path)
    # A seed that is refused would try nothing.
    assert read or seed.parent.name == "crashes"
