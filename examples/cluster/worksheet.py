"""Reckons how long a labelling takes and what it costs: `python worksheet.py --images 1e8 --rate 8.2 --workers 64`.

The rate is that of one worker, in images a second, as `clipcli classify` prints it at its end or `clipcli models
--measure` does. The dollars are those of one worker an hour. Nothing else is known of a cluster: that its storage keeps
up, and that workers share nothing that slows them, is taken for granted.
"""

from __future__ import annotations

import argparse


def reckoned(images: float, *, rate: float, workers: int, dollars: float, lost: float) -> str:
    """A line with the rate of all workers, the days and the dollars; `lost` is the share of work that is done twice."""
    every = rate * workers
    hours = images * (1 + lost) / every / 3600
    return f"{every:,.0f} images/s, {hours / 24:,.2f} days, {hours * workers * dollars:,.0f} dollars"


def main() -> None:
    """Print what is reckoned."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=float, default=1e8)
    parser.add_argument("--rate", type=float, required=True, help="images a second of one worker")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--dollars", type=float, default=0.04, help="of one worker an hour")
    parser.add_argument("--lost", type=float, default=0.05, help="the share of the work that is done twice")
    given = parser.parse_args()
    print(reckoned(given.images, rate=given.rate, workers=given.workers, dollars=given.dollars, lost=given.lost))


if __name__ == "__main__":
    main()
