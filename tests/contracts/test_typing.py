"""The Python API is typed: a program of a user's own is checked by `mypy --strict`, and its mistakes are found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

import clipcli

PROGRAM = '''
import io
from pathlib import Path

import numpy as np
from PIL import Image

import clipcli
from clipcli.commands.classify.run import run as classify_run
from clipcli.commands.train.run import run as train_run
from clipcli.events import RowsReady, StepDone, result_of

PHOTOS = Path("photos")


def rows() -> list[clipcli.Row]:
    """Rows of labels, and of a classifier."""
    found = list(clipcli.classify("photos", labels=["cat", "dog"], model=Path("model"), top_k=2, cache=False))
    classifier: clipcli.Classifier = clipcli.build_classifier("labels.txt", prompts="plain", device="cpu")
    calibrated = clipcli.calibrate(PHOTOS, classifier=classifier)
    calibration: clipcli.Calibration | None = calibrated.calibration
    print(0 if calibration is None else calibration.after.ece)
    adapted = clipcli.adapt(corrections=[PHOTOS, "b.csv"], classifier=classifier)
    adaptation: clipcli.Adaptation | None = adapted.adaptation
    print(0 if adaptation is None else adaptation.images)
    found += clipcli.classify([PHOTOS, "more"], classifier=calibrated, batch_size=8)
    print(clipcli.to_frame(found).shape, found[0].labels[0].upper(), classifier.class_embeddings.shape)
    return found


def figures() -> clipcli.Evaluation:
    """Figures of one DATA, of several, and of several by their names."""
    clipcli.evaluate(PHOTOS, prompts=["plain", "name"], shots=[1, "full"], seeds=3, linear_probe=PHOTOS)
    clipcli.evaluate(["photos", PHOTOS], model="tiny,RN50/openai", shots=4, engine="torch")
    return clipcli.evaluate({"photos": PHOTOS, "more": "more"}, labels=["cat", "dog"], overwrite=True)


def held() -> list[float]:
    """Images of a program, with labels and their aliases, and a model that is loaded once."""
    image, array = Image.new("RGB", (9, 9)), np.zeros((9, 9, 3), np.uint8)
    rows: clipcli.Rows = clipcli.classify([image, array, io.BytesIO(), PHOTOS, "x"], labels={"dog": ["puppy"]})
    clipcli.build_classifier({"dog": "puppy", "cat": {"aliases": ["kitten"]}, "yak": None})
    clipcli.build_classifier({"animal": {"dog": ["beagle", "husky"], "cat": {"tabby": None}}}, taxonomy=None)
    clipcli.classify(array, labels=[{"dog": ["beagle"]}, "car"], back_off=0.8)
    model: clipcli.LoadedModel = clipcli.load("tiny", device="cpu")
    more = model.classify(array, labels=(name for name in ("cat", "dog")), top_k=2)
    embedded = model.embed_images([array, PHOTOS], progress=lambda done, total: print(done / total))
    cosines = embedded @ model.embed_texts(["a cat", "a dog"]).T
    return [len(rows), len(more), next(rows).scores[0], *cosines[0].tolist()]


def weights() -> Path:
    """A run, and the same gone on with."""
    trained: clipcli.Trained = clipcli.train(PHOTOS, output="run", model="tiny", lr=1, wise_ft=0.5)
    return clipcli.train(output=trained.folder, resume=True).folder


def told() -> int:
    """The events of a command."""
    settings = clipcli.ClassifySettings("photos", labels=["cat"], model="tiny")
    inputs: tuple[object, ...] = settings.inputs
    model: str | None = settings.model
    count = sum(len(event.rows) for event in classify_run(settings) if isinstance(event, RowsReady))
    trained = result_of(train_run(clipcli.TrainConfig(["photos"], output="run")), show=lambda event: None)
    return count + len(inputs) + len(model or "") + trained.step
'''

WRONG = """
import clipcli

clipcli.classify("photos", lables=["cat"])
clipcli.classify("photos", labels=["cat"], top_k="2")
clipcli.classify("photos", ["cat"])
clipcli.classify("photos", labels=["cat"], output="labels.csv")
clipcli.build_classifier()
clipcli.build_classifier(["cat"], device=0)
clipcli.calibrate(["photos"], labels=["cat", "dog"])
clipcli.evaluate({"photos": 3})
clipcli.evaluate("photos", epochs=3)
clipcli.train("photos", output="run", learning_rate=1.0)
clipcli.train("photos", output="run", steps=1.5)
clipcli.train("photos", output="run").weights
clipcli.ClassifySettings("photos").inputs + ["more"]
clipcli.classify(3, labels=["cat"])
clipcli.classify("photos", labels={"cat": 3})
clipcli.load("tiny").classify("photos", labels=["cat"], device="cpu")
clipcli.load("tiny").embed_texts([3])
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What mypy says about both programs."""
    folder = tmp_path_factory.mktemp("program")
    (folder / "program.py").write_text(PROGRAM)
    (folder / "wrong.py").write_text(WRONG)
    # Quiet about clipcli itself, as it is where it is installed.
    flags = ["--strict", "--follow-imports=silent", "--cache-dir", str(folder / "cache"), "--config-file="]
    command = [sys.executable, "-m", "mypy", *flags, "program.py", "wrong.py"]
    environment = os.environ | {"MYPYPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.stderr == ""
    return done.stdout


def test_a_program_is_well_typed(told: str) -> None:
    assert [line for line in told.splitlines() if line.startswith("program.py")] == []


def test_every_mistake_is_found(told: str) -> None:
    found = {int(number) for number in re.findall(r"^wrong\.py:(\d+): error:", told, flags=re.MULTILINE)}
    lines = WRONG.splitlines()
    assert [lines[n - 1] for n in sorted(found)] == [line for line in lines[2:] if line]


def test_the_types_are_shipped() -> None:
    assert (Path(clipcli.__file__).parent / "py.typed").read_text() == ""
