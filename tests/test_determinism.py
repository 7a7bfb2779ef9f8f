"""The same seed gives the same splits, features and scores; threads, batches, order and company change no score by 0.01 of 100."""
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from birnn_iqa.datasets import kfold_splits, official_split, random_splits
from birnn_iqa.images import example_image, example_names, resize_image
from birnn_iqa.scoring import Scorer

TOLERANCE = .01   # points of 100


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    "Photographs of several sizes and shapes, as files."
    folder, sizes = tmp_path_factory.mktemp('pictures'), [(240, 320), (300, 300), (64, 64), (480, 200), (224, 900)]
    for i, name in enumerate(example_names()[:8]): Image.fromarray(resize_image(example_image(name), *sizes[i % len(sizes)])).save(folder/f'{i}-{name}.png')
    return sorted(folder.iterdir())


def scores(pictures, maps=False, threads=1, **how): return np.array([r.score for r in Scorer(threads=threads).stream(pictures, maps=maps, **how)])


def test_scores_do_not_depend_on_threads_batches_order_or_company(pictures, record):
    scorer = Scorer(threads=1)
    alone = np.array([scorer(path, maps=False).score for path in pictures])
    assert alone.std() > 1   # they do differ from picture to picture
    backwards = scores(pictures[::-1])[::-1]
    ways = dict(again=scores(pictures), threads=scores(pictures, threads=2), all_threads=scores(pictures, threads=None), batches=scores(pictures, batch=3), decoders=scores(pictures, decoders=4),
                order=backwards, maps=scores(pictures, maps=True), twice=scores([p for p in pictures for _ in (0, 1)])[::2])
    differences = {name: float(np.abs(way - alone).max()) for name, way in ways.items()}
    record(points={name: round(value, 6) for name, value in differences.items()})
    assert max(differences.values()) < TOLERANCE, differences


def test_the_same_scorer_twice_gives_the_same_bytes(pictures):
    first, second = ([(r.score, r.std, r.attention.tobytes(), r.map_quality.tobytes()) for r in Scorer(threads=1).stream(pictures)] for _ in (0, 1))
    assert first == second


def test_a_picture_as_file_bytes_array_or_pillow(pictures):
    scorer = Scorer(threads=1)
    for path in pictures[:3]:
        with Image.open(path) as im: pillow = im.copy()
        ways = [scorer(source, maps=False).score for source in (path, str(path), path.read_bytes(), open(path, 'rb'), pillow, np.asarray(pillow))]
        assert len(set(ways)) == 1


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(dict(image_id=[f'{i}.png' for i in range(90)], mos=rng.uniform(0, 100, 90), group=[f'g{i//3}' for i in range(90)],
                              split=['train' if i < 60 else 'test' for i in range(90)]))
    table.attrs.update(name='own', scale=(0, 100))
    return table


def test_the_same_seed_gives_the_same_splits(table):
    def parts(splits): return [(s.name, *(part.tolist() for part in s[1:])) for s in splits]
    for make in (lambda seed: random_splits(table, 5, seed=seed), lambda seed: kfold_splits(table, 4, seed=seed), lambda seed: [official_split(table, seed=seed)]):
        assert parts(make(1)) == parts(make(1)) != parts(make(2))


def test_splits_depend_on_the_pictures_and_not_on_what_was_drawn_before(table):
    np.random.seed(0); first = random_splits(table, 2, seed=3)
    np.random.seed(9); np.random.rand(5); second = random_splits(table, 2, seed=3)
    assert all(np.array_equal(a, b) for x, y in zip(first, second) for a, b in zip(x[1:], y[1:]))


def test_distortions_repeat():
    from birnn_iqa.distortions import DISTORTIONS, distort
    image = example_image('chelsea')[:64, :64]
    for kind in DISTORTIONS: assert np.array_equal(distort(image, kind, 3, seed=5), distort(image, kind, 3, seed=5)), kind
