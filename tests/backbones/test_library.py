"""open_clip without torch's compiler, which stays usable, in processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

LEFT_OUT = """
from clipcli.backbones.library import open_clip
import sys, torch, torchvision
assert "torch._dynamo" not in sys.modules
assert not any(name.startswith("torch._inductor") for name in sys.modules)
assert "transformers" not in sys.modules
assert sys.modules["open_clip"] is open_clip
"""
STILL_THERE = {
    "the question is answered": "import torch._dynamo.utils as u; assert u.is_compile_supported('cpu') is not None",
    "an operator that asks it": (
        "boxes = torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0]])\n"
        "pooled = torchvision.ops.roi_align(torch.ones(1, 1, 8, 8), boxes, 2)\n"
        "assert pooled.shape == (1, 1, 2, 2)"
    ),
    "what was asked before, asked again": (
        "from torchvision.ops.roi_align import is_compile_supported as asks\n"
        "assert asks('cpu') in (True, False)\n"
        "import torch._dynamo.utils; assert 'torch._dynamo' in sys.modules"
    ),
    "a function is compiled": (
        "double = torch.compile(lambda x: 2 * x, backend='eager')\nassert double(torch.ones(1)).item() == 2.0"
    ),
    "a function is not to be compiled": (
        "import torch._dynamo\nassert torch.compiler.disable(abs)(-1) == 1\n"
        "assert torch.compiler.disable.__module__ == 'torch.compiler'"
    ),
    "transformers": (
        "import importlib.util as u\n"
        "from clipcli.backbones.library import with_transformers\n"
        "if u.find_spec('transformers'):\n"
        "    with_transformers()\n"
        "    import transformers\n"
        "    assert open_clip.hf_model.PretrainedConfig is transformers.PretrainedConfig\n"
        "    assert open_clip.model.HFTextEncoder is open_clip.hf_model.HFTextEncoder"
    ),
    "a model of timm's": (
        "import timm\nassert len(timm.create_model('test_resnet').eval()(torch.ones(1, 3, 32, 32))) == 1"
    ),
}


def failure_of(program: str) -> str:
    """The exit code and the messages of a program that failed; empty if it did not."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return f"{done.returncode}: {done.stderr}" if done.returncode else ""


@pytest.mark.slow
@pytest.mark.parametrize("then", STILL_THERE.values(), ids=STILL_THERE)
def test_the_compiler_is_left_out_and_still_there(then: str) -> None:
    assert failure_of(LEFT_OUT + then) == ""


@pytest.mark.slow
def test_a_compiler_that_is_there_already_stays() -> None:
    program = (
        "import sys, torch._dynamo.utils as before\n"
        "from clipcli.backbones.library import open_clip\n"
        "assert sys.modules['torch._dynamo.utils'] is before"
    )
    assert failure_of(program) == ""


@pytest.mark.slow
def test_labelling_photos_leaves_the_compiler_out(tmp_path: object) -> None:
    program = (
        "import sys\nfrom PIL import Image\nimport clipcli\n"
        f"Image.new('RGB', (80, 60), 'red').save({str(tmp_path)!r} + '/red.png')\n"
        f"rows = list(clipcli.classify({str(tmp_path)!r}, labels=['red', 'blue'], model='tiny', cache=False))\n"
        "assert len(rows) == 1 and 'torch._dynamo' not in sys.modules"
    )
    assert failure_of(program) == ""
