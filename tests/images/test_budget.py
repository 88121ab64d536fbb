"""The budget of pixels: many small images at once, large ones one after another, and one that is too large alone."""

from __future__ import annotations

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from clipcli.images import decode
from clipcli.images.budget import PixelBudget
from clipcli.images.decode import decoding, prepare_pillow


def most_at_once(budget: PixelBudget, sizes: list[int]) -> int:
    """The most pixels that are held at once when as many threads as there are sizes want them."""
    lock, held, most = threading.Lock(), 0, 0

    def hold(pixels: int) -> None:
        nonlocal held, most
        with budget.holding(pixels):
            with lock:
                held += pixels
                most = max(most, held)
            time.sleep(0.005)
            with lock:
                held -= pixels

    with ThreadPoolExecutor(len(sizes)) as pool:
        list(pool.map(hold, sizes))
    return most


def test_no_more_pixels_are_held_than_there_are() -> None:
    assert most_at_once(PixelBudget(10), [4] * 12) == 8
    assert most_at_once(PixelBudget(10), [6] * 6) == 6


def test_one_that_is_larger_goes_alone() -> None:
    assert most_at_once(PixelBudget(10), [3, 25, 3, 3, 25]) == 25


def test_what_fails_gives_its_pixels_back() -> None:
    budget = PixelBudget(10)
    with pytest.raises(ValueError, match="broken"), budget.holding(10):
        raise ValueError("broken")
    assert most_at_once(budget, [10]) == 10


def test_small_images_do_not_pass_a_large_one_by_for_ever() -> None:
    budget, order = PixelBudget(10), []
    first = budget.holding(6)
    first.__enter__()

    def hold(pixels: int) -> None:
        with budget.holding(pixels):
            order.append(pixels)

    large, small = threading.Thread(target=hold, args=(10,)), threading.Thread(target=hold, args=(1,))
    large.start()
    time.sleep(0.05)
    small.start()
    time.sleep(0.05)
    assert order == []
    first.__exit__(None, None, None)
    large.join(10)
    small.join(10)
    assert order == [10, 1]


def test_the_memory_of_a_large_image_does_not_stay_with_its_thread() -> None:
    """glibc maps blocks of more than 32 MB one by one, and keeps smaller ones in the thread that freed them."""
    prepare_pillow()
    assert Image.core.get_block_size() > 32 << 20


def test_an_image_holds_its_pixels_while_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = PixelBudget(100)
    monkeypatch.setattr(decode, "BUDGET", budget)
    stream = io.BytesIO()
    Image.new("RGB", (8, 5)).save(stream, "PNG")
    with decoding(stream.getvalue()):
        assert budget._held == 40
    assert budget._held == 0
    stream = io.BytesIO()
    Image.new("RGB", (80, 48)).save(stream, "JPEG")
    with decoding(stream.getvalue(), least=lambda _: (10, 6)):
        assert budget._held == 60
