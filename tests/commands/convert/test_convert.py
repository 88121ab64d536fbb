"""`convert`: what the other library reads, and what `--model` reads, embeds as the model itself."""

from __future__ import annotations

import json
import resource
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn import functional

import clipcli
from clipcli import backbones
from clipcli.backbones.architectures import find_architecture
from clipcli.backbones.backbone import Backbone, normalised
from clipcli.backbones.checkpoint import Checkpoint
from clipcli.backbones.load import initialise, load
from clipcli.backbones.open_clip_folder import write_open_clip
from clipcli.backbones.runtime import choose_runtime
from clipcli.backbones.transformers_weights import as_transformers, converted
from clipcli.commands.convert import compared, forms, run
from clipcli.commands.convert.forms import check_form
from clipcli.errors import BadFile, ClipcliError, OutputExists, OutputFailed, UnknownName, UsageError
from clipcli.events import Event, Noted, result_of

RUNTIME = choose_runtime(device="cpu", precision="fp32")
TEXTS = ["a photo of a cat.", "two dogs & a bird", "", "a long street " * 30]
CLOSE = 1e-6
# Of OpenAI's kind, with heads of 64 numbers.
PLAIN: dict[str, Any] = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 128, "patch_size": 8},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2},
}
RESNET: dict[str, Any] = {**PLAIN, "vision_cfg": {"image_size": 64, "layers": [1, 2, 1, 1], "width": 16}}


def loaded(model: object) -> Backbone:
    """A model by the name that `--model` takes, in float32, as commands load it."""
    checkpoint = result_of(backbones.find(str(model))(), show=lambda _: None)
    return load(checkpoint, runtime=RUNTIME, inference=True)


def written(folder: Path, config: dict[str, Any]) -> Path:
    """A folder of a model with random weights."""
    folder.mkdir()
    # The name stays known to open_clip, among those that slips are compared with.
    path = folder.with_name(f"test-{folder.name}.json")
    path.write_text(json.dumps(config))
    found = find_architecture(str(path))
    torch.manual_seed(0)
    made = initialise(found, runtime=RUNTIME)
    with torch.no_grad():
        # Norms and biases start at 0 and 1: other values show whether they are converted.
        for tensor in made.towers.state_dict().values():
            if tensor.ndim == 1 and tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor) * 0.2)
    write_open_clip(folder, found, made, made.towers.state_dict())
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vision transformer of OpenAI's kind."""
    return written(tmp_path_factory.mktemp("plain") / "plain", PLAIN)


def pixels(backbone: Backbone) -> torch.Tensor:
    height, width = backbone.preprocessing.size
    return torch.randint(0, 255, (3, height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def difference(theirs: Any, ours: torch.Tensor) -> float:
    return float((functional.normalize(theirs.detach().to(torch.float32), dim=-1) - ours).abs().max())


def check_same(one: Backbone, other: Backbone) -> None:
    """Both embed alike, by the same preprocessing and at the same scale."""
    assert difference(one.encode_images(pixels(other)), other.encode_images(pixels(other))) <= CLOSE
    assert difference(one.encode_texts(TEXTS), other.encode_texts(TEXTS)) <= CLOSE
    assert one.preprocessing == other.preprocessing
    assert one.logit_scale == pytest.approx(other.logit_scale, rel=1e-6)
    assert (one.logit_bias, one.score, one.dimensions) == (other.logit_bias, other.score, other.dimensions)
    assert one.untrained_tokens() == other.untrained_tokens()


def test_open_clip_reads_what_was_a_model_of_transformers_or_openai_or_a_run(plain: Path, tmp_path: Path) -> None:
    done = clipcli.convert(plain, to="open_clip", output=tmp_path / "out")
    assert done.difference <= CLOSE
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tmp_path}/out", precision="fp32")
    ours = loaded(plain)
    check_same(loaded(tmp_path / "out"), ours)
    images = [Image.fromarray(one.numpy()) for one in pixels(ours)]
    found = model.eval().encode_image(torch.stack([preprocess(image) for image in images]))
    assert difference(found, ours.encode_images(pixels(ours))) <= CLOSE
    record = json.loads((tmp_path / "out" / "clipcli_convert.json").read_text())
    assert (record["model"], record["form"], record["read_by"]) == (str(plain), "open_clip", "open_clip")
    assert record["fingerprint"] == ours.fingerprint
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {0o644}


@pytest.mark.parametrize("name", ["vit", "resnet", "sigmoid"])
def test_any_model_can_be_written_for_open_clip(models: dict[str, Path], name: str, tmp_path: Path) -> None:
    assert clipcli.convert(models[name], to="open_clip", output=tmp_path / "out").difference <= CLOSE
    check_same(loaded(tmp_path / "out"), loaded(models[name]))


@pytest.mark.parametrize("config", [PLAIN, RESNET], ids=["vit", "resnet"])
def test_openai_reads_what_was_written_for_it(config: dict[str, Any], tmp_path: Path) -> None:
    ours = loaded(written(tmp_path / "model", config))
    done = clipcli.convert(tmp_path / "model", to="openai", output=tmp_path / "out")
    assert done.difference <= CLOSE
    assert done.notes[0].startswith("open_clip.load_openai_model, like OpenAI's clip.load, rounds the weights to 16")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = torch.jit.load(tmp_path / "out" / "model.pt")
    given, tokens = normalised(pixels(ours), ours.preprocessing), ours.tokenizer(TEXTS)
    assert difference(script.encode_image(given), ours.encode_images(pixels(ours))) <= CLOSE
    assert difference(script.encode_text(tokens), ours.encode_texts(TEXTS)) <= CLOSE
    logits = ours.logit_scale * ours.encode_images(pixels(ours)) @ ours.encode_texts(TEXTS).T
    assert torch.allclose(script(given, tokens)[0], logits, atol=1e-4)
    # Its own code asks for these, and for no weight that OpenAI's model lacks.
    names = script.state_dict().keys()
    assert {"input_resolution", "context_length", "vocab_size"} <= names
    built = open_clip.model.build_model_from_openai_state_dict(dict(script.state_dict()), cast_dtype=torch.float32)
    assert built.state_dict().keys() == names - {"input_resolution", "context_length", "vocab_size"}
    # By its folder, and by the file.
    check_same(loaded(tmp_path / "out"), ours)
    check_same(loaded(tmp_path / "out" / "model.pt"), ours)


def test_a_torchscript_file_that_is_no_clip_is_named(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "other.pt")
    with pytest.raises(BadFile, match=r"not of a CLIP as OpenAI published it; give its architecture before it"):
        loaded(tmp_path / "other.pt")


def test_a_damaged_file_without_an_architecture_is_one_line(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, tmp_path / "cut.pt")
    whole = (tmp_path / "cut.pt").read_bytes()
    at = whole.rindex(b"PK\x01\x02")
    (tmp_path / "cut.pt").write_bytes(whole[:at] + b"XX" + whole[at + 2 :])
    with pytest.raises(UnknownName, match=r"a checkpoint file needs its architecture before it, as in ViT-B-32/.*cut"):
        backbones.find(str(tmp_path / "cut.pt"))


def test_a_bare_file_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "model.pt").touch()
    monkeypatch.chdir(tmp_path)
    assert backbones.absolute_name("more/model.pt") == str(tmp_path / "more" / "model.pt")
    (tmp_path / "own.pt").touch()
    assert backbones.absolute_name("ViT-B-32/own.pt") == f"ViT-B-32/{tmp_path}/own.pt"


@pytest.mark.parametrize("quick_gelu", [True, False])
def test_transformers_reads_what_was_written_for_it(quick_gelu: bool, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="pip install transformers sentencepiece")
    ours = loaded(written(tmp_path / "model", {**PLAIN, "quick_gelu": quick_gelu}))
    done = clipcli.convert(tmp_path / "model", to="transformers", output=tmp_path / "out")
    assert done.difference <= CLOSE
    theirs = transformers.CLIPModel.from_pretrained(tmp_path / "out", local_files_only=True)
    processor = transformers.CLIPProcessor.from_pretrained(tmp_path / "out", local_files_only=True)
    images = [Image.fromarray(one.numpy()) for one in pixels(ours)]
    given = processor(text=TEXTS, images=images, return_tensors="pt", padding=True, truncation=True)
    with torch.no_grad():
        found = theirs(**given)
    assert difference(found.image_embeds, ours.encode_images(pixels(ours))) <= CLOSE
    assert difference(found.text_embeds, ours.encode_texts(TEXTS)) <= CLOSE
    logits = ours.logit_scale * ours.encode_images(pixels(ours)) @ ours.encode_texts(TEXTS).T
    assert torch.allclose(found.logits_per_image, logits, atol=1e-4)
    check_same(loaded(tmp_path / "out"), ours)


def test_a_squashing_model_is_written_for_transformers(plain: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="pip install transformers sentencepiece")
    shutil.copytree(plain, tmp_path / "model")
    config = json.loads((plain / "open_clip_config.json").read_text())
    config["preprocess_cfg"] |= {"resize_mode": "squash", "interpolation": "bilinear", "mean": [0.5] * 3}
    (tmp_path / "model" / "open_clip_config.json").write_text(json.dumps(config))
    clipcli.convert(tmp_path / "model", to="transformers", output=tmp_path / "out")
    processor = transformers.CLIPProcessor.from_pretrained(tmp_path / "out", local_files_only=True)
    given = processor.image_processor(Image.new("RGB", (80, 40)), return_tensors="pt")
    assert given["pixel_values"].shape == (1, 3, 32, 32)
    assert loaded(tmp_path / "out").preprocessing == loaded(tmp_path / "model").preprocessing


def test_weights_come_back_from_transformers_as_they_were(plain: Path) -> None:
    """Also where transformers is not installed."""
    state = load_file(plain / "open_clip_model.safetensors")
    named = as_transformers(state)
    assert named["vision_model.encoder.layers.1.self_attn.k_proj.bias"].shape == (128,)
    back = converted(named)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], weight) for name, weight in state.items())
    with pytest.raises(KeyError):
        as_transformers({"visual.trunk.norm.weight": torch.zeros(1)})


@pytest.fixture(scope="module")
def in_onnx(tmp_path_factory: pytest.TempPathFactory, plain: Path) -> Path:
    """The plain model in ONNX."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason="pip install onnxruntime onnx onnxscript")
    folder = tmp_path_factory.mktemp("onnx") / "out"
    assert clipcli.convert(plain, to="onnx", output=folder).difference <= CLOSE
    return folder


def test_onnx_runtime_runs_what_was_written_for_it(in_onnx: Path, plain: Path) -> None:
    import onnxruntime

    ours = loaded(plain)
    check_same(loaded(in_onnx), ours)
    tokens = ours.tokenizer(TEXTS[:3])
    session = onnxruntime.InferenceSession(in_onnx / "text.onnx", providers=["CPUExecutionProvider"])
    # A causal tower takes texts of any length, and any number of them.
    for given in (tokens, tokens[:1, :9]):
        [found] = session.run(["text_embeds"], {"input_ids": given.numpy()})
        assert difference(torch.from_numpy(found), ours.encode_texts(TEXTS[: len(given)])) <= CLOSE
    session = onnxruntime.InferenceSession(in_onnx / "image.onnx", providers=["CPUExecutionProvider"])
    [found] = session.run(None, {"pixel_values": normalised(pixels(ours), ours.preprocessing).numpy()})
    assert difference(torch.from_numpy(found), ours.encode_images(pixels(ours))) <= CLOSE


@pytest.mark.slow
@pytest.mark.usefixtures("in_onnx")
def test_a_model_of_siglips_kind_in_onnx(models: dict[str, Path], tmp_path: Path) -> None:
    """No causal text tower, a timm image tower, a logit bias."""
    assert clipcli.convert(models["sigmoid"], to="onnx", output=tmp_path / "out").difference <= CLOSE
    check_same(loaded(tmp_path / "out"), loaded(models["sigmoid"]))


def test_commands_take_a_model_in_onnx(in_onnx: Path, plain: Path, photos: Path) -> None:
    how: dict[str, Any] = {"labels": ["cat", "dog"], "precision": "fp32", "device": "cpu"}
    theirs = list(clipcli.classify(photos, model=in_onnx, **how))
    ours = list(clipcli.classify(photos, model=plain, **how))
    assert [row.labels for row in theirs] == [row.labels for row in ours]
    assert np.allclose([row.scores for row in theirs], [row.scores for row in ours], atol=1e-5)
    # Without asking for it, the precision is the one that it computes in, and no other engine is tried.
    assert next(iter(clipcli.classify(photos, model=in_onnx, labels=["cat"], device="cpu"))).labels == ("cat",)
    with pytest.warns(clipcli.errors.ClipcliWarning, match="is in ONNX, which ONNX Runtime runs"):
        clipcli.load(in_onnx, engine="compiled", device="cpu", cache=False).embed_images(photos)


def test_what_a_model_in_onnx_cannot_do_is_said(in_onnx: Path, tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / "data" / label).mkdir(parents=True)
        Image.new("RGB", (40, 40)).save(tmp_path / "data" / label / "a.png")
    for call, says in (
        (lambda: clipcli.convert(in_onnx, to="open_clip", output=tmp_path / "out"), "is in ONNX, which only runs"),
        (lambda: clipcli.train(tmp_path / "data", model=in_onnx, output=tmp_path / "run", steps=1), "is in ONNX"),
        (lambda: clipcli.load(in_onnx, precision="bf16", device="cpu"), "computes in fp32; give precision='fp32'"),
    ):
        with pytest.raises(UsageError, match=says):
            call()
    broken = shutil.copytree(in_onnx, tmp_path / "broken")
    (broken / "text.onnx").write_bytes(b"no model")
    with pytest.raises(BadFile, match=r"ONNX Runtime does not read .*text\.onnx"):
        loaded(broken)
    (broken / "open_clip_config.json").write_text(json.dumps({"model_cfg": PLAIN}))
    with pytest.raises(BadFile, match="is not of a model in ONNX"):
        loaded(broken)


def test_another_text_tower_is_another_model(in_onnx: Path, tmp_path: Path) -> None:
    other = shutil.copytree(in_onnx, tmp_path / "other")
    assert loaded(other).fingerprint == loaded(in_onnx).fingerprint
    shutil.copy(other / "image.onnx", other / "text.onnx")
    found = result_of(backbones.find(str(other))(), show=lambda _: None)
    assert backbones.fingerprint_of(found) != loaded(in_onnx).fingerprint
    shutil.copy(in_onnx / "text.onnx", other / "text.onnx")
    config = json.loads((other / "open_clip_config.json").read_text())
    config["onnx"]["logit_scale"] += 1
    (other / "open_clip_config.json").write_text(json.dumps(config))
    assert backbones.fingerprint_of(found) != loaded(in_onnx).fingerprint


def changed(**parts: dict[str, Any]) -> dict[str, Any]:
    """The plain configuration with other values in its parts."""
    return {**PLAIN, **{name: {**PLAIN[name], **part} for name, part in parts.items()}}


BOTH, ONLY = ("transformers", "openai"), ("openai",)


@pytest.mark.parametrize(
    ("config", "preprocess", "refused", "says"),
    [
        (
            changed(vision_cfg={"timm_model_name": "test_vit"}),
            {},
            BOTH,
            "its image tower is test_vit of timm",
        ),
        (changed(text_cfg={"hf_model_name": "xlm"}), {}, BOTH, "its text tower is xlm of transformers"),
        (changed(text_cfg={"hf_tokenizer_name": "t5"}), {}, BOTH, "its tokenizer is not CLIP's own"),
        (changed(text_cfg={"vocab_size": 64000}), {}, BOTH, "its tokenizer is not CLIP's own"),
        ({**PLAIN, "init_logit_bias": -10}, {}, BOTH, "its logits have a bias"),
        ({**PLAIN, "multimodal_cfg": {"layers": 1}}, {}, (*BOTH, "open_clip"), "it has a decoder of texts"),
        (changed(vision_cfg={"attentional_pool": True}), {}, BOTH, "its image tower has attentional_pool=True"),
        (changed(text_cfg={"new": 1}), {}, BOTH, "its text tower has new=1"),
        (changed(text_cfg={"no_causal_mask": True}), {}, BOTH, "its text tower has no_causal_mask=True"),
        (changed(vision_cfg={"image_size": [32, 64]}), {}, BOTH, "its images are not square"),
        (RESNET, {}, ("transformers",), "its image tower is a ResNet"),
        (PLAIN, {"resize_mode": "longest"}, BOTH, "its images are padded"),
        (PLAIN, {"resize_mode": "squash"}, ONLY, "its images have another resize mode than OpenAI's"),
        (PLAIN, {"mean": [0.5] * 3}, ONLY, "its images have another mean than OpenAI's"),
        ({**PLAIN, "quick_gelu": False}, {}, ONLY, "it has GELU in place of QuickGELU"),
        (changed(vision_cfg={"head_width": 32}), {}, ONLY, "its heads are not of 64 numbers"),
        (changed(text_cfg={"mlp_ratio": 2.0}), {}, ONLY, "its layers not 4 times as wide inside"),
        (changed(vision_cfg={"patch_dropout": 0.5}), {"mean": None, "interpolation": "bicubic"}, (), ""),
    ],
)
def test_what_cannot_have_a_form_is_refused_with_those_that_it_can_have(
    config: dict[str, Any], preprocess: dict[str, Any], refused: Sequence[str], says: str
) -> None:
    checkpoint = Checkpoint(
        name="m", weights=Path("m"), model_cfg=config, preprocess_cfg=preprocess, tokenizer="ViT-B-32"
    )
    for name in forms.FORMS:
        if name not in refused:
            check_form(name, checkpoint)
            continue
        with pytest.raises(UsageError) as raised:
            check_form(name, checkpoint)
        assert f"m cannot be written for {name}: " in str(raised.value)
        assert says in str(raised.value)
        assert all((f"--to {other}" in str(raised.value)) != (other in refused) for other in forms.FORMS)


def test_a_folder_that_is_there_is_replaced_only_if_convert_wrote_it(plain: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    clipcli.convert(plain, to="open_clip", output=out)
    with pytest.raises(OutputExists, match=r"out exists; give another output, or overwrite=True to replace it"):
        clipcli.convert(plain, to="open_clip", output=out)
    clipcli.convert(plain, to="open_clip", output=out, overwrite=True)
    written = json.loads((out / "clipcli_convert.json").read_text())["files"]
    assert written == ["open_clip_config.json", "open_clip_model.safetensors"]
    (out / "mine").mkdir()
    (out / "mine" / "notes.txt").touch()
    with pytest.raises(OutputExists, match=r"out holds mine/notes\.txt, which clipcli convert has not written; move"):
        clipcli.convert(plain, to="open_clip", output=out, overwrite=True)
    shutil.rmtree(out / "mine")
    (out / "clipcli_convert.json").write_text("{}")
    with pytest.raises(OutputExists, match="which clipcli convert has not written"):
        clipcli.convert(plain, to="open_clip", output=out, overwrite=True)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file; give a folder that is new"):
        clipcli.convert(plain, to="open_clip", output=tmp_path / "file")
    with pytest.raises(OutputFailed, match="there is no folder"):
        clipcli.convert(plain, to="open_clip", output=tmp_path / "a" / "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "out"]


def test_what_is_put_there_meanwhile_stays(plain: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = clipcli.ConvertSettings(plain, to="open_clip", output=str(out), overwrite=True)

    def put(event: Event) -> None:
        if isinstance(event, Noted):
            out.mkdir()
            (out / "mine.txt").touch()

    with pytest.raises(OutputExists, match=r"holds mine\.txt"):
        result_of(run.run(settings), show=put)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine.txt"]


@pytest.mark.parametrize("to", ["open_clip", "transformers", "openai", pytest.param("onnx", marks=pytest.mark.slow)])
def test_a_full_disk_is_one_line(to: str, plain: Path, tmp_path: Path) -> None:
    """A limit on the size of a file fails as a full disk does."""
    for package in forms.FORMS[to].packages:
        pytest.importorskip(package, reason="pip install transformers sentencepiece onnxruntime onnx onnxscript")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
    try:
        with pytest.raises(OutputFailed, match=r"cannot write .*/out: .+; free some space, or give another output"):
            clipcli.convert(plain, to=to, output=tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (RuntimeError("no such operator"), ClipcliError, "cannot be written for open_clip .no such operator.; take"),
        (RuntimeError("std::bad_alloc"), RuntimeError, "bad_alloc"),
    ],
)
def test_other_errors_of_writing_are_no_full_disk(
    error: Exception, kind: type[Exception], says: str, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setitem(forms.FORMS, "open_clip", replace(forms.FORMS["open_clip"], write=fail))
    with pytest.raises(kind, match=says):
        clipcli.convert(plain, to="open_clip", output=tmp_path / "out")


def test_what_another_library_does_not_encode_is_said(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> torch.Tensor:
        raise RuntimeError("size mismatch")

    reader = forms.to_open_clip.ReadBack("x", fail, fail)
    monkeypatch.setitem(forms.FORMS, "open_clip", replace(forms.FORMS["open_clip"], read=lambda *_: [reader]))
    with pytest.raises(ClipcliError, match=r"open_clip does not read what was written of .*size mismatch"):
        clipcli.convert(plain, to="open_clip", output=tmp_path / "out")


def test_what_another_library_does_not_read_is_said(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("size mismatch")

    monkeypatch.setitem(forms.FORMS, "open_clip", replace(forms.FORMS["open_clip"], read=fail))
    with pytest.raises(ClipcliError, match=r"open_clip does not read what was written of .*size mismatch"):
        clipcli.convert(plain, to="open_clip", output=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.usefixtures("in_onnx")
def test_large_weights_in_onnx_lie_in_a_file_beside(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms.to_onnx, "_MOST_IN_ONE", 0)
    clipcli.convert(plain, to="onnx", output=tmp_path / "out")
    assert (tmp_path / "out" / "image.onnx.data").stat().st_size > (tmp_path / "out" / "image.onnx").stat().st_size
    check_same(loaded(tmp_path / "out"), loaded(plain))
    checkpoint = result_of(backbones.find(str(tmp_path / "out"))(), show=lambda _: None)
    before = backbones.fingerprint_of(checkpoint)
    (tmp_path / "out" / "text.onnx.data").write_bytes(b"")
    assert backbones.fingerprint_of(checkpoint) != before


def test_a_model_is_never_replaced_by_itself(plain: Path, tmp_path: Path) -> None:
    clipcli.convert(plain, to="open_clip", output=tmp_path / "out")
    with pytest.raises(UsageError, match="which would be replaced; give another output"):
        clipcli.convert(tmp_path / "out", to="open_clip", output=tmp_path / "out", overwrite=True)


def wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compared, "largest_difference", lambda *_: 2e-5)


def full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "RECORD_NAME", "a/folder/that/is/not/there")


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        (wrong, ClipcliError, r"embeddings differ by up to 2\.0e-05, more than 1e-05; nothing"),
        (full, OutputFailed, "cannot write"),
    ],
)
def test_what_is_not_right_or_whole_leaves_nothing(
    plain: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[pytest.MonkeyPatch], None],
    error: type[ClipcliError],
    says: str,
) -> None:
    fault(monkeypatch)
    with pytest.raises(error, match=says):
        clipcli.convert(plain, to="open_clip", output=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_is_none_is_no_agreement(plain: Path) -> None:
    ours = loaded(plain)
    broken = forms.to_open_clip.ReadBack("x", lambda given: torch.full((len(given), 16), torch.nan), ours.encode_texts)
    assert compared.largest_difference(ours, broken) == float("inf")


def test_what_happens_is_said(plain: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    settings = clipcli.ConvertSettings(plain, to="open_clip", output=str(tmp_path / "out"))
    done = result_of(run.run(settings), show=events.append)
    assert [type(event).__name__ for event in events] == ["Loading", "Noted"]
    assert done.use == f'open_clip.create_model_and_transforms("local-dir:{tmp_path}/out")'


def test_a_file_of_onnx_reaches_no_other_file_and_no_other_library(in_onnx: Path, tmp_path: Path) -> None:
    import onnx

    (tmp_path / "secret").write_bytes(b"1234")
    value = onnx.helper.make_tensor_value_info("input_ids", onnx.TensorProto.FLOAT, [1])
    outside = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[1])
    outside.data_location = onnx.TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="../secret")
    for node, weights in (
        (onnx.helper.make_node("Add", ["input_ids", "w"], ["y"]), [outside]),
        (onnx.helper.make_node("Own", ["input_ids"], ["y"], domain="own.operations"), []),
    ):
        result = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
        graph = onnx.helper.make_graph([node], "g", [value], [result], weights)
        broken = shutil.copytree(in_onnx, tmp_path / node.op_type)
        onnx.save(onnx.helper.make_model(graph, ir_version=8), broken / "text.onnx")
        with pytest.raises(BadFile, match=r"ONNX Runtime does not read .*text\.onnx"):
            loaded(broken)
