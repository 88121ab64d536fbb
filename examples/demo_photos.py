"""Put a few photos that are free to use, from scikit-image, into a folder: `demo_photos.py FOLDER`."""

import sys
from pathlib import Path

import skimage.data
from PIL import Image

PHOTOS = {
    "astronaut.png": skimage.data.astronaut,
    "cat.png": skimage.data.chelsea,
    "coffee.png": skimage.data.coffee,
    "motorcycle.png": lambda: skimage.data.stereo_motorcycle()[0],
    "rocket.png": skimage.data.rocket,
}


def main(folder: Path) -> None:
    """Write the photos."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, load in PHOTOS.items():
        Image.fromarray(load()).save(folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
