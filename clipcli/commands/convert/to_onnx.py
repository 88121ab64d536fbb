"""Two files of ONNX, one a tower, which ONNX Runtime runs and clipcli reads: nearly any model can have this form."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from clipcli.backbones import causal
from clipcli.backbones.backbone import normalised
from clipcli.backbones.checkpoint import CONFIG_NAME, IMAGE, ONNX_TABLE, TEXT
from clipcli.backbones.onnx_towers import FILES, INPUTS, OUTPUTS, session
from clipcli.backbones.open_clip_folder import as_json, config_of, save_tokenizer
from clipcli.backbones.token_bits import as_bits
from clipcli.commands.convert.form import Form, ReadBack, Source
from clipcli.commands.convert.tracing import traceable
from clipcli.errors import ClipcliError, one_line

# Above this many bytes of weights a file of ONNX, which holds at most 2 GB, keeps them in another beside it.
_MOST_IN_ONE = 1_500_000_000


class _Image(nn.Module):
    def __init__(self, towers: Any) -> None:
        super().__init__()
        self.towers = towers

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.towers.encode_image(images)
        return found


class _Text(nn.Module):
    def __init__(self, towers: Any) -> None:
        super().__init__()
        self.text = towers.text

    def forward(self, tokens: Tensor) -> Tensor:
        if causal.is_causal(self.text):
            features = causal.encode_trimmed(self.text, tokens, causal.ends(self.text, tokens))
        else:
            found = self.text(tokens)
            features = found[0] if isinstance(found, tuple) else found
        return functional.normalize(features, dim=-1)


def _write(folder: Path, source: Source) -> None:
    backbone = source.backbone
    towers: Any = backbone.towers
    tokens = backbone.tokenizer(["a photo of a cat", "a dog"])
    is_causal = causal.is_causal(towers.text)
    _export(folder, IMAGE, _Image(towers), torch.zeros(2, 3, *backbone.preprocessing.size))
    # A causal tower takes texts of any length up to the context.
    _export(folder, TEXT, _Text(towers), tokens, **({"length": tokens.shape[1]} if is_causal else {}))
    save_tokenizer(folder, backbone)
    about = {
        "logit_scale": float(towers.logit_scale.detach()),
        "logit_bias": backbone.logit_bias,
        "text": {
            "is_causal": is_causal,
            "end": causal.end_token(towers.text),
            "untrained": as_bits(backbone.untrained_tokens()),
        },
    }
    config = {**config_of(source.checkpoint, backbone), "precision": "fp32", ONNX_TABLE: about}
    (folder / CONFIG_NAME).write_text(as_json(config), encoding="utf-8")


def _export(folder: Path, name: str, tower: nn.Module, example: Tensor, *, length: int | None = None) -> None:
    shape = {0: torch.export.Dim.DYNAMIC} | ({} if length is None else {1: torch.export.Dim.DYNAMIC})
    size = sum(weight.numel() * weight.element_size() for weight in tower.parameters())
    try:
        with traceable(), warnings.catch_warnings():
            # The exporter warns about what it itself does.
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                tower.eval(),
                (example,),
                dynamo=True,
                input_names=[INPUTS[name]],
                output_names=[OUTPUTS[name]],
                dynamic_shapes=(shape,),
                verbose=False,
            )
    # The exporter raises nearly anything on operations that it does not know.
    except Exception as e:
        raise ClipcliError(
            f"torch cannot write the {name} tower in ONNX ({one_line(e)}); take --to open_clip"
        ) from None
    # With dynamo there is one.
    assert program is not None
    program.save(folder / FILES[name], external_data=size > _MOST_IN_ONE)


def _read(folder: Path, source: Source) -> Sequence[ReadBack]:
    import onnxruntime

    preprocessing, tokenizer = source.backbone.preprocessing, source.backbone.tokenizer
    image, text = (session(folder / FILES[name]) for name in (IMAGE, TEXT))

    def encode(tower: Any, name: str, given: Tensor) -> Tensor:
        return torch.from_numpy(tower.run(None, {INPUTS[name]: given.numpy()})[0])

    return [
        ReadBack(
            f"ONNX Runtime {onnxruntime.__version__}",
            lambda pixels: encode(image, IMAGE, normalised(pixels, preprocessing)),
            lambda texts: encode(text, TEXT, tokenizer(list(texts))),
        )
    ]


FORM = Form(
    packages=("onnxruntime", "onnx", "onnxscript"),
    refusal=lambda _: None,
    write=_write,
    read=_read,
    use='onnxruntime.InferenceSession("{folder}/image.onnx")',
)
