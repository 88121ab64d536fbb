"""What `--isolate` costs: CPU time to decode the same photos in this process and in worker processes, side by side.

Photos are measured as they are, and enlarged to 12 megapixels, in rounds that take turns. Prints a Markdown table.
Run: python benchmarks/isolate.py [MODEL] [FOLDER]
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from decode import SHARED, enlarged, written

from clipcli import backbones
from clipcli.backbones.backbone import Backbone
from clipcli.backbones.checkpoint import IMAGE
from clipcli.backbones.devices import cores
from clipcli.backbones.load import load
from clipcli.backbones.runtime import choose_runtime
from clipcli.events import result_of
from clipcli.images.batches import batches_for_each
from clipcli.images.isolate import Isolated
from clipcli.images.limits import Limits
from clipcli.images.stopwatch import Stopwatch
from clipcli.images.threads import DecodeThreads
from clipcli.images.wanted import Wanted, reading
from clipcli.records import ImageItem, Reference

ROUNDS, PHOTOS, LARGE = 3, 200, 8


def cpu_of(process: int) -> float:
    """The CPU seconds that another process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def seconds(items: Sequence[ImageItem], backbone: Backbone, *, isolate: bool) -> float:
    """CPU seconds of reading, decoding and resizing all images, in all processes together."""
    wanted = Wanted(ways=(backbone.preprocessing,), digests=True, limits=Limits(isolate=isolate))
    isolated = Isolated(wanted) if isolate else None
    read = isolated.pixels if isolated else reading(wanted.look(), watch=Stopwatch())
    used = [0.0, 0.0]
    # The first images start the workers.
    for n, part in enumerate((items[: 4 * cores()], items)):
        for _ in batches_for_each(1, part, read=read, batch_size=32, threads=DecodeThreads(cores())):
            pass
        used[n] = time.process_time() + sum(cpu_of(worker) for worker in (isolated.workers if isolated else ()))
    if isolated:
        isolated.close()
    return used[1] - used[0]


def measured(name: str, paths: Sequence[Path], backbone: Backbone) -> str:
    """A row of the table: the best of all rounds of each way."""
    items = [ImageItem(path.name, Reference("file", str(path))) for path in paths]
    rounds = [(seconds(items, backbone, isolate=False), seconds(items, backbone, isolate=True)) for _ in range(ROUNDS)]
    here, apart = (1000 * min(times) / len(items) for times in zip(*rounds, strict=True))
    return f"| {name} | {here:.2f} ms | {apart:.2f} ms | {100 * (apart / here - 1):+.1f} % |"


def main(model: str = "tiny", folder: str = str(SHARED / "data" / "photos")) -> None:
    """Print the table."""
    backbone = load(result_of(backbones.find(model)()), runtime=choose_runtime(), towers=(IMAGE,), inference=True)
    photos = sorted(path for path in Path(folder).iterdir() if path.suffix == ".jpg")
    print(f"| {cores()} cores | in this process | in workers | more |\n|---|---|---|---|")
    print(measured(f"photos as they are ({PHOTOS})", (photos * 10)[:PHOTOS], backbone))
    with TemporaryDirectory() as temporary:
        large = written(photos[:LARGE], Path(temporary) / "large", lambda photo: [enlarged(photo)])
        print(measured(f"12 megapixels ({LARGE})", large, backbone))


if __name__ == "__main__":
    main(*sys.argv[1:])
