"""Train the later half of the backbone too, with the heads that `train_shipped_model.py train` left.

    python benchmarks/tune_backbone.py --biq2021 FOLDER --groups GROUPS.csv --work WORK [--heads 3] [--epochs 4]

Blocks 11 to 15 and the last convolution of EfficientNet-Lite0 hold 2.7 of its 3.4 million parameters and a third of its
multiply-adds. What comes before them stays as ImageNet made it, so the map after block 10 is computed once for every picture
(WORK/maps, 230 kB each in half precision), and once for its mirror image, which takes its place half of the time. So a pass over
the pictures costs minutes on two cores, not half an hour. Batch normalisation is folded into its convolutions, whose kernels and
biases are trained; folded layers are written back exactly.

Pictures, ladders, validation part and losses are those of `train_shipped_model.py`: 32 rated pictures and two ladders a step, each
head with its own loss on the common features, AdamW with a cosine of 1e-4 for the backbone and 3e-4 for the heads, and the moving
average of the weights is kept. After each epoch WORK/tuned holds what `pack --work WORK/tuned` wants; the validation figures go to
benchmarks/results/tuning.json.
"""
import argparse
import json
import shutil
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from tqdm.auto import tqdm

import birnn_iqa.head  # noqa: F401, registers the attention layer
from birnn_iqa.backbones import Base_Model, _pixels
from birnn_iqa.distortions import DISTORTIONS, distort
from birnn_iqa.engines import compile_model
from birnn_iqa.features import FeatureExtractor, FeatureStore, look_ahead
from birnn_iqa.images import load_image
from birnn_iqa.metrics import evaluate, srocc

from train_shipped_model import EXTRACTION, HELD_LADDERS, LADDER_PICTURES, MARGIN, RESULTS, STEPS, good_pictures, tables, turned

SIDE, FIRST, BASE = 512, 11, 'efficientnet_lite0'
BLOCKS = {11: (5, 2, 192), 12: (5, 1, 192), 13: (5, 1, 192), 14: (5, 1, 192), 15: (3, 1, 320)}   # kernel, stride, filters
EARLY, LATE = 256, 1792   # channels of the stages before and after the cut
RATED, LADDERS, RATE, HEAD_RATE, DECAY, HEAD_DECAY = 32, 2, 1e-4, 3e-4, 1e-2, 2e-2


# The maps after block 10, once

def early_maps(pictures, path, count):
    "Maps float16 (count, 32, 32, 112) of pictures (512, 512, 3) after block 10; computed once."
    if path.exists(): return np.load(path, mmap_mode='r')
    base = Base_Model(BASE, input_shape=(SIDE, SIDE, 3))
    pixels = keras.Input((SIDE, SIDE, 3), dtype='float32')
    network = compile_model(keras.Model(pixels, keras.Model(base.input, base.get_layer(f'block{FIRST - 1}_add').output)(_pixels(pixels, BASE))), input_dtype='uint8')
    out = np.lib.format.open_memmap(path.with_suffix('.new'), 'w+', np.float16, (count, SIDE//16, SIDE//16, 112))
    for i, one in enumerate(network.map(tqdm((p[None] for p in pictures), total=count, desc=path.stem, unit='picture'))): out[i] = one[0]
    out.flush()
    path.with_suffix('.new').replace(path)
    return np.load(path, mmap_mode='r')


def ahead(function, items):
    "Results of `function`, computed ahead by two threads."
    for _, future in look_ahead(function, items): yield future.result()


# The later half

def folded(model, name):
    "Kernel and bias of a convolution with its batch normalisation in it."
    kernel, (gamma, beta, mean, variance) = model.get_layer(f'{name}_conv').get_weights()[0], model.get_layer(f'{name}_bn').get_weights()
    scale = gamma/np.sqrt(variance + model.get_layer(f'{name}_bn').epsilon)
    return [kernel*(scale[:, None] if 'depthwise' in name else scale), beta - mean*scale]


def unfolded(model, name, kernel, bias):
    "Write a trained convolution back: its normalisation then only adds the bias."
    model.get_layer(f'{name}_conv').set_weights([kernel])
    bn = model.get_layer(f'{name}_bn')
    bn.set_weights([np.ones_like(bias), bias, np.zeros_like(bias), np.full_like(bias, 1 - bn.epsilon)])


def later_half(base):
    "(map after block 10 to means and deviations (b, 16, 1792) of windows, the convolutions by name)."
    convolutions, taps = {}, []
    def conv(x, name, filters, kernel=1, stride=1):
        settings = dict(strides=stride, padding='same', name=name)
        convolutions[name] = layers.DepthwiseConv2D(kernel, **settings) if filters is None else layers.Conv2D(filters, kernel, **settings)
        return convolutions[name](x)
    x = maps = keras.Input((SIDE//16, SIDE//16, 112))
    for n, (kernel, stride, filters) in BLOCKS.items():
        y = ops.relu6(conv(x, f'block{n}_expand', 6*x.shape[-1]))
        y = ops.relu6(conv(y, f'block{n}_depthwise', None, kernel, stride))
        y = conv(y, f'block{n}_project', filters)
        x = x + y if stride == 1 and filters == x.shape[-1] else y
        if n in (14, 15): taps.append(x)
    cells = ops.concatenate([*taps, ops.relu6(conv(x, 'head', 1280))], -1)
    for name, layer in convolutions.items(): layer.set_weights(folded(base, name))
    mean, square = ops.average_pool(cells, 7, 3), ops.average_pool(cells*cells, 7, 3)   # windows of 7x7 cells, three apart
    def in_order(a): return ops.reshape(ops.transpose(a, (0, 2, 1, 3)), (-1, 16, LATE))   # down the columns
    return keras.Model(maps, [in_order(mean), in_order(ops.sqrt(ops.relu(square - mean*mean) + 1e-6))]), convolutions


class Tuner:
    "The later half with its heads, and one step of training."
    def __init__(self, base, heads, steps, centre, spread):
        self.later, self.convolutions = later_half(base)
        self.heads, self.centre, self.spread = heads, centre, spread
        self.body, self.tops = self.later.trainable_variables, [v for h in heads for v in h.trainable_variables]
        self.average, self.count = [v.numpy() for v in self.body + self.tops], 0
        def optimiser(rate, decay):
            rate = keras.optimizers.schedules.CosineDecay(rate/20, steps[0], .02, warmup_target=rate, warmup_steps=steps[1])
            return keras.optimizers.AdamW(rate, weight_decay=decay, global_clipnorm=1.)
        self.optimisers = optimiser(RATE, DECAY), optimiser(HEAD_RATE, HEAD_DECAY)
        for o, variables in zip(self.optimisers, (self.body, self.tops)): o.build(variables)
        self._step, self._infer = tf.function(self._step), tf.function(self._infer)

    def features(self, maps, early, places=None):
        means, deviations = self.later(ops.cast(maps, 'float32'))
        if places is not None: means, deviations = tf.gather(means, places, batch_dims=1), tf.gather(deviations, places, batch_dims=1)
        early = ops.cast(early, 'float32')
        return ops.concatenate([early[..., :EARLY], means, early[..., EARLY:], deviations], -1)

    def _step(self, maps, early, mos, places, order):
        with tf.GradientTape() as tape:
            features, loss = tf.gather(self.features(maps, early, places), order, axis=1), 0.
            for head in self.heads:
                s = (head(features, training=True)[:, 0] - self.centre)/self.spread
                ladder = tf.reshape(s[RATED:], (LADDERS, STEPS))
                loss += tf.reduce_mean((s[:RATED] - mos)**2) + tf.reduce_mean(tf.nn.relu(MARGIN - (ladder[:, :-1] - ladder[:, 1:])))
        gradients = tape.gradient(loss, self.body + self.tops)
        for o, g, v in zip(self.optimisers, (gradients[:len(self.body)], gradients[len(self.body):]), (self.body, self.tops)): o.apply(g, v)
        return loss/len(self.heads)

    def step(self, maps, early, mos, mirrored, order):
        "A step on rated pictures, then ladders; windows of mirrored maps are put back where the early features are."
        places = np.tile(np.arange(16, dtype=np.int32), (len(maps), 1))
        if mirrored: places[:RATED] = np.arange(16).reshape(4, 4)[::-1].ravel()
        loss, self.count = float(self._step(maps, early, (mos - self.centre)/self.spread, places, order)), self.count + 1
        if self.count % 4 == 0:
            share = min(.98, (1 + self.count)/(10 + self.count))
            for average, v in zip(self.average, self.body + self.tops):
                average *= share
                average += (1 - share)*v.numpy()
        return loss

    def _infer(self, maps, early): return tf.stack([head(self.features(maps, early), training=False)[:, 0] for head in self.heads])

    def predict(self, maps, early, rows): return np.concatenate([self._infer(maps[r], early[r]).numpy() for r in np.array_split(rows, -(-len(rows)//40))], 1)

    def swap(self):
        "Exchange the weights with their moving average."
        for i, v in enumerate(self.body + self.tops):
            now = v.numpy()
            v.assign(self.average[i])
            self.average[i] = now


def save(tuner, base, folder, notes):
    "Backbone, heads and their validation predictions, as `pack` reads them; replaced whole."
    new = folder.with_name(folder.name + '.new')
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    for name, layer in tuner.convolutions.items(): unfolded(base, name, *layer.get_weights())
    base.save(new/'backbone.keras')
    for i, (head, prediction) in enumerate(zip(tuner.heads, notes.pop('predictions')), 1):
        head.save(new/f'head_{i}.keras')
        np.savez(new/f'head_{i}.npz', prediction=prediction, **notes)
    (new/'key.json').write_text(json.dumps(FeatureExtractor(base, **{k: v for k, v in EXTRACTION.items() if k != 'base'}).key))
    shutil.rmtree(folder, ignore_errors=True)
    new.replace(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--biq2021', type=Path, required=True, help='root of BIQ2021')
    parser.add_argument('--groups', type=Path, required=True, help="CSV of BIQ2021's near-duplicate groups")
    parser.add_argument('--work', type=Path, required=True, help='working folder of train_shipped_model.py')
    parser.add_argument('--heads', type=int, default=3)
    parser.add_argument('--epochs', type=int, default=4)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', type=Path, default=RESULTS/'tuning.json', help='validation figures of each epoch')
    args = parser.parse_args()
    table, split = tables(args)
    (args.work/'maps').mkdir(exist_ok=True)
    known = np.r_[split.train, split.val]
    store = FeatureStore(args.work/'features')
    known = known[[(store.boxes(i)[:, 2:].max(0) == SIDE).all() for i in table.image_id.iloc[known]]]   # all but eight of BIQ2021 have 512x512 pixels
    order = {row: at for at, row in enumerate(known)}
    train, val = (np.array([order[r] for r in part if r in order]) for part in (split.train, split.val))
    mos = table.mos.to_numpy(np.float32)[known]
    columns = np.r_[0:EARLY, EARLY + LATE:2*EARLY + LATE]
    early = np.stack([store[i][:, columns] for i in table.image_id.iloc[known]])
    maps = early_maps(ahead(load_image, table.path.iloc[known].tolist()), args.work/'maps'/'rated.npy', len(known))
    mirrored = early_maps(ahead(lambda path: np.ascontiguousarray(load_image(path)[:, ::-1]), table.path.iloc[known].tolist()), args.work/'maps'/'mirrored.npy', len(known))
    good = good_pictures(table.iloc[split.train])
    kinds, paths = list(DISTORTIONS), table.path.iloc[split.train].iloc[good].tolist()
    rungs = [(path, kinds[i % len(kinds)], level, i) for i, path in enumerate(paths) for level in range(STEPS)]
    ladder_maps = early_maps(ahead(lambda r: distort(load_image(r[0]), *r[1:]), rungs), args.work/'maps'/'ladders.npy', len(rungs)).reshape(LADDER_PICTURES, STEPS, SIDE//16, SIDE//16, 112)
    ladder_early = np.load(args.work/'ladders.npy', mmap_mode='r')[..., columns]
    heads = [keras.saving.load_model(args.work/f'head_{i}.keras', compile=False) for i in range(1, args.heads + 1)]
    steps = len(train)//RATED
    base = Base_Model(BASE)
    tuner = Tuner(base, heads, (steps*args.epochs - steps//4, steps//4), float(mos[train].mean()), float(mos[train].std()))
    rng, start = np.random.default_rng(args.seed), time.time()
    found = []
    def judge(epoch):
        "Validation figures, kept and printed; predictions of each head."
        predictions = tuner.predict(maps, early, val)
        held = np.stack([tuner._infer(ladder_maps[i], ladder_early[i]).numpy().mean(0) for i in range(HELD_LADDERS)])
        whole = evaluate(predictions.mean(0), mos[val])
        found.append({k: round(float(v), 4) for k, v in dict(epoch=epoch, srocc=whole['srocc'], plcc=whole['plcc'], srocc_of_one_head=np.mean([srocc(p, mos[val]) for p in predictions]),
                                                             wrong_way_steps=(np.diff(held) > 0).mean(), seconds=time.time() - start).items()})
        args.out.write_text(json.dumps(dict(pictures=len(train), validation=len(val), heads=args.heads, epochs=found), indent=1) + '\n')
        print(found[-1], flush=True)
        return predictions
    judge(0)
    for epoch in range(args.epochs):
        rows = rng.permutation(train)
        for at in tqdm(range(0, steps*RATED, RATED), desc=f'epoch {epoch + 1}', unit='step', mininterval=10):
            some, which = np.sort(rows[at:at + RATED]), rng.choice(np.arange(HELD_LADDERS, LADDER_PICTURES), LADDERS, replace=False)
            mirror = rng.random() < .5
            tuner.step(np.concatenate([(mirrored if mirror else maps)[some], *ladder_maps[which]]), np.concatenate([early[some], *ladder_early[which]]), mos[some],
                       mirror, turned(4, rng).astype(np.int32))
        tuner.swap()
        predictions = judge(epoch + 1)
        save(tuner, base, args.work/'tuned', dict(predictions=predictions, mos=mos[val], image_id=table.image_id.iloc[known[val]].to_numpy(str), pictures=len(train),
                                                  epochs=epoch + 1, ladders=LADDER_PICTURES - HELD_LADDERS, wrong_way=found[-1]['wrong_way_steps'], live=0))
        tuner.swap()


if __name__ == '__main__': main()
