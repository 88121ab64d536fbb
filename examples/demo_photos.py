"""Put eight photos that are free to use, from scikit-image and scikit-learn, into a folder: `demo_photos.py FOLDER`."""

import sys
from pathlib import Path

import skimage.data
import sklearn.datasets
from PIL import Image

PHOTOS = {
    "camera.png": skimage.data.camera,
    "chelsea.png": skimage.data.chelsea,
    "china.png": lambda: sklearn.datasets.load_sample_image("china.jpg"),
    "espresso.png": skimage.data.coffee,
    "dahlia.png": lambda: sklearn.datasets.load_sample_image("flower.jpg"),
    "motorcycle.png": lambda: skimage.data.stereo_motorcycle()[0],
    "page.png": skimage.data.page,
    "rocket.png": skimage.data.rocket,
}


def main(folder: Path) -> None:
    """Write the photos."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, load in PHOTOS.items():
        Image.fromarray(load()).save(folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
