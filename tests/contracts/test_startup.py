"""Help comes at once, loading nothing heavy, and neither does importing the package.

While a model is loaded, which is not at once, no garbage is looked for.
"""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from clipcli.cli import COMMANDS
from clipcli.cli.display import Display
from clipcli.errors import UsageError
from clipcli.events import InputsFound, ModelKnown, ModelLoaded

HEAVY = (
    "torch",
    "open_clip",
    "timm",
    "transformers",
    "pandas",
    "torchvision",
    "numpy",
    "pydantic",
    "matplotlib",
    "jinja2",
    "sklearn",
    "scipy",
)


def loaded_by(code: str) -> set[str]:
    """The heavy modules that a process has loaded after running `code`."""
    report = "import sys; print(*(name for name in sys.argv[1:] if name in sys.modules), file=sys.stderr)"
    script = f"try:\n    {code}\nexcept SystemExit as e:\n    assert not e.code, e.code\n{report}"
    done = subprocess.run([sys.executable, "-c", script, *HEAVY], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_loads_nothing_heavy(command: str) -> None:
    assert loaded_by(f"from clipcli.cli import main; main({[*command.split(), '--help']})") == set()


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import clipcli; clipcli.Row; clipcli.ClipcliError") == set()


@pytest.mark.parametrize("event", [ModelLoaded("tiny", "on cpu", ""), ModelKnown("tiny", "fp32", "")])
def test_garbage_is_looked_for_again_once_a_model_is_there(event: ModelLoaded | ModelKnown) -> None:
    with Display(quiet=True, verbose=False) as display:
        display.show(InputsFound(3))
        assert not gc.isenabled()
        display.show(event)
        assert gc.isenabled()


def test_garbage_is_looked_for_again_after_a_failure() -> None:
    with pytest.raises(UsageError), Display(quiet=True, verbose=False):
        raise UsageError("no such model")
    assert gc.isenabled()
