"""Chooses how a model is fine-tuned, by measurements on the model and the data in hand, where no rate was given.

Large models, and large data, keep the recipe of the field: all weights learn, at a small rate. For others each image is
encoded once. A first look tells if the embeddings hold what is to be learned. Then the image tower stays (LiT, Zhai et
al. 2022), the texts learn at a rate that a short range test gives, and the texts of other words are held to where they
were (`distill`).
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

from clipcli.backbones.runtime import Runtime
from clipcli.commands.train.augment import train_view
from clipcli.commands.train.batches import batches_for
from clipcli.commands.train.data import TrainingData
from clipcli.commands.train.defaults import DISTILL, FIELD_RATE, STORED, is_open, resolve, with_defaults
from clipcli.commands.train.distill import Distillation, distillation
from clipcli.commands.train.first_look import first_look
from clipcli.commands.train.model import Trainee, default_loss, lock
from clipcli.commands.train.order import Order, parts_of
from clipcli.commands.train.processes import Processes
from clipcli.commands.train.range_test import STEPS, Rate, range_test, rate_from
from clipcli.commands.train.stored import StoredImages, Views, store_images, stores_images
from clipcli.events import Event, Noted
from clipcli.images.limits import limits_of
from clipcli.scoring.adaptation import Accuracy

# Models of more parameters, and data of more images, are trained as the field trains them.
_MOST_PARAMETERS, _MOST_IMAGES = 50_000_000, 200_000
# What a linear classifier must gain for the image tower to stay as it is.
_LEAST_GAIN = 0.05


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a run begins with: the trainee with all its settings, and what was measured to choose them.

    `stored` are its images where each is encoded once, and `distillation` is what texts are held to; else both are
    `None`. `lines` are for the metrics: the kind of each, and its values.
    """

    trainee: Trainee
    stored: StoredImages | None
    distillation: Distillation | None
    lines: tuple[tuple[str, dict[str, Any]], ...] = ()


def prepare(
    trainee: Trainee, data: TrainingData, *, runtime: Runtime, processes: Processes
) -> Generator[Event, None, Prepared]:
    """Choose the settings that are open, encode the images that are encoded once, and note where the texts begin."""
    open_settings = is_open(trainee.config)
    reason = _reason_for_the_field(trainee, data) if open_settings else None
    if reason is not None:
        yield Noted(f"{reason}: all of it learns, at the rate of {FIELD_RATE:g} that the field uses")
        trainee, open_settings = _resolved(trainee, data, lr=FIELD_RATE), False
    stored = None
    if open_settings or stores_images(trainee.config):
        backbone = trainee.for_evaluation()
        items = [pair.item for pair in data.pairs]
        how: dict[str, Any] = {"limits": limits_of(trainee.config), "views": _views(trainee)}
        stored = yield from store_images(items, backbone, runtime=runtime, processes=processes, **how)
    if open_settings and stored is not None:
        return (yield from _chosen(trainee, data, stored, runtime=runtime, processes=processes))
    return Prepared(trainee, stored, _held(trainee, data))


def _views(trainee: Trainee) -> Views | None:
    """The views of images to encode; `None` for whole images."""
    config = trainee.config
    if config.augment_views is None or not config.changes_images:
        return None
    how: dict[str, Any] = {"crop": config.crop or 1.0, "flip": bool(config.flip), "augment": config.augment}
    view = train_view(trainee.backbone.preprocessing, limits=limits_of(config), **how)
    return Views(config.augment_views, view, config.seed)


def _reason_for_the_field(trainee: Trainee, data: TrainingData) -> str | None:
    parameters = sum(parameter.numel() for parameter in trainee.towers.parameters())
    if parameters > _MOST_PARAMETERS:
        return f"the model has {parameters / 1e6:,.0f} million parameters"
    return f"there are {len(data.pairs):,} images" if len(data.pairs) > _MOST_IMAGES else None


def _resolved(trainee: Trainee, data: TrainingData, **chosen: Any) -> Trainee:
    """The trainee with these settings, and those that follow from them."""
    config = replace(trainee.config, **chosen)
    config = resolve(config, pairs=len(data.pairs), loss=config.loss or default_loss(trainee.architecture))
    return lock(replace(trainee, config=config))


def _held(trainee: Trainee, data: TrainingData) -> Distillation | None:
    """What the texts are held to by `--distill`."""
    config = trainee.config
    if not config.distill:
        return None
    names = {pair.label for pair in data.pairs if pair.label is not None}
    backbone = trainee.for_evaluation()
    return distillation(
        trainee.towers, backbone.tokenizer, weight=config.distill, prompts=config.prompts or "", names=names
    )


def _chosen(
    trainee: Trainee, data: TrainingData, stored: StoredImages, *, runtime: Runtime, processes: Processes
) -> Generator[Event, None, Prepared]:
    """The settings by measurement. The leading process measures, and the others do as it found."""
    look: Accuracy | None = None
    rates: list[Rate] = []
    locked = with_defaults(trainee.config, STORED)
    with processes.together():
        if processes.leads and not trainee.config.lock:
            look = first_look(data.pairs, stored, trainee.for_evaluation(), seed=locked.seed)
    look = processes.gather_objects(look)[0]
    lines = [] if look is None else [("first_look", asdict(look))]
    if look is not None:
        yield Noted(_look_in_words(look))
        if look.after - look.before < _LEAST_GAIN:
            trainee = _resolved(trainee, data, lr=FIELD_RATE)
            return Prepared(trainee, None, _held(trainee, data), tuple(lines))
    if locked.duplicates == "positive" and all(pair.label is not None for pair in data.pairs):
        locked = replace(locked, duplicates="class")
    trainee = lock(
        replace(trainee, config=replace(locked, distill=DISTILL if locked.distill is None else locked.distill))
    )
    held = _held(trainee, data)
    with processes.together():
        if processes.leads:
            rates = _tested(trainee, data, stored, held, runtime=runtime)
    rates = processes.from_leading(rates)
    trainee = _resolved(trainee, data, lr=rate_from(rates))
    lines += [("range_test", {"lr": rate, "loss": loss}) for rate, loss in rates]
    yield Noted(f"a range test of {len(rates)} steps gives a learning rate of {trainee.config.lr:g}")
    return Prepared(trainee, stored, held, tuple(lines))


def _tested(
    trainee: Trainee, data: TrainingData, stored: StoredImages, held: Distillation | None, *, runtime: Runtime
) -> list[Rate]:
    config = trainee.config
    parts = parts_of(data.sizes, data.shares, batch_size=config.batch_size or 1)
    order = Order(parts, config.seed)
    batches = batches_for(trainee, data, order=order, runtime=runtime, processes=Processes(), stored=stored)
    with closing(batches.start(0, end=STEPS)) as coming:
        return range_test(trainee, islice(coming, STEPS), runtime=runtime, distillation=held)


def _look_in_words(look: Accuracy) -> str:
    found = (
        f"a first look: of images held out, {look.before:.1%} are right by the texts of their classes, and "
        f"{look.after:.1%} by a linear classifier of the images' embeddings"
    )
    if look.after - look.before < _LEAST_GAIN:
        return f"{found}; that is little more, so all of the model learns, at the rate of {FIELD_RATE:g}"
    return f"{found}; so the image tower stays as it is, each image is encoded once, and the texts learn"
