"""Weights as people have them: wrapped, beside other things, of transformers, as TorchScript, of another activation."""

from __future__ import annotations

import argparse
import json
import pathlib
import shlex
import shutil
import subprocess
import sys
import types
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from clipcli import backbones
from clipcli.backbones import activation
from clipcli.backbones.backbone import Backbone, normalised
from clipcli.backbones.checkpoint import CONFIG_NAME
from clipcli.backbones.load import load
from clipcli.backbones.runtime import choose_runtime
from clipcli.backbones.weights_file import read_state, unwrapped
from clipcli.errors import BadFile, ClipcliError, ModelUnavailable, UnsafeWeights
from clipcli.events import Event, Warned, result_of

FP32 = choose_runtime(device="cpu", precision="fp32")
TEXTS = ["a photo of a cat.", "two dogs"]
WEIGHTS = "open_clip_model.safetensors"


@pytest.fixture
def state(models: dict[str, Path]) -> dict[str, Tensor]:
    """The plain weights of the ViT."""
    return load_file(models["vit"] / WEIGHTS)


def loaded(model: str | Path) -> tuple[Backbone, list[str]]:
    """The model, and the warnings."""
    events: list[Event] = []
    backbone = load(result_of(backbones.find(str(model))(), show=events.append), runtime=FP32)
    return backbone, [event.message for event in events if isinstance(event, Warned)]


def same(path: Path, expected: dict[str, Tensor]) -> bool:
    found = read_state(path)
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("module.visual.proj", "visual.proj"),
        ("_orig_mod.visual.proj", "visual.proj"),
        ("_orig_mod.module.visual.proj", "visual.proj"),
        ("module._orig_mod.module.visual.proj", "visual.proj"),
        ("visual._orig_mod.conv1.weight", "visual.conv1.weight"),
        ("visual.trunk.module.weight", "visual.trunk.module.weight"),
        ("visual.my_orig_mod.weight", "visual.my_orig_mod.weight"),
        ("visual.proj", "visual.proj"),
    ],
)
def test_wrappers_are_taken_off_a_name(name: str, plain: str) -> None:
    """open_clip#639, pytorch-image-models#2003: what torch.compile and DistributedDataParallel put before names."""
    assert unwrapped(name) == plain


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "module._orig_mod."])
def test_wrapped_weights_are_the_plain_ones(state: dict[str, Tensor], tmp_path: Path, prefix: str, suffix: str) -> None:
    path = tmp_path / f"wrapped{suffix}"
    wrapped = {f"{prefix}{name}": weight for name, weight in state.items()}
    save_file(wrapped, path) if suffix == ".safetensors" else torch.save({"state_dict": wrapped}, path)
    assert same(path, state)


def test_weights_that_are_there_twice_are_refused(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "both.pt"
    torch.save({**state, **{f"module.{name}": weight + 1 for name, weight in state.items()}}, path)
    with pytest.raises(BadFile, match="holds some weights twice"):
        read_state(path)


def test_an_averaged_model_of_torch_loads(state: dict[str, Tensor], tmp_path: Path) -> None:
    averaged = {"n_averaged": torch.tensor(7), **{f"module.{name}": weight for name, weight in state.items()}}
    torch.save(averaged, tmp_path / "ema.pt")
    assert loaded(f"test-vit/{tmp_path}/ema.pt")[0].dimensions == 16


EXTRAS: dict[str, Any] = {
    "numpy scalar": np.float64(0.25),
    "numpy float32": np.float32(0.25),
    "numpy integer": np.int64(3),
    "numpy bool": np.bool_(True),
    "numpy array": np.arange(6.0).reshape(2, 3),
    "namespace": argparse.Namespace(lr=1e-3, model="ViT-B-32", betas=(0.9, 0.98)),
    "simple namespace": types.SimpleNamespace(lr=1e-3),
    "path": pathlib.PosixPath("/data/images"),
    "nested": {"args": argparse.Namespace(best=np.float64(0.5), log=pathlib.PosixPath("x"))},
}


@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize("new_format", [True, False])
def test_harmless_things_beside_the_weights_are_read_over(
    state: dict[str, Tensor], tmp_path: Path, extra: str, *, new_format: bool
) -> None:
    """deepmd-kit#4147, mlperf-automations#465: `weights_only` refuses numpy's numbers and argparse's Namespace."""
    path = tmp_path / "epoch_1.pt"
    content = {"epoch": 1, "state_dict": state, "extra": EXTRAS[extra]}
    torch.save(content, path, _use_new_zipfile_serialization=new_format)
    assert same(path, state)


@pytest.mark.parametrize("holder", ["state_dict", "model_state_dict", "model"])
def test_the_weights_are_found_among_the_rest(state: dict[str, Tensor], tmp_path: Path, holder: str) -> None:
    torch.save({"epoch": 3, holder: state, "optimizer": {"state": {}}, "scaler": {"scale": 2.0}}, tmp_path / "c.pt")
    assert same(tmp_path / "c.pt", state)


def test_what_is_refused_is_named_with_the_command_that_converts(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "own run" / "epoch.pt"
    path.parent.mkdir()
    torch.save({"state_dict": state, "sampler": torch.utils.data.SequentialSampler([1])}, path)
    with pytest.raises(UnsafeWeights, match=r"it holds torch\.utils\.data\.sampler\.SequentialSampler") as raised:
        read_state(path)
    [command] = [str(raised.value).split(" by ")[-1]]
    program = shlex.split(command)
    assert program[0] == "python"
    subprocess.run([sys.executable, *program[1:]], cwd=tmp_path, check=True)
    assert same(tmp_path / "plain.pt", state)


class Openai(torch.nn.Module):
    """A model as OpenAI's archives hold it: open_clip's CLIP with the three buffers beside its weights."""

    def __init__(self, clip: open_clip.CLIP) -> None:
        super().__init__()
        self.visual, self.transformer, self.token_embedding = clip.visual, clip.transformer, clip.token_embedding
        self.positional_embedding, self.ln_final = clip.positional_embedding, clip.ln_final
        self.text_projection, self.logit_scale = clip.text_projection, clip.logit_scale
        for name in ("input_resolution", "context_length", "vocab_size"):
            self.register_buffer(name, torch.tensor(32))

    def forward(self, images: Tensor) -> Tensor:
        return self.visual(images)


@pytest.fixture
def openai(models: dict[str, Path], tmp_path: Path) -> Path:
    """A TorchScript archive of the ViT in half precision, as OpenAI published its models."""
    assert models
    model = open_clip.create_model("test-vit")
    model.load_state_dict(load_file(models["vit"] / WEIGHTS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = torch.jit.trace(Openai(model).eval(), torch.zeros(1, 3, 32, 32), check_trace=False)
        torch.jit.save(script.half(), str(tmp_path / "openai.pt"))
    return tmp_path / "openai.pt"


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_openais_archive_is_read_without_its_code(openai: Path, state: dict[str, Tensor]) -> None:
    found = read_state(openai)
    theirs = torch.jit.load(str(openai)).state_dict()
    assert found.keys() == theirs.keys()
    assert all(torch.equal(found[name], theirs[name]) for name in theirs)
    backbone, said = loaded(f"test-vit/{openai}")
    assert torch.equal(backbone.towers.text.text_projection, state["text_projection"].half().float())
    [only] = said
    assert only.startswith(
        f"test-vit/{openai}: these weights were trained with QuickGELU, and the architecture has GELU"
    )


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_an_archive_with_other_things_in_it_is_refused(openai: Path, tmp_path: Path) -> None:
    spoilt = tmp_path / "spoilt.pt"
    with zipfile.ZipFile(openai) as old, zipfile.ZipFile(spoilt, "w") as new:
        for name in old.namelist():
            evil = b"cos\nsystem\n(S'touch sprung'\ntR."
            new.writestr(name, evil if name.endswith("/data.pkl") else old.read(name))
    with pytest.raises(ClipcliError):
        read_state(spoilt)
    assert not Path("sprung").exists()


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_openais_weights_are_known_as_a_plain_file_too(openai: Path, tmp_path: Path, suffix: str) -> None:
    plain, path = read_state(openai), tmp_path / f"plain{suffix}"
    save_file(plain, path) if suffix == ".safetensors" else torch.save(plain, path)
    assert len(loaded(f"test-vit/{path}")[1]) == 1


def named(weights: Path, *, arch: str, quick_gelu: bool) -> list[str]:
    """The warnings about a file, for an architecture with this activation."""
    checkpoint = result_of(backbones.find(f"test-vit/{weights}")())
    cfg = {**checkpoint.model_cfg, "quick_gelu": quick_gelu}
    changed = backbones.Checkpoint(
        name="own", weights=weights, model_cfg=cfg, preprocess_cfg={}, tokenizer="", precision=None
    )
    return [event.message for event in activation.activation_warnings(changed, arch=arch)]


@pytest.mark.parametrize(
    ("beside", "content", "quick_gelu"),
    [
        (CONFIG_NAME, {"model_cfg": {"quick_gelu": True}}, True),
        (CONFIG_NAME, {"model_cfg": {}}, False),
        ("config.json", {"text_config": {"hidden_act": "quick_gelu"}}, True),
        ("config.json", {"text_config": {"hidden_act": "gelu"}}, False),
    ],
)
def test_the_configuration_beside_weights_says_their_activation(
    state: dict[str, Tensor], tmp_path: Path, beside: str, content: Any, quick_gelu: bool
) -> None:
    """open_clip#771, open_clip#915: nothing in the weights shows it, and the scores are wrong."""
    weights = tmp_path / "own.safetensors"
    save_file(state, weights)
    (tmp_path / beside).write_text(json.dumps(content))
    assert named(weights, arch="ViT-B-32-quickgelu" if quick_gelu else "ViT-B-32", quick_gelu=quick_gelu) == []
    right, wrong = ("ViT-B-32-quickgelu", "ViT-B-32") if quick_gelu else ("ViT-B-32", "ViT-B-32-quickgelu")
    [said] = named(weights, arch=wrong, quick_gelu=not quick_gelu)
    assert said.endswith(f"so that scores are wrong; give --model {right}/{weights}")


def test_a_published_file_is_known_by_its_hash(
    state: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "renamed.pt"
    torch.save(state, weights)
    assert activation._published()["46683a32"] is True
    assert activation._published()["af8dbd0c"] is False
    monkeypatch.setattr(activation, "file_hash", lambda _: "46683a32" + "0" * 56)
    assert len(named(weights, arch="ViT-B-32", quick_gelu=False)) == 1
    monkeypatch.setattr(activation, "file_hash", lambda _: "af8dbd0c" + "0" * 56)
    assert named(weights, arch="ViT-B-32", quick_gelu=False) == []


def test_of_weights_of_unknown_origin_nothing_is_said(state: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(state, tmp_path / "own.pt")
    for quick_gelu in (True, False):
        assert named(tmp_path / "own.pt", arch="ViT-B-32", quick_gelu=quick_gelu) == []


TEXT_CONFIG: dict[str, Any] = {"vocab_size": 49408, "bos_token_id": 49406, "eos_token_id": 49407, "projection_dim": 16}
SIZES: dict[str, Any] = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "hidden_size": 32}


def clip_folder(folder: Path, *, act: str = "quick_gelu", context: int = 77, **more: Any) -> Any:
    """A small random CLIPModel, saved by transformers."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    text = {**TEXT_CONFIG, **SIZES, "max_position_embeddings": context, "hidden_act": act}
    vision = {**SIZES, "image_size": 32, "patch_size": 8, "projection_dim": 16, "hidden_act": act}
    config = transformers.CLIPConfig(text_config={**text, **more}, vision_config={**vision, **more}, projection_dim=16)
    model = transformers.CLIPModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    processor = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor.save_pretrained(folder)
    return model


@pytest.mark.parametrize("act", ["quick_gelu", "gelu"])
@pytest.mark.parametrize("context", [77, 20])
def test_a_folder_of_transformers_gives_the_same_embeddings(tmp_path: Path, act: str, context: int) -> None:
    """CLIP#250, TinyCLIP#4: `config.json` and `model.safetensors`, as `save_pretrained` writes a CLIPModel."""
    theirs = clip_folder(tmp_path / "clip", act=act, context=context)
    ours, said = loaded(tmp_path / "clip")
    pixels = torch.randint(0, 255, (3, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        images = theirs.get_image_features(pixel_values=normalised(pixels, ours.preprocessing))
        texts = theirs.get_text_features(input_ids=ours.tokenizer(TEXTS))
    for found, expected in ((ours.encode_images(pixels), images), (ours.encode_texts(TEXTS), texts)):
        pooled = getattr(expected, "pooler_output", expected)
        assert torch.allclose(found, torch.nn.functional.normalize(pooled, dim=-1), atol=1e-4)
    assert ours.logit_scale == pytest.approx(float(theirs.logit_scale.detach().exp()))
    assert said == []


def test_weights_of_transformers_in_a_named_architecture_tell_their_activation(tmp_path: Path) -> None:
    clip_folder(tmp_path / "clip")
    events: list[Event] = []
    result_of(backbones.find(f"ViT-B-32/{tmp_path}/clip/model.safetensors")(), show=events.append)
    [said] = [event.message for event in events if isinstance(event, Warned)]
    assert f"give --model ViT-B-32-quickgelu/{tmp_path}/clip/model.safetensors" in said


def test_a_siglip_model_of_transformers_is_refused_with_what_to_take(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    transformers.SiglipConfig().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": ["SiglipModel"]}))
    with pytest.raises(ModelUnavailable, match=r"is a SiglipModel of transformers, .* as in ViT-B-16-SigLIP/webli$"):
        loaded(tmp_path)
    assert open_clip.pretrained.is_pretrained_cfg("ViT-B-16-SigLIP", "webli")
    assert open_clip.pretrained.is_pretrained_cfg("ViT-B-16-SigLIP2", "webli")


def spoil(change: Callable[[dict[str, Any]], Any], file: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        content = json.loads((folder / file).read_text()) if (folder / file).exists() else {}
        change(content)
        (folder / file).write_text(json.dumps(content))

    return write


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (
            spoil(lambda c: c["text_config"].update(hidden_act="relu"), "config.json"),
            BadFile,
            "activation is quick_gelu",
        ),
        (spoil(lambda c: c["text_config"].update(layer_norm_eps=1e-6), "config.json"), BadFile, "layer_norm_eps"),
        (spoil(lambda c: c["text_config"].update(vocab_size=30000), "config.json"), BadFile, "tokenizer is not CLIP's"),
        (spoil(lambda c: c.update(vocab={"cat</w>": 0}), "vocab.json"), BadFile, "tokenizer is not CLIP's"),
        (spoil(lambda c: c.update(size=256), "preprocessor_config.json"), BadFile, "resizes to 256"),
        (
            spoil(lambda c: c.update(architectures=["CLIPTextModel"]), "config.json"),
            ModelUnavailable,
            "a CLIPTextModel",
        ),
        (
            spoil(lambda c: c.update(model_type="blip", architectures=None), "config.json"),
            ModelUnavailable,
            "type blip",
        ),
        (lambda folder: (folder / "config.json").write_text("["), BadFile, "cannot read"),
        (lambda folder: (folder / "model.safetensors").unlink(), ModelUnavailable, "put model.safetensors beside"),
    ],
)
def test_a_folder_of_transformers_that_open_clip_cannot_follow(
    tmp_path: Path, change: Callable[[Path], None], error: type[ClipcliError], says: str
) -> None:
    clip_folder(tmp_path / "clip")
    change(tmp_path / "clip")
    with pytest.raises(error, match=says):
        loaded(tmp_path / "clip")


def test_the_words_of_clips_own_tokenizer_are_taken(tmp_path: Path) -> None:
    clip_folder(tmp_path / "clip")
    own = open_clip.tokenizer.SimpleTokenizer().encoder
    (tmp_path / "clip" / "vocab.json").write_text(json.dumps(own))
    assert loaded(tmp_path / "clip")[0].dimensions == 16
    words = {"model": {"type": "BPE", "vocab": own}}
    (tmp_path / "clip" / "tokenizer.json").write_text(json.dumps(words))
    assert loaded(tmp_path / "clip")[0].dimensions == 16


def test_an_older_configuration_of_transformers_is_read(tmp_path: Path) -> None:
    """Values that are left out are transformers' own, and sizes may be plain numbers."""
    clip_folder(tmp_path / "clip")
    config = json.loads((tmp_path / "clip" / "config.json").read_text())
    for part in ("text_config", "vision_config"):
        config[f"{part}_dict"] = dict(config[part])
        config[part] = None
        for name in ("hidden_act", "layer_norm_eps"):
            del config[f"{part}_dict"][name]
    (tmp_path / "clip" / "config.json").write_text(json.dumps(config))
    (tmp_path / "clip" / "preprocessor_config.json").write_text(
        json.dumps({"size": 32, "crop_size": 32, "resample": 2, "image_mean": [0.5] * 3, "image_std": [0.25] * 3})
    )
    stated = loaded(tmp_path / "clip")[0].preprocessing
    assert (stated.interpolation, stated.mean, stated.std) == ("bilinear", (0.5,) * 3, (0.25,) * 3)


def test_a_folder_of_transformers_can_be_trained(tmp_path: Path) -> None:
    from small_data import noisy_pairs

    import clipcli

    clip_folder(tmp_path / "clip")
    settings: dict[str, Any] = {"steps": 1, "batch_size": 4, "device": "cpu", "lr": 0.0, "weight_decay": 0.0}
    clipcli.train(noisy_pairs(tmp_path / "data", 4), output=tmp_path / "run", model=str(tmp_path / "clip"), **settings)
    before, after = loaded(tmp_path / "clip")[0], loaded(shutil.move(tmp_path / "run", tmp_path / "moved"))[0]
    assert torch.allclose(before.encode_texts(TEXTS), after.encode_texts(TEXTS), atol=1e-6)
    assert before.preprocessing == after.preprocessing
