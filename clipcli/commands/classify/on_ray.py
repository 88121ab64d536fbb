"""Labels images on a Ray cluster, for `--cluster ray`: parts of the run are Parquet files, merged at the end.

The images go through Ray Data: tasks decode them, and actors that hold the model label them. A worker that ends is
started again, and its images are done again. An image that ends each process that decodes it is done by itself in the
end, and then costs its row alone.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from clipcli.commands.classify.provenance import digest_of_names
from clipcli.commands.classify.ray_cluster import connected, imported_ray, in_words
from clipcli.commands.classify.ray_workers import Labeller, Labelling, decode
from clipcli.commands.classify.settings import ClassifySettings
from clipcli.commands.classify.several import schema_of
from clipcli.commands.classify.work import Work, read_work
from clipcli.commands.given_classes import get_classifier
from clipcli.errors import ClipcliError, OutputExists, UsageError
from clipcli.events import Event, ImagesEmbedded, InputsFound, ModelLoaded, Noted, RowsPlanned, RowsReady
from clipcli.files.manifest import Manifest, now
from clipcli.images.limits import limits_of
from clipcli.images.wanted import Wanted
from clipcli.notices import Notices
from clipcli.outputs.differences import differences, differences_of_models
from clipcli.outputs.earlier import Earlier
from clipcli.outputs.merged import allow_open_files, check_parts, merged_manifest, placed_rows, read_part
from clipcli.outputs.open import Output
from clipcli.outputs.remote import parts_folder
from clipcli.outputs.resume import check as check_earlier
from clipcli.outputs.resume import go_on
from clipcli.outputs.shards import Shard, number_of, sharding_of
from clipcli.records import ImageItem, ModelRecord, Provenance, Row

# Images of a part, on the average: what is done again at most after the driver was killed.
_IMAGES_A_PART = 10_000
# Images that a task decodes, and that an actor gets at once.
_IMAGES_A_BLOCK, _IMAGES_AT_ONCE = 64, 64
_CHUNK = 1024
# How often a block is tried again whose process ended.
_TRIED_AGAIN = 2
_ALL_FAIL = (
    "the workers gave not one row; check that all machines have clipcli and the model's weights, and memory for the"
    " model, as the log of Ray says"
)
ENDED = "decoding it ends the process, or takes more memory than there is"


@dataclass(frozen=True, slots=True)
class _Plan:
    """A shard of the run, with the places of its images, and the file and the provenance of its rows."""

    path: Path
    places: Sequence[int]
    provenance: Provenance


def run_on_ray(
    options: ClassifySettings, *, cluster: str, output: str, resume: bool, earlier: Earlier | None = None
) -> Iterator[Event]:
    """As `run`, on a cluster: a local one for `ray`, or the one at an address such as `ray://head:10001`.

    Parts are in the folder `OUTPUT.parts` until the output is whole. With `resume` those that are there are not done
    again, and nothing is if the output has all rows. Raises as `run`, also for an `earlier` output of another run,
    `MissingExtra` without Ray, and `ClipcliError` if the cluster cannot be used.
    """
    ray, notices = imported_ray(), Notices()
    work = read_work(options, notices, written={output: "--output"})
    resumed = check_earlier(earlier, work.images, provenance=work.provenance) if earlier else None
    if resumed is not None and resumed.count == len(work.images):
        yield InputsFound(len(work.images), resumed.count, work.left_out)
        yield RowsPlanned(work.provenance)
        yield from resumed.rows(resumed.count)
        return
    plans = _plans(work, output)
    # At the end all parts are read at once.
    allow_open_files(len(plans))
    done = _parts_done(plans, resume=resume)
    yield from notices.events()
    yield InputsFound(len(work.images), left_out=work.left_out)
    yield RowsPlanned(work.provenance)
    todo = [plan for plan in plans if str(plan.path) not in done]
    if done:
        yield Noted(f"{len(done):,} of {len(plans):,} parts are done; going on with the others.")
    if todo:
        labelling, wanted = yield from _prepared(work)
        with connected(ray, cluster):
            yield Noted(in_words(ray))
            began, count = time.perf_counter(), sum(len(plan.places) for plan in todo)
            yield from _work_off(todo, work, labelling, wanted, notices=notices)
            seconds = time.perf_counter() - began
            yield Noted(f"The cluster labelled {count:,} images in {seconds:,.1f} s, {count / seconds:,.1f} images/s.")
        yield from notices.events()
    rows = _merged(plans, work)
    # Of the output the rows are a beginning, which these replace.
    yield from rows if resumed is None else go_on(resumed, rows, start=0)


def _plans(work: Work, output: str) -> list[_Plan]:
    """The shards of the run that have images."""
    count = -(-len(work.images) // _IMAGES_A_PART)
    places: list[list[int]] = [[] for _ in range(count)]
    for place, item in enumerate(work.images):
        places[number_of(item.id, count)].append(place)
    digest = work.provenance.images_digest
    return [
        _plan(work, Shard(number, count), of_shard, folder=parts_folder(output), digest=digest)
        for number, of_shard in enumerate(places)
    ]


def _plan(work: Work, shard: Shard, places: Sequence[int], *, folder: Path, digest: str) -> _Plan:
    provenance = replace(
        work.provenance,
        settings={**work.provenance.settings, "shard": str(shard)},
        images=len(places),
        images_digest=digest_of_names(work.images[place] for place in places),
        shard=sharding_of(shard, places, images=len(work.images), digest=digest),
    )
    return _Plan(folder / f"part-{shard.in_names}.parquet", places, provenance)


def _parts_done(plans: Sequence[_Plan], *, resume: bool) -> set[str]:
    """The parts that an earlier run has left whole, if it is resumed. Raises `UsageError` for those of another run."""
    folder = plans[0].path.parent
    there = [plan for plan in plans if plan.path.exists()]
    if not resume:
        if folder.is_dir() and any(folder.iterdir()):
            raise OutputExists(f"{folder} has parts of an earlier run; go on with --resume, or remove the folder")
        return set()
    for plan in there:
        before = read_part(str(plan.path)).manifest.provenance
        different = differences(before, plan.provenance)
        if not different and before.images_digest != plan.provenance.images_digest:
            different = ["the inputs were others"]
        if different:
            raise UsageError(
                f"{plan.path} was made otherwise: {'; '.join(different)}; give that again, or remove {folder}"
            )
    return {str(plan.path) for plan in there}


def _prepared(work: Work) -> Generator[Event, None, tuple[Labelling, Wanted]]:
    """What actors and tasks need: the classifier is built here, once."""
    options = work.options
    vocabulary = options.unknown or options.multi_label
    classifier = yield from get_classifier(work.class_source, (), model=work.model, vocabulary=vocabulary)
    backbone = yield from work.model.load()
    # The inputs may be millions of names, which no worker needs.
    lean = replace(options, inputs=(), labels=None, classifier=None)
    labelling = Labelling(lean, work.model.asked, classifier, work.kept, len(work.images))
    ways = (backbone.preprocessing,)
    return labelling, Wanted(ways=ways, decode=options.decode, color=options.color, limits=limits_of(options))


class _Rows:
    """The rows that have come, by part: each part is written once all of its rows are there."""

    def __init__(self, plans: Sequence[_Plan], work: Work) -> None:
        self._work, self._plans, self._rows = work, plans, {plan.path: dict[int, Row]() for plan in plans}
        self._part_of = {place: plan for plan in plans for place in plan.places}
        self._model: ModelRecord | None = None
        for plan in plans:
            if not plan.places:
                self._write(plan)

    @property
    def missing(self) -> list[int]:
        """The places of the images that have no row yet, part by part."""
        return list(self._part_of)

    @property
    def left(self) -> int:
        """How many images have no row yet."""
        return len(self._part_of)

    def made_by(self, model: ModelRecord) -> None:
        """Note the model of the next rows. Raises `UsageError` if it is another than that of the rows before."""
        different = [] if self._model is None else differences_of_models(self._model, model)
        if different:
            raise UsageError(f"the workers do not have the same model: {'; '.join(different)}; give all the same files")
        self._model = self._model or model

    def add(self, place: int, row: Row) -> bool:
        """Add the row of an image; false if it was there already, as after a worker had to begin anew."""
        plan = self._part_of.pop(place, None)
        if plan is None:
            return False
        self._rows[plan.path][place] = row
        if len(self._rows[plan.path]) == len(plan.places):
            self._write(plan)
        return True

    def _write(self, plan: _Plan) -> None:
        """Write a part with its manifest, and forget its rows."""
        plan.path.parent.mkdir(exist_ok=True)
        rows, options = self._rows.pop(plan.path), self._work.options
        schema = schema_of(options, self._work.provenance)
        manifest = Manifest(provenance=plan.provenance, model=self._model, format="parquet", begun=now())
        with Output(str(plan.path), format="parquet", schema=schema, manifest=manifest, overwrite=True) as output:
            for start in range(0, len(plan.places), _CHUNK):
                output.write([rows[place] for place in plan.places[start : start + _CHUNK]])


def _work_off(
    plans: Sequence[_Plan], work: Work, labelling: Labelling, wanted: Wanted, *, notices: Notices
) -> Iterator[Event]:
    """Label the images of the parts, and write each part once all its rows are there.

    Raises `ClipcliError` if not one image has a row, of those done in blocks and of the first ones done alone.
    """
    rows, total = _Rows(plans, work), len(work.images)

    def add(places: Sequence[int], *, at_once: int) -> Iterator[Event]:
        for batch in _labelled(places, work.images, labelling, wanted, at_once=at_once):
            for place, row, noticed, model in zip(*(batch[name] for name in _COLUMNS), strict=True):
                rows.made_by(pickle.loads(model))
                note = notices.about(work.images[place].id)
                for notice, detail in pickle.loads(noticed) if rows.add(int(place), pickle.loads(row)) else ():
                    note(notice, detail)
            yield ImagesEmbedded(total - rows.left, total)

    todo = rows.left
    yield from add(rows.missing, at_once=_IMAGES_A_BLOCK)
    if todo and rows.left == todo:
        # An image in each block may end the workers.
        yield from add(rows.missing[:_IMAGES_A_BLOCK], at_once=1)
        if rows.left == todo:
            raise ClipcliError(_ALL_FAIL)
    yield from add(rows.missing, at_once=1)
    for place in rows.missing:
        item = work.images[place]
        rows.add(place, Row(item.id, (), (), ENDED, tuple(item.cells.get(name) for name in work.kept)))


_COLUMNS = ("place", "row", "noticed", "model")


def _labelled(
    places: Sequence[int],
    images: Sequence[ImageItem],
    labelling: Labelling,
    wanted: Wanted,
    *,
    at_once: int,
) -> Iterator[Any]:
    """The rows of images, in batches of columns, in any order; those of blocks that failed for good do not come."""
    if not places:
        return
    import ray

    has = ray.cluster_resources()
    cards, cores = int(has.get("GPU", 0)), int(has.get("CPU", 1))
    # Another share of a processor than that of the actors keeps Ray from putting both into one process, which an image
    # could end.
    share = {"num_gpus": 1} if cards else {"num_cpus": 1}
    actors = cards or max(1, cores // 2)
    given = [{"place": place, "item": pickle.dumps(images[place])} for place in places]
    blocks = -(-len(given) // at_once)
    data = ray.data.from_items(given, override_num_blocks=blocks)
    # Without a number Ray would try a block again for ever that ends each process.
    tries: Any = partial(dict, max_retries=_TRIED_AGAIN)
    data = data.map_batches(partial(decode, wanted=wanted), batch_size=at_once, num_cpus=0.5, ray_remote_args_fn=tries)
    data = data.map_batches(
        Labeller,
        fn_constructor_args=(labelling,),
        batch_size=_IMAGES_AT_ONCE,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=actors),
        **share,
    )
    yield from data.iter_batches(batch_size=None, batch_format="numpy")


def _merged(plans: Sequence[_Plan], work: Work) -> Iterator[Event]:
    """The rows of all parts, in order, with the names of the images as they are: Parquet writes other bytes."""
    parts = [read_part(str(plan.path)) for plan in plans]
    check_parts(parts)
    model = merged_manifest(parts, format="parquet").model
    if model is not None:
        yield ModelLoaded(model.name, f"in {model.precision} on the cluster", model.preprocessing, model)
    rows = placed_rows(parts)
    while chunk := tuple(islice(rows, _CHUNK)):
        yield RowsReady(tuple(_as_given(row, work.images[place], work.kept) for place, row in chunk), earlier=True)


def _as_given(row: Row, item: ImageItem, kept: Sequence[str]) -> Row:
    return replace(row, path=item.id, kept=tuple(item.cells.get(name) for name in kept))
