"""Hundreds of hostile and odd picture files: each gives the right picture or one clear error that names it, in bounded time and memory."""
import hashlib
import os
import resource
import signal
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageFile

from birnn_iqa.images import ImageError, _name, image_size, load_image
from hostile import hostile_files, write_hostile

SECONDS, MEBIBYTES = 10, 700


class Hung(BaseException):
    "Not an Exception, so that nothing under test can take it for a decoder's."


def attempt(function, *args):
    "The result or the ImageError of a call that may last SECONDS at most."
    def alarm(*_): raise Hung(f"{function.__name__} still ran after {SECONDS} s")
    before = signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of broken EXIF and of cut metadata
            return function(*args)
    except ImageError as e: return e
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return write_hostile(tmp_path_factory.mktemp("hostile"))


def problems_of(case):
    "What is wrong with how `case` is handled; empty if nothing."
    result, size = attempt(load_image, case.path), attempt(image_size, case.path)
    if isinstance(result, ImageError):
        text = str(result)
        if case.verdict == "picture": yield f"refused: {text}"
        if os.path.basename(_name(case.path)) not in text or not text.isprintable(): yield f"the message doesn't name it plainly: {text!r}"
        if case.says not in text: yield f"the message doesn't say {case.says!r}: {text}"
        return
    if case.verdict == "error": yield f"accepted as a picture of {result.shape}"
    if result.dtype != np.uint8 or result.ndim != 3 or result.shape[2] != 3: yield f"gave {result.dtype} {result.shape}"
    if size != result.shape[:2]: yield f"image_size says {size}, load_image {result.shape}"
    if case.pixels is not None:
        if result.shape != case.pixels.shape: yield f"shape {result.shape}, expected {case.pixels.shape}"
        elif (error := np.abs(result.astype(int) - case.pixels).mean()) > case.tolerance: yield f"pixels differ by {error:.2f} on average"


def test_each_gives_the_right_picture_or_one_clear_error(cases, capfd):
    assert len(cases) >= 300
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wrong = [f"{_name(case.path)[-60:]} ({case.verdict}): {problem}" for case in cases for problem in problems_of(case)]
    assert not wrong, f"{len(wrong)} problems:\n" + "\n".join(wrong)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak)/1024 < MEBIBYTES
    assert "Traceback" not in capfd.readouterr().err  # libtiff itself may still grumble there


def test_both_verdicts_are_exercised(cases):
    verdicts = [case.verdict for case in cases]
    assert verdicts.count("picture") > 150 and verdicts.count("error") > 100


def test_the_seed_decides_every_byte():
    digest = lambda seed: [hashlib.sha256(data).digest() for _, data, *_ in hostile_files(seed)]
    first = digest(1)
    assert first == digest(1)
    assert first != digest(2)


def test_pillows_own_limits_stay_untouched(cases):
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    for case in cases[:50]: attempt(load_image, case.path)
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES) == before


def test_threads_read_the_same(cases):
    def digest(case):
        try: return hashlib.sha256(load_image(case.path)).digest()
        except ImageError as e: return str(e)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with ThreadPoolExecutor(8) as pool: together = list(pool.map(digest, cases))
        assert together == [digest(case) for case in cases]


def test_the_cap_is_ours_and_not_pillows(tmp_path):
    path = tmp_path/"wide.jpg"
    width, height = 19_000, 10_000  # 190 megapixels; Pillow refuses more than 179
    Image.new("L", (width, height)).save(path)
    assert image_size(path) == (height, width)
    assert "max_pixels=189,999,999" in str(attempt(load_image, path, 189_999_999))
    assert attempt(load_image, path, 190_000_000, (10, 10)).shape == (height//8, width//8, 3)
