"""Help comes at once, loading nothing heavy, and neither does importing the package."""

from __future__ import annotations

import subprocess
import sys

import pytest

from clipcli.cli import COMMANDS

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
    assert (
        loaded_by(
            "import clipcli; clipcli.Row; clipcli.ClipcliError; clipcli.TrainConfig; clipcli.EvaluateSettings;"
            " clipcli.load; clipcli.LoadedModel"
        )
        == set()
    )
