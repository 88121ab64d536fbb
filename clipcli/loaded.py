"""A model that is loaded once, for many calls of a program."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from clipcli.commands.classify.settings import ClassifySettings, Labelling
from clipcli.commands.encoding_settings import Encoding
from clipcli.commands.shared_settings import Inputs, ModelName
from clipcli.errors import UsageError
from clipcli.events import Event, ImagesEmbedded, Warned, result_of
from clipcli.records import Rows, Skipped
from clipcli.settings import AsText, Reads, Settings, Show, api, method, record, setting, several

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clipcli.encoding.model import Model

Progress = Callable[[int, int], object]


@record
class LoadSettings(Encoding, ModelName):
    """The model, and how it runs."""

    command = "load"

    # As in `ModelName`, which has the help, but with no name before it.
    model: AsText = setting(
        default=None,
        kw_only=False,
        group="what",
        metavar="M",
        argument=True,
        by_default="ViT-B-32-256/datacomp_s34b_b86k",
    )


@record
class ImagesToEmbed(Inputs):
    """The images to embed."""

    command = "load"

    progress: Progress | None = setting(default=None, group="output")
    """A function that is called with the number of images that are done and that of all, again and again."""


def _read_texts(value: Any) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else several(value)
    wrong = next((text for text in texts if not isinstance(text, str)), None)
    if wrong is not None:
        raise UsageError(f"a text to embed is of type {type(wrong).__name__}; give a text or a list of texts")
    return tuple(map(str, texts))


@record
class TextsToEmbed(Settings):
    """The texts to embed."""

    command = "load"

    texts: Reads[str | Iterable[str], tuple[str, ...]] = setting(
        kw_only=False,
        group="what",
        argument=True,
        reads=_read_texts,
        accepts="str | Iterable[str]",
        noun="a text or a list of texts",
    )
    """One text or several, which go to the model as they are."""


@api(LoadSettings)
def load(settings: LoadSettings, show: Show) -> LoadedModel:
    """Load a model, for any number of calls of its methods. Both of its towers are loaded now.

    Raises `UnknownName`, `ModelUnavailable`, `BadFile`, `WeightsMismatch`, `UnsafeWeights` or `MissingExtra` for the
    model, and `UsageError` for settings that do not fit this machine.
    """
    from clipcli.backbones import DEFAULT_MODEL
    from clipcli.backbones.checkpoint import IMAGE, TEXT
    from clipcli.encoding.model import Model
    from clipcli.memory.memory import open_memory

    memory = open_memory(cache=settings.cache, cache_size=settings.cache_size)
    model = Model(settings.model or DEFAULT_MODEL, settings, memory=memory)
    backbone = result_of(model.load(IMAGE, TEXT), show=show)
    return LoadedModel(model, settings, dimensions=backbone.dimensions)


class LoadedModel:
    """A model that was loaded once, by `clipcli.load`.

    Its methods give what the functions of clipcli give, and use the same cache. `name` is the model's name as outputs
    hold it, and `dimensions` the number `D` of its embeddings.
    """

    def __init__(self, model: Model, settings: LoadSettings, *, dimensions: int) -> None:
        self._model, self._settings = model, settings
        self.dimensions = dimensions

    @property
    def name(self) -> str:
        """The model's name as outputs hold it."""
        return self._model.name

    @property
    def offline(self) -> bool:
        """True if nothing is fetched for it."""
        return self._settings.offline

    def __repr__(self) -> str:
        return f"<clipcli model {self.name}, {self.dimensions} dimensions>"

    @method(Labelling, of=LoadSettings)
    def classify(self, settings: Labelling, show: Show) -> Rows:
        """Label images with this model, exactly as `clipcli.classify` does, whose help says what it takes and raises.

        Raises `WeightsMismatch` for a `classifier` of another model as well.
        """
        from clipcli.commands.classify.run import rows_of, run

        options = ClassifySettings(**_values(self._settings), **_values(settings))
        return rows_of(run(options, model=self._model), show)

    @method(ImagesToEmbed, of=LoadSettings)
    def embed_images(self, settings: ImagesToEmbed, show: Show) -> NDArray[np.float32]:
        """The embeddings of images, `[N, D]` float32, L2-normalised: a row for each image, in order.

        `inputs` are as for `clipcli.classify`, and so are the embeddings that it scores. The row of an image that
        cannot be read is NaN, and a warning says how many there are. Raises `InputNotFound` for an input that is not
        there, `UsageError` for what is no image, and `ClipcliError` if the model gives NaN or infinity.
        """
        import numpy as np

        from clipcli.data.images import list_images
        from clipcli.encoding.embed import embed_images
        from clipcli.notices import Notices

        notices = Notices()
        items = list_images(
            settings.inputs,
            stdin=sys.stdin,
            image_column=settings.image_column,
            notices=notices,
            exclude=settings.exclude,
            also=settings.also,
            null=settings.null,
        )
        for event in notices.events():
            show(event)
        tell = _told(settings.progress, show)
        tell(ImagesEmbedded(0, len(items)))
        entries, [found] = result_of(embed_images(items, models=[self._model]), show=tell)
        skipped = [entry for entry in entries if isinstance(entry, Skipped)]
        if not skipped:
            return found
        show(Warned(_of_skipped(skipped, count=len(items))))
        embeddings = np.full((len(items), self.dimensions), np.nan, np.float32)
        embeddings[[not isinstance(entry, Skipped) for entry in entries]] = found
        return embeddings

    @method(TextsToEmbed, of=LoadSettings)
    def embed_texts(self, settings: TextsToEmbed, show: Show) -> NDArray[np.float32]:
        """The embeddings of texts, `[N, D]` float32, L2-normalised: a row for each text, in order.

        A text goes to the model as it is: put it into a prompt yourself, as in `f"a photo of a {label}."`. One longer
        than the model's context is encoded in parts that overlap. Its cosine to an image is the product of their rows.
        Raises `UsageError` for what is no text.
        """
        import numpy as np

        from clipcli.scoring.build import embed_classes

        each = [(text,) for text in settings.texts]
        if not each:
            return np.empty((0, self.dimensions), np.float32)
        return np.stack(result_of(embed_classes(each, names=each, model=self._model), show=show))


def _values(settings: Settings) -> dict[str, Any]:
    return {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}


def _told(progress: Progress | None, show: Show) -> Show:
    """Shows events, and tells of progress."""

    def tell(event: Event) -> None:
        if progress is not None and isinstance(event, ImagesEmbedded):
            progress(event.done, event.total)
        show(event)

    return tell


def _of_skipped(skipped: list[Skipped], *, count: int) -> str:
    first = skipped[0]
    return (
        f"{len(skipped):,} of {count:,} images cannot be read, such as {first.item.id}: {first.reason}; their rows are"
        " NaN"
    )
