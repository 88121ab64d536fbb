"""While a model is loaded no garbage is looked for."""

from __future__ import annotations

import gc

import pytest

from clipcli.cli.garbage import pause_collector
from clipcli.errors import UsageError
from clipcli.events import Event, InputsFound, ModelKnown, ModelLoaded


@pytest.mark.parametrize("event", [ModelLoaded("tiny", "on cpu", ""), ModelKnown("tiny", "fp32", "")])
def test_garbage_is_looked_for_again_once_a_model_is_there(event: ModelLoaded | ModelKnown) -> None:
    shown: list[Event] = []
    with pause_collector(shown.append) as show:
        show(InputsFound(3))
        assert not gc.isenabled()
        show(event)
        assert gc.isenabled()
    assert shown == [InputsFound(3), event]
    assert gc.get_freeze_count() == 0


def test_garbage_is_looked_for_again_after_a_failure() -> None:
    with pytest.raises(UsageError), pause_collector(print):
        raise UsageError("no such model")
    assert gc.isenabled()


def test_where_no_garbage_is_looked_for_none_is_later() -> None:
    gc.disable()
    try:
        with pause_collector(lambda _: None) as show:
            show(ModelLoaded("tiny", "on cpu", ""))
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
