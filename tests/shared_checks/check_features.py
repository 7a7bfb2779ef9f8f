"""Features of real photographs do not depend on batch size, order or threads; dense and patch mode agree on where and roughly on what."""
import os
from pathlib import Path

import numpy as np
import pytest

SHARED = Path(os.environ.get('BIRNN_IQA_SHARED', Path(__file__).parents[3]/'shared'))/'data'
IMAGES = SHARED/'live_itw_sample'/'Images'
pytestmark = pytest.mark.skipif(not IMAGES.is_dir(), reason=f'{IMAGES} is absent')


@pytest.fixture(scope='module')
def files():
    "Three JPEGs and a BMP of the sample, and its two pictures of odd size."
    from birnn_iqa.images import image_size
    found = sorted(p for p in IMAGES.iterdir() if p.is_file() and p.suffix.lower() in ('.jpg', '.bmp'))
    odd = [p for p in found if image_size(p) != (500, 500)]
    plain = [p for p in found if p not in odd]
    assert len(odd) == 2
    return {p.name: p for p in [*plain[:3], next(p for p in plain if p.suffix.lower() == '.bmp'), *odd]}


def test_batch_size_order_and_threads(files, tmp_path):
    from birnn_iqa.features import FeatureExtractor
    one = FeatureExtractor(batch_size=32).extract(files, tmp_path/'one', progress=False)
    other = FeatureExtractor(batch_size=5, threads=1).extract(dict(reversed(files.items())), tmp_path/'other', progress=False, decoders=3)
    assert set(one.ids) == set(other.ids) == set(files)
    for id in files:
        a, b = one[id].astype(np.float32), other[id].astype(np.float32)
        assert np.array_equal(one.boxes(id), other.boxes(id))
        assert (np.abs(a - b) <= 2**-10*np.abs(a) + 1e-4).all()   # a step of half precision


def test_dense_windows_are_the_patches(files):
    """The first stage sees 19 pixels around a place, so borders hardly matter: there each window must match its own patch best.

    Deeper stages see beyond a patch, and differ: the cosine over all 4,096 features was 0.80 to 0.98 on these pictures.
    """
    from birnn_iqa.features import FeatureExtractor
    patchwise, densely = FeatureExtractor(), FeatureExtractor(mode='dense')
    first = np.r_[:24, 2048:2048 + 24]
    for id in [*files][-2:]:   # the odd sizes, which are no multiples of a cell or of a patch
        features, boxes = patchwise.features(files[id])
        dense, same = densely.features(files[id])
        assert np.array_equal(boxes, same) and dense.shape == features.shape
        cosine = (features*dense).sum(1)/np.linalg.norm(features, axis=1)/np.linalg.norm(dense, axis=1)
        assert cosine.min() > 0.7, (id, cosine)
        distance = np.linalg.norm(features[:, None, first] - dense[None, :, first], axis=-1)
        assert (distance.argmin(1) == np.arange(len(boxes))).mean() > 0.9, (id, distance.argmin(1))
        assert np.median(np.diag(distance)/np.linalg.norm(features[:, first], axis=1)) < 0.1
