"""What a run of `classify` works on, read and checked before a model is loaded."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clipcli.backbones.tags import DEFAULT_MODEL
from clipcli.classes.joined import SEPARATOR
from clipcli.classes.prompts import PromptedClasses
from clipcli.commands.classify.first_look import first_look
from clipcli.commands.classify.kept_columns import kept_columns
from clipcli.commands.classify.labeller import check_labelling, labels_of
from clipcli.commands.classify.provenance import digest_of_names, provenance_of
from clipcli.commands.classify.settings import ClassifySettings, check_shard
from clipcli.commands.classify.several import SPLIT_LABELS, schema_of
from clipcli.commands.classify.stored import Stored, read_stored
from clipcli.commands.classify.update import Update
from clipcli.commands.given_classes import check_standard_input, read_class_source
from clipcli.data.images import list_images
from clipcli.data.kinds.folders import OTHER_FILES
from clipcli.encoding.model import Model
from clipcli.files.names import note_names
from clipcli.images.limits import limits_of
from clipcli.memory.memory import open_memory
from clipcli.notices import Notices
from clipcli.outputs.check import check_is_not_read
from clipcli.outputs.shards import places_in, read_shard, sharding_of
from clipcli.records import ImageItem, Provenance, Sharding
from clipcli.scoring.classifier import Classifier
from clipcli.settings import as_dict


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a run works on, read and checked; the model is loaded once it is needed.

    The `images` that are `stored` have their embeddings already. The whole run has `total` images; of a shard `places`
    are those of its images among them. `kept` are the columns of tables that rows have as
    well, and `left_out` says in whole messages what of the inputs is not among the images.
    """

    options: ClassifySettings
    class_source: Classifier | PromptedClasses
    images: Sequence[ImageItem]
    total: int
    places: Sequence[int] | None
    stored: Stored | None
    model: Model
    kept: Sequence[str]
    provenance: Provenance
    left_out: tuple[str, ...]


def read_work(
    options: ClassifySettings,
    notices: Notices,
    *,
    written: Mapping[str, str],
    model: Model | None = None,
    update: Update | None = None,
) -> Work:
    """Read and check all that a run works on. `written` are the files that it writes, with their flags."""
    check_shard(options, is_update=update is not None)
    stored = read_stored(options)
    class_source = _checked_classes(options, notices)
    memory = model.memory if model else open_memory(cache=options.cache, cache_size=options.cache_size)
    items = _listed(options, notices) if stored is None else stored.items
    _check_written(written, items)
    kept = kept_columns(options.keep_columns, items)
    if update is not None:
        update.check(items)
        items = update.items(items)
    note_names((item.id for item in items), notices)
    items, not_taken = first_look(items, max_images=options.max_images, sample=options.sample)
    model = model or Model(model_name(options, class_source, stored), options, memory=memory)
    total, (items, places, shard) = len(items), _sharded(options, items)
    provenance = provenance_of(
        class_source, settings=as_dict(options), model=model.asked, items=items, kept=kept, shard=shard
    )
    schema_of(options, provenance, has_source=update is not None)
    return Work(
        options=options,
        class_source=class_source,
        images=items,
        total=total,
        places=places,
        stored=stored,
        model=model,
        kept=kept,
        provenance=provenance,
        left_out=tuple(filter(None, (not_taken, notices.take(OTHER_FILES)))),
    )


def model_name(options: ClassifySettings, class_source: Classifier | PromptedClasses, stored: Stored | None) -> str:
    """The model that was asked for, else that of the classifier, of the stored embeddings, or the usual one."""
    if isinstance(class_source, Classifier):
        return options.model or class_source.model
    return options.model or (DEFAULT_MODEL if stored is None else stored.model.name)


def _check_written(written: Mapping[str, str], items: Sequence[ImageItem]) -> None:
    for file, flag in written.items():
        check_is_not_read(file, {item.file for item in items} if os.path.isfile(file) else (), flag=flag)


def _listed(options: ClassifySettings, notices: Notices) -> list[ImageItem]:
    """The images of the inputs, or their frames where each gets a row."""
    items = list_images(
        options.inputs,
        stdin=sys.stdin,
        image_column=options.image_column,
        keep=options.keep_columns,
        notices=notices,
        exclude=options.exclude,
        also=options.also,
        null=options.null,
    )
    if not options.frame_rows or options.frames is None:
        return items
    from clipcli.images.frames import each_frame

    return each_frame(items, options.frames, limits=limits_of(options))


def _sharded(
    options: ClassifySettings, items: list[ImageItem]
) -> tuple[list[ImageItem], Sequence[int] | None, Sharding | None]:
    """The images of the shard, their places among all, and what the manifest tells of it; all without a shard."""
    if options.shard is None:
        return items, None, None
    shard = read_shard(options.shard)
    places = places_in(shard, items)
    sharding = sharding_of(shard, places, images=len(items), digest=digest_of_names(items))
    return [items[place] for place in places], places, sharding


def _checked_classes(options: ClassifySettings, notices: Notices) -> Classifier | PromptedClasses:
    """The classes, with the settings about them checked. Raises `UsageError` for what does not fit together."""
    check_standard_input(options.labels, options.inputs)
    class_source = read_class_source(options, notices)
    check_labelling(options, class_source)
    for label in labels_of(class_source) if options.multi_label else ():
        if SEPARATOR in label:
            notices.add(SPLIT_LABELS, label)
    return class_source
