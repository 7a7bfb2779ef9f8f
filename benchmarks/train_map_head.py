"""Train the map's head: features of a window of 96x96 pixels to what was lost in it, -1 (hardest level) to 0 (nothing).

    python benchmarks/train_map_head.py PHOTOGRAPHS [PHOTOGRAPHS ...] --out map_head.keras [--pictures 1000] [--channels 256] [--without KIND ...]

Pristine photographs become four pictures each: as it is, wholly distorted, and twice a patchwork of up to nine parts, each left
alone or distorted in a kind and level of its own. The features of 40 windows a picture, dense mode of the default backbone, and
the mean level in each window over 5 are what a small network is trained on. No opinion score takes part. Every tenth photograph
is kept out for validation; --without keeps kinds of distortion out of training and reports on them apart. --channels 256 reads the
statistics of the stages up to block 10 alone: those `tune_backbone.py` leaves as ImageNet made them, so that the map's head serves
scorers on either backbone.
"""
import argparse
import json
import sys
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from birnn_iqa.backbones import cell_model
from birnn_iqa.distortions import DISTORTIONS, distort
from birnn_iqa.engines import compile_model
from birnn_iqa.features import look_ahead, mirror_to_cells
from birnn_iqa.images import load_image
from birnn_iqa.patches import patch_grid
from birnn_iqa.scoring import MAP_OVERLAPPING, MAP_SIZE, cell_shares, list_files, look_at, pool_windows

WINDOWS, MARGIN = 40, 16


def cuts(length, rng):
    "Two cuts of a side, 16 pixels apart or more, and its ends."
    return np.r_[0, np.sort(rng.choice(np.arange(96, length - 64, 16), 2, replace=False)), length]


def spoil(photo, version, seed, kinds):
    "(picture, level of each pixel, kind of each pixel or -1) of one of the four versions."
    rng, image = np.random.default_rng(seed), photo.copy()
    levels, which = np.zeros(photo.shape[:2], np.float32), np.full(photo.shape[:2], -1, np.int8)
    if version == 0: return image, levels, which
    ys, xs = (cuts(n, rng) for n in photo.shape[:2]) if version > 1 else ([0, photo.shape[0]], [0, photo.shape[1]])
    for y0, y1 in zip(ys, ys[1:]):
        for x0, x1 in zip(xs, xs[1:]):
            if version > 1 and rng.random() < .45: continue
            kind, level = int(rng.integers(len(kinds))), int(rng.integers(1, 6))
            top, left = max(0, y0 - MARGIN), max(0, x0 - MARGIN)
            part = distort(photo[top:y1 + MARGIN, left:x1 + MARGIN], kinds[kind], level, seed=seed)
            image[y0:y1, x0:x1] = part[y0 - top:y1 - top, x0 - left:x1 - left]
            levels[y0:y1, x0:x1], which[y0:y1, x0:x1] = level, kind
    return image, levels, which


def windows(files, pictures):
    "Features float16 (n, d), targets (n,), kind that fills most of each window (n,), number of its photograph (n,)."
    network, kinds = compile_model(cell_model('efficientnet_lite0'), input_dtype='uint8'), list(DISTORTIONS)
    found = []
    def make(i): return i, *spoil(load_image(files[i//4]), i % 4, i, kinds)
    for _, future in tqdm(look_ahead(make, range(min(pictures, 4*len(files)))), total=min(pictures, 4*len(files)), disable=None):
        i, image, levels, which = future.result()
        look = look_at(image)
        means, variances = (c[0] for c in network(mirror_to_cells(look.image)[None]))
        boxes = patch_grid(*look.image.shape[:2], MAP_SIZE, MAP_OVERLAPPING)
        boxes = boxes[np.random.default_rng(i).permutation(len(boxes))[:WINDOWS]]
        features = pool_windows(means, variances, cell_shares(boxes, *means.shape[:2])).astype(np.float16)
        for row, (y0, x0, y1, x1) in zip(features, look.in_picture(boxes)):
            most = np.bincount(which[y0:y1, x0:x1].ravel().astype(int) + 1).argmax() - 1
            found.append((row, -levels[y0:y1, x0:x1].mean()/5, most, i//4))
    return [np.array(column) for column in zip(*found)]


def fit(x, y, units, epochs, channels=None, seed=0):
    "A head for rows of features (n, d) that reads the mean and deviation of the first `channels`, or of all."
    mean, std = x[::7].astype(np.float32).mean(0), x[::7].astype(np.float32).std(0) + 1e-2
    read = (np.arange(x.shape[1]) % (x.shape[1]//2) < (channels or x.shape[1])).astype(np.float32)
    keras.utils.set_random_seed(seed)
    rows = keras.Input(x.shape[1:], name='features')
    h = keras.layers.Dropout(.2)(keras.ops.clip(keras.layers.Rescaling(read/std, -read*mean/std)(rows), -5, 5))
    h = keras.layers.Dropout(.3)(keras.layers.Dense(units, 'relu')(h))
    model = keras.Model(rows, keras.layers.Dense(1)(h), name='map_head')
    steps = -(-len(x)//256)
    rate = keras.optimizers.schedules.CosineDecay(1e-4, steps*epochs, .02, warmup_target=1e-3, warmup_steps=steps)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=3e-2, clipnorm=1.), 'mse')
    model.fit(Rows(x, y), epochs=epochs, verbose=0, shuffle=False)
    first = next(layer for layer in model.layers if isinstance(layer, keras.layers.Dense))
    first.set_weights([first.get_weights()[0]*read[:, None], first.get_weights()[1]])   # what is never read packs to nothing
    return model


class Rows(keras.utils.PyDataset):
    "Batches in an order drawn anew each epoch; half precision until a batch is drawn."
    def __init__(self, x, y, batch=256):
        super().__init__()
        self.x, self.y, self.batch, self.rng = x, y, batch, np.random.default_rng(0)
        self.on_epoch_end()

    def __len__(self): return -(-len(self.x)//self.batch)

    def __getitem__(self, i):
        rows = self.order[i*self.batch:(i + 1)*self.batch]
        return self.x[rows].astype(np.float32), self.y[rows].astype(np.float32)

    def on_epoch_end(self): self.order = self.rng.permutation(len(self.x))


def agreement(model, x, y):
    "Correlation and root mean square error on held-out windows."
    p = np.concatenate([model.predict_on_batch(part.astype(np.float32))[:, 0] for part in np.array_split(x, -(-len(x)//1024))])
    return dict(windows=len(y), plcc=round(float(np.corrcoef(p, y)[0, 1]), 4), rmse=round(float(np.sqrt(np.mean((p - y)**2))), 4))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('folders', nargs='+', help='folders of pristine photographs')
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--pictures', type=int, default=1000)
    parser.add_argument('--units', type=int, default=64)
    parser.add_argument('--epochs', type=int, default=8)
    parser.add_argument('--channels', type=int, help='channels whose statistics are read, the earliest stages first (default: all)')
    parser.add_argument('--without', nargs='*', default=[], choices=list(DISTORTIONS), help='kinds to keep out of training')
    parser.add_argument('--keep', type=Path, help='.npz where the features are kept between calls')
    args = parser.parse_args()
    files = [f for folder in args.folders for f in list_files(folder, recursive=True)]
    files = [files[i] for i in np.random.default_rng(0).permutation(len(files))]
    if args.keep and args.keep.exists(): x, y, kind, photo = (np.load(args.keep)[k] for k in 'xykp')
    else:
        x, y, kind, photo = windows(files, args.pictures)
        if args.keep: np.savez(args.keep, x=x, y=y, k=kind, p=photo)
    unseen, held_out = np.isin(kind, [list(DISTORTIONS).index(k) for k in args.without]), photo % 10 == 9
    model = fit(x[~unseen & ~held_out], y[~unseen & ~held_out], args.units, args.epochs, args.channels)
    model.save(args.out)
    result = dict(photographs=int(photo.max()) + 1, held_out=agreement(model, x[~unseen & held_out], y[~unseen & held_out]))
    if unseen.any(): result['unseen_kinds'] = dict(kinds=args.without, **agreement(model, x[unseen & held_out], y[unseen & held_out]))
    args.out.with_suffix('.json').write_text(json.dumps(result, indent=1) + '\n')
    print(json.dumps(result, indent=1))


if __name__ == '__main__': main()
