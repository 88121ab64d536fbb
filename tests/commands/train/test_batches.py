"""Batches of pairs: the same whoever reads them, with bad images replaced and everything that happened told."""

from __future__ import annotations

import io
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torch import Tensor

from clipcli.backbones.backbone import Tokenizer
from clipcli.backbones.preprocessing import Preprocessing
from clipcli.commands.train.augment import train_view
from clipcli.commands.train.batches import Batches, TrainBatch
from clipcli.commands.train.order import Order, parts_of
from clipcli.commands.train.processes import Processes
from clipcli.data.pairs import Pair
from clipcli.errors import ClipcliError
from clipcli.images.decode import read_pixels
from clipcli.images.limits import Limits
from clipcli.images.resize import resizer
from clipcli.records import ImageItem, Reference

CONTEXT = 32
PREPROCESSING = Preprocessing((16, 16), "shortest", "bicubic", (0.5,) * 3, (0.5,) * 3, 0)
GROUPS = ("slots", "pairs", "captions", "classes", "data")
# Captions that are as long as the context with the two tokens around them, and one longer.
FITS, TOO_LONG = " ".join(["cat"] * (CONTEXT - 2)), " ".join(["cat"] * (CONTEXT - 1))


@pytest.fixture(scope="module")
def tokenizer(models: dict[str, Path]) -> Tokenizer:
    """That of the one-layer ViT, whose context is short."""
    return open_clip.get_tokenizer(f"local-dir:{models['vit']}")


def photo(number: int) -> bytes:
    """A small image of its own."""
    noise = np.random.default_rng(number).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "PNG")
    return stream.getvalue()


def pair(number: int, *captions: str, label: str | None = None, image: Reference | None = None) -> Pair:
    """A pair whose image is called after its number."""
    item = ImageItem(f"{number}.png", image or Reference("bytes", member=photo(number)))
    return Pair(item, captions or (f"caption {number}", f"the other of {number}"), label)


MISSING = Reference("file", "/nowhere/missing.png")


def stream_of(
    pairs: Sequence[Pair],
    tokenizer: Tokenizer,
    *,
    batch_size: int = 4,
    first: int = 0,
    end: int = 5,
    processes: Processes | None = None,
    workers: int = 3,
    crop: float = 0.5,
    flip: bool = True,
    seed: int = 0,
    augment: str = "none",
    cutmix: float = 0.0,
    shares: Sequence[float | None] = (None,),
) -> Generator[TrainBatch, None, None]:
    """The batches of the steps from `first` up to `end`, as they are asked for; DATA has a share each, and is of equal
    size.
    """
    sizes = [len(pairs) // len(shares)] * len(shares)
    batches = Batches(
        pairs,
        sizes=sizes,
        order=Order(parts_of(sizes, shares, batch_size=batch_size), seed),
        view=train_view(PREPROCESSING, crop=crop, flip=flip, augment=augment),
        size=PREPROCESSING.size,
        tokenizer=tokenizer,
        processes=processes or Processes(),
        workers=workers,
        pin=False,
        cutmix=cutmix,
    )
    return batches.start(first, end=end)


def coming(pairs: Sequence[Pair], tokenizer: Tokenizer, **options: Any) -> list[TrainBatch]:
    """All of these batches."""
    return list(stream_of(pairs, tokenizer, **options))


def contents(batch: TrainBatch) -> list[Any]:
    """Everything that a batch holds, as lists that can be compared."""
    groups = [getattr(batch.groups, name).tolist() for name in GROUPS]
    if batch.mix is not None:
        groups += [batch.mix.groups.slots.tolist(), batch.mix.shares.tolist()]
    rest = [batch.names, [(s.item.id, s.reason) for s in batch.skipped], batch.cut_captions]
    return [batch.pixels.tolist(), batch.tokens.tolist(), *groups, *rest]


def some_bad(count: int = 10) -> list[Pair]:
    """Pairs of which a third cannot be read or is cut."""
    bad = {3: b"not an image", 5: b"", 8: photo(8)[:300]}
    return [pair(n, image=Reference("bytes", member=bad.get(n, photo(n)))) for n in range(count)]


def test_a_batch_holds_images_captions_and_names_of_its_pairs(tokenizer: Tokenizer) -> None:
    pairs = [pair(n) for n in range(10)]
    for batch in coming(pairs, tokenizer, crop=1, flip=False):
        assert (batch.pixels.dtype, batch.pixels.shape) == (torch.uint8, (4, 16, 16, 3))
        assert (batch.tokens.dtype, batch.tokens.shape) == (torch.int64, (4, CONTEXT))
        for place, number in enumerate(batch.groups.pairs.tolist()):
            assert batch.names[place] == f"{number}.png"
            expected = read_pixels(pairs[number].item, resizer(PREPROCESSING))
            np.testing.assert_array_equal(batch.pixels[place].numpy(), expected)
            assert batch.tokens[place].tolist() in tokenizer(list(pairs[number].captions)).tolist()
        assert (batch.skipped, batch.cut_captions) == ((), 0)


def test_whole_images_may_be_mirrored(tokenizer: Tokenizer) -> None:
    pairs = [pair(n) for n in range(10)]
    mirrored = []
    for batch in coming(pairs, tokenizer, crop=1, flip=True):
        for place, number in enumerate(batch.groups.pairs.tolist()):
            made, whole = batch.pixels[place].numpy(), read_pixels(pairs[number].item, resizer(PREPROCESSING))
            mirrored.append(np.array_equal(made, whole[:, ::-1]))
            assert mirrored[-1] or np.array_equal(made, whole)
    assert 5 <= sum(mirrored) <= 15


def test_captions_and_crops_differ_from_one_epoch_to_the_next(tokenizer: Tokenizer) -> None:
    pairs = [pair(0, "one", "two", "three")]
    batches = coming(pairs, tokenizer, batch_size=1, end=30)
    drawn = [tuple(batch.tokens[0].tolist()) for batch in batches]
    assert set(drawn) == {tuple(row) for row in tokenizer(["one", "two", "three"]).tolist()}
    assert min(drawn.count(row) for row in set(drawn)) >= 5
    assert len({batch.pixels.numpy().tobytes() for batch in batches}) == 30


@pytest.mark.parametrize("count", [2, 4])
def test_processes_share_the_batch_of_one(tokenizer: Tokenizer, count: int) -> None:
    pairs = [pair(n, *p.captions, FITS, TOO_LONG, image=p.item.reference) for n, p in enumerate(some_bad())]
    alone = coming(pairs, tokenizer)
    shared = [coming(pairs, tokenizer, processes=Processes(rank, count)) for rank in range(count)]
    assert sum(len(batch.skipped) for batch in alone) > 1
    assert sum(batch.cut_captions for batch in alone) > 1
    for step, whole in enumerate(alone):
        parts = [batches[step] for batches in shared]
        assert {len(part.names) for part in parts} == {4 // count}
        assert torch.equal(torch.cat([part.pixels for part in parts]), whole.pixels)
        assert torch.equal(torch.cat([part.tokens for part in parts]), whole.tokens)
        for name in GROUPS:
            ids = torch.cat([getattr(part.groups, name) for part in parts])
            assert torch.equal(ids, getattr(whole.groups, name))
        assert sum((part.names for part in parts), ()) == whole.names
        assert sum((part.skipped for part in parts), ()) == whole.skipped
        assert sum(part.cut_captions for part in parts) == whole.cut_captions


def test_every_pair_knows_its_data(tokenizer: Tokenizer) -> None:
    """Also where DATA without a share are drawn from together, and one of them takes the place of a bad image."""
    pairs = [pair(n, image=MISSING) if n == 2 else pair(n) for n in range(12)]
    batches = coming(pairs, tokenizer, batch_size=6, end=6, shares=(None, None, 0.5))
    drawn = [
        (n, d)
        for batch in batches
        for n, d in zip(*map(Tensor.tolist, (batch.groups.pairs, batch.groups.data)), strict=True)
    ]
    assert {d for _, d in drawn} == {0, 1, 2}
    assert all(d == n // 4 for n, d in drawn)
    assert sum(len(batch.skipped) for batch in batches) > 1


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_the_number_of_workers_changes_nothing(tokenizer: Tokenizer, workers: int) -> None:
    expected = [contents(batch) for batch in coming(some_bad(), tokenizer, workers=3)]
    assert [contents(batch) for batch in coming(some_bad(), tokenizer, workers=workers)] == expected


@pytest.mark.parametrize("first", [1, 4, 7, 10])
@pytest.mark.parametrize("changes", [{}, {"augment": "trivial", "cutmix": 0.7}], ids=["plain", "changed"])
def test_going_on_from_a_step_gives_the_same_batches(tokenizer: Tokenizer, first: int, changes: dict[str, Any]) -> None:
    through = coming(some_bad(), tokenizer, end=10, **changes)
    assert len(through) == 10
    gone_on = coming(some_bad(), tokenizer, first=first, end=10, **changes)
    assert [contents(batch) for batch in gone_on] == [contents(batch) for batch in through[first:]]


def test_what_is_odd_about_an_image_is_counted_once_in_all_epochs(tokenizer: Tokenizer) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (20, 24)).save(stream, "TIFF", tiffinfo={254: 1})
    thumbnail = Reference("bytes", member=stream.getvalue())
    pairs = [pair(n, image=thumbnail if n < 3 else None) for n in range(8)]
    batches = Batches(
        pairs,
        sizes=[8],
        order=Order(parts_of([8], [None], batch_size=4), 0),
        view=train_view(PREPROCESSING, crop=0.5, flip=True),
        size=PREPROCESSING.size,
        tokenizer=tokenizer,
        processes=Processes(),
        workers=3,
        pin=False,
    )
    assert len(list(batches.start(0, end=10))) == 10
    [said] = batches.notices.events()
    assert said.message.startswith("3 images are only the thumbnails in their files, such as ")


@pytest.mark.usefixtures("workers")
def test_a_decoder_that_dies_costs_its_image_alone(tokenizer: Tokenizer) -> None:
    """What workers decode is what this process does, and what they note of it is counted."""
    stream = io.BytesIO()
    Image.new("RGB", (20, 24)).save(stream, "TIFF", tiffinfo={254: 1})
    odd = {2: b"SEGFAULT", 5: stream.getvalue(), 7: b"no image"}
    pairs = [pair(n, image=Reference("bytes", member=odd.get(n, photo(n)))) for n in range(8)]
    plain = [
        pair(n, image=Reference("bytes", member=odd[n] if n > 2 else b"worse") if n in odd else None) for n in range(8)
    ]
    how: dict[str, Any] = {"sizes": [8], "order": Order(parts_of([8], [None], batch_size=4), 0), "workers": 2}
    how |= {"size": PREPROCESSING.size, "tokenizer": tokenizer, "processes": Processes(), "pin": False}
    view = train_view(PREPROCESSING, crop=0.5, flip=True)
    apart = Batches(pairs, view=view, limits=Limits(isolate=True), **how)
    here = Batches(plain, view=view, **how)
    found = list(apart.start(0, end=6))
    assert [batch.pixels.tolist() for batch in found] == [batch.pixels.tolist() for batch in here.start(0, end=6)]
    reasons = {skipped.item.id: skipped.reason for batch in found for skipped in batch.skipped}
    assert reasons == {"2.png": "its decoder died by SIGSEGV, a fault in its code", "7.png": "not an image"}
    assert list(apart.notices.events()) == list(here.notices.events()) != []


def test_another_seed_gives_other_batches(tokenizer: Tokenizer) -> None:
    assert contents(coming(some_bad(), tokenizer, seed=1)[0]) != contents(coming(some_bad(), tokenizer, seed=2)[0])


def test_bad_images_are_replaced_by_others_and_named(tokenizer: Tokenizer) -> None:
    pairs = [*some_bad(), pair(10, image=MISSING)]
    batches = coming(pairs, tokenizer, batch_size=11, end=2, crop=1, flip=False)
    reasons = {"3.png": "not an image", "5.png": "an empty file", "8.png": "truncated", "10.png": "no such file"}
    for batch in batches:
        # Every pair is drawn once, and whoever takes a bad one's place may be bad as well.
        told = {s.item.id: s.reason for s in batch.skipped}
        assert told == reasons
        assert len(batch.names) == 11
        assert not set(batch.names) & set(reasons)
        assert {f"{n}.png" for n in range(11)} == set(batch.names) | set(reasons)
        for place, number in enumerate(batch.groups.pairs.tolist()):
            assert batch.names[place] == f"{number}.png"
            expected = read_pixels(pairs[number].item, resizer(PREPROCESSING))
            np.testing.assert_array_equal(batch.pixels[place].numpy(), expected)
            assert batch.tokens[place].tolist() in tokenizer(list(pairs[number].captions)).tolist()


def test_where_all_images_are_bad_the_run_ends(tokenizer: Tokenizer) -> None:
    pairs = [pair(n, image=MISSING) for n in range(4)]
    says = r"^20 images in a row could not be read, the last [0-3]\.png: no such file; check the data$"
    with pytest.raises(ClipcliError, match=says):
        coming(pairs, tokenizer)


@pytest.mark.parametrize(
    ("captions", "cut"),
    [([FITS], 0), ([TOO_LONG], 1), ([TOO_LONG, FITS, "a cat", f"{TOO_LONG} and more"], 2), (["!" * 500], 1), ([""], 0)],
)
def test_captions_longer_than_the_context_are_counted(tokenizer: Tokenizer, captions: list[str], cut: int) -> None:
    pairs = [pair(n, caption) for n, caption in enumerate(captions)]
    batches = coming(pairs, tokenizer, batch_size=len(pairs), end=2)
    assert [batch.cut_captions for batch in batches] == [cut, cut]


def words(texts: Sequence[str], context: int = 8) -> Tensor:
    """A tokenizer as those of transformers: a token a word and one at the end, padded with ones, cut to eight."""
    rows = [[*(100 + len(word) for word in text.split()[: context - 1]), 2] for text in texts]
    return torch.tensor([row + [1] * (context - len(row)) for row in rows])


@pytest.mark.parametrize(("length", "cut"), [(1, 0), (6, 0), (7, 0), (8, 1), (30, 1)])
def test_captions_that_other_tokenizers_cut_are_counted(length: int, cut: int) -> None:
    [batch] = coming([pair(0, " ".join(["word"] * length))], words, batch_size=1, end=1)
    assert batch.cut_captions == cut


def test_equal_captions_and_classes_share_an_id_and_nothing_else_does(tokenizer: Tokenizer) -> None:
    captions = ["a cat", "a cat", "a dog", "a Cat", "a cow", "a cow"]
    labels = [None, None, "cat", "cat", "dog", None]
    pairs = [pair(n, caption, label=label) for n, (caption, label) in enumerate(zip(captions, labels, strict=True))]
    for batch in coming(pairs, tokenizer, batch_size=6):
        numbers = batch.groups.pairs.tolist()
        assert sorted(numbers) == list(range(6))
        assert batch.groups.slots.tolist() == list(range(6))
        ids = zip(numbers, batch.groups.captions.tolist(), batch.groups.classes.tolist(), strict=True)
        by_pair = {number: (caption, label) for number, caption, label in ids}
        for a in range(6):
            for b in range(6):
                assert (by_pair[a][0] == by_pair[b][0]) == (captions[a] == captions[b])
                shares_class = a == b or (labels[a] is not None and labels[a] == labels[b])
                assert (by_pair[a][1] == by_pair[b][1]) == shares_class


def test_ids_are_the_same_in_every_batch_and_for_every_process(tokenizer: Tokenizer) -> None:
    pairs = [pair(n, f"caption {n}", label="odd" if n % 2 else None) for n in range(8)]
    batches = [b for rank in (0, 1) for b in coming(pairs, tokenizer, processes=Processes(rank, 2), end=8)]
    ids: dict[int, set[tuple[int, int | None]]] = {n: set() for n in range(8)}
    for batch in batches:
        for place, number in enumerate(batch.groups.pairs.tolist()):
            label = int(batch.groups.classes[place])
            ids[number].add((int(batch.groups.captions[place]), label if label >= 0 else None))
    assert all(len(seen) == 1 for seen in ids.values())
    assert {label for seen in ids.values() for _, label in seen if label is not None} == {label for _, label in ids[1]}


def test_an_id_is_the_same_in_every_process_that_ever_runs(tokenizer: Tokenizer) -> None:
    [batch] = coming([pair(0, "a cat", label="猫")], tokenizer, batch_size=1, end=1)
    assert batch.groups.captions.tolist() == [3745569759787347665]
    assert batch.groups.classes.tolist() == [2022857031604189724]


def test_batches_are_begun_a_bounded_way_ahead(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []
    batch = Order.batch
    monkeypatch.setattr(Order, "batch", lambda self, step: begun.append(step) or batch(self, step))
    stream = stream_of([pair(n) for n in range(10)], tokenizer, first=3, end=50)
    assert begun == []
    for taken in range(1, 4):
        next(stream)
        # The one that was taken, and three ahead of it.
        assert begun == list(range(3, 3 + taken + 3))
    stream.close()
    assert len(begun) == 6


@pytest.mark.parametrize("cutmix", [0.0, 1.0])
def test_on_another_device_a_batch_is_the_same(tokenizer: Tokenizer, cutmix: float) -> None:
    [batch] = coming(some_bad(), tokenizer, end=1, cutmix=cutmix)
    assert contents(batch.to("cpu")) == contents(batch)
