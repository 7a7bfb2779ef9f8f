"""Train the model that ships with the package, from the databases, and report on it once.

    python benchmarks/train_shipped_model.py train --biq2021 FOLDER --groups GROUPS.csv --work WORK --heads 3
    python benchmarks/tune_backbone.py --biq2021 FOLDER --groups GROUPS.csv --work WORK
    python benchmarks/train_map_head.py PHOTOGRAPHS... --channels 256 --out WORK/map_head.keras
    python benchmarks/train_shipped_model.py pack --work WORK/tuned --map-head WORK/map_head.keras [--out FOLDER]
    python benchmarks/train_shipped_model.py report --biq2021 FOLDER --groups GROUPS.csv --live-itw FOLDER [--model FOLDER] [--name NAME]

`train` extracts dense features of BIQ2021's official training part into WORK/features (continued where it was interrupted), keeps a
tenth of its content groups for validation and fits heads that differ in their seed alone. A batch holds rated pictures, whose squared
error counts; ladders, training pictures distorted in five rising levels, whose score shall fall from step to step; and, with
--live-itw, pictures of LIVE In the Wild, of which only the correlation counts, since that database has a scale of its own. The grid of
windows is mirrored and transposed at random, and features are dropped from all windows of a picture together. The kept weights are the
moving average of all steps. A head that is there already is not trained again. `tune_backbone.py` then trains the later half of the
backbone together with the heads. `pack` takes all heads of a folder, and its backbone where it was tuned, calibrates the uncertainty on
the validation pictures and writes the scorer with its model card. `report` scores the official test part and LIVE In the Wild (leave it
out where it was trained on) and writes per-picture predictions and correlations.
"""
import argparse
import csv
import json
import math
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from tqdm.auto import tqdm

from birnn_iqa.datasets import biq2021, live_itw, official_split, random_splits
from birnn_iqa.distortions import DISTORTIONS, distort
from birnn_iqa.features import FeatureExtractor
from birnn_iqa.images import load_image
from birnn_iqa.metrics import bootstrap_ci, evaluate, srocc
from birnn_iqa.scoring import SHIPPED, Scorer, save_scorer

RESULTS = Path(__file__).parent/'results'
EXTRACTION = dict(base='efficientnet_lite0', features='multilevel', mode='dense', size=224, overlapping=4/7, small='resize')   # windows every three cells
NETWORK = dict(dropOutRate=.25, lstm_layers=1, lstm_units=64, hidden_units=64, num_layers=1, projection=96, masking=False)
RATED, LIVE, LADDERS, STEPS = 128, 16, 8, 6                                    # of a batch: rated pictures, those of LIVE In the Wild, ladders of six levels
RATE, DECAY, FEATURE_DROPOUT, AVERAGE, MARGIN, LADDER_WEIGHT, LIVE_WEIGHT = 1.5e-3, 2e-2, .2, .99, .1, 1., .4
LADDER_PICTURES, HELD_LADDERS = 480, 48


def named(table, database):
    "The table on 0-100 and with the database before each image_id, so that databases share a store."
    low, high = table.attrs['scale']
    return table.assign(image_id=[f'{database}/{i}' for i in table.image_id], mos=100*(table.mos - low)/(high - low))


def tables(args):
    "BIQ2021's table and its official split, as published, with group-disjoint validation."
    table = named(biq2021(args.biq2021, groups=args.groups), 'biq2021')
    return table, official_split(table, val=.1, seed=0, leaks='keep')


def turned(side, rng):
    "Positions of a square grid of windows, mirrored in either direction and transposed at random."
    grid = np.arange(side*side).reshape(side, side)
    if rng.random() < .5: grid = grid[::-1]
    if rng.random() < .5: grid = grid[:, ::-1]
    return (grid.T if rng.random() < .5 else grid).ravel()


def draw(array, rows, rng):
    "Rows of features (n, p, d), each batch's grid turned alike."
    return array[rows][:, turned(math.isqrt(array.shape[1]), rng)].astype(np.float32)


def batches(rated, live, ladders, seed, epochs):
    "(features, targets) of all steps: rated pictures first, then LIVE In the Wild's, then ladders; an epoch is one pass over the rated ones."
    rng, side = np.random.default_rng(seed), math.isqrt(rated[0].shape[1])
    for _ in range(epochs):
        order = rng.permutation(len(rated[0]))
        for at in range(0, len(order) - RATED + 1, RATED):
            parts = [draw(rated[0], np.sort(order[at:at + RATED]), rng)]
            targets = [rated[1][np.sort(order[at:at + RATED])]]
            if live is not None:
                rows = rng.choice(len(live[0]), LIVE, replace=False)
                parts.append(draw(live[0], rows, rng)); targets.append(live[1][rows])
            rows = rng.choice(len(ladders), LADDERS, replace=False)
            parts.append(draw(ladders.reshape(-1, *ladders.shape[2:]), (rows[:, None]*STEPS + np.arange(STEPS)).ravel(), rng))
            targets.append(np.zeros(LADDERS*STEPS))
            yield np.concatenate(parts), np.concatenate(targets).astype(np.float32)[:, None]


def loss(live):
    "Squared error of the rated, half of 1 less the correlation of LIVE In the Wild's, and what each ladder's steps fall short of MARGIN."
    from keras import ops
    from birnn_iqa.training import plcc_loss
    def value(y, s):
        y, s = y[:, 0], s[:, 0]
        total = ops.mean(ops.square(y[:RATED] - s[:RATED]))
        if live: total = total + LIVE_WEIGHT*plcc_loss(y[RATED:RATED + LIVE], s[RATED:RATED + LIVE])
        ladder = ops.reshape(s[-LADDERS*STEPS:], (LADDERS, STEPS))
        return total + LADDER_WEIGHT*ops.mean(ops.relu(MARGIN - (ladder[:, :-1] - ladder[:, 1:])))
    return value


def head(shape, mean, std, seed, unroll):
    "Features (p, d) to a standardised score; the recurrence is written out step by step where p is fixed, which trains faster."
    import keras
    from birnn_iqa.head import rnn_model
    features = keras.Input(shape, name='features')
    x = keras.layers.Normalization(mean=mean, variance=np.square(std), name='normalisation')(features)
    x = keras.layers.SpatialDropout1D(FEATURE_DROPOUT, seed=seed, name='feature_dropout')(x)
    return keras.Model(features, rnn_model(x, seed=seed, unroll=unroll, **NETWORK).output)


def fit(rated, live, ladders, seed, epochs):
    "A head on features float16 (n, p, d), p a square; its output is the score on 0-100."
    import keras
    from birnn_iqa.training import feature_statistics
    (features, mos), steps = rated, len(rated[0])//RATED
    _, mean, std = feature_statistics(features)
    centre, spread = float(mos.mean()), float(mos.std())
    model = head(features.shape[1:], mean, std + .01, seed, True)
    rate = keras.optimizers.schedules.CosineDecay(RATE/10, steps*(epochs - 1), .02, warmup_target=RATE, warmup_steps=steps)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=DECAY, global_clipnorm=1., use_ema=True, ema_momentum=AVERAGE), loss(live is not None))
    for x, y in batches((features, (mos - centre)/spread), live, ladders, seed, epochs): model.train_on_batch(x, y)
    model.optimizer.finalize_variable_values(model.trainable_variables)
    kept = head((None, features.shape[2]), mean, std + .01, seed, False)
    kept.set_weights(model.get_weights())
    return keras.Model(kept.input, keras.layers.Rescaling(spread, centre, name='mos')(kept.output), name=f'head_{seed}')


def predict(model, features): return np.concatenate([model.predict_on_batch(x.astype(np.float32))[:, 0] for x in np.array_split(features, -(-len(features)//256))])


def good_pictures(table, seed=0):
    "Positions of the pictures that ladders begin with, from the better three fifths."
    return np.random.default_rng(seed).permutation(np.flatnonzero(table.mos >= table.mos.quantile(.4)))[:LADDER_PICTURES]


def ladder_features(table, extractor, path, seed=0):
    "Features float16 (ladders, steps, p, d) of good training pictures, each under one distortion at levels 0 to 5; computed once."
    if path.exists(): return np.load(path)
    good = good_pictures(table, seed)
    kinds, out = list(DISTORTIONS), []
    for i, row in enumerate(tqdm(good, desc='ladders', unit='picture')):
        picture = load_image(table.path.iloc[row])
        out.append([extractor.features(distort(picture, kinds[i % len(kinds)], level, seed=i))[0].astype(np.float16) for level in range(STEPS)])
    with open(path.with_suffix('.new'), 'wb') as file: np.save(file, np.array(out))
    path.with_suffix('.new').replace(path)
    return np.load(path)


def train(args):
    "Heads and their validation predictions into the working folder."
    table, split = tables(args)
    args.work.mkdir(parents=True, exist_ok=True)
    extractor = FeatureExtractor(**EXTRACTION)
    train_rows, val_rows = table.iloc[split.train], table.iloc[split.val]
    store = extractor.extract(table.iloc[np.r_[split.train, split.val]], args.work/'features', strict=True, wait=60.)
    x, v = store.batch(train_rows.image_id), store.batch(val_rows.image_id)
    ladders = ladder_features(train_rows, extractor, args.work/'ladders.npy')
    held, ladders = ladders[:HELD_LADDERS], ladders[HELD_LADDERS:]
    live, live_held = None, None
    if args.live_itw:
        rows = named(live_itw(args.live_itw), 'live_itw')
        store = extractor.extract(rows, args.work/'features', strict=True, wait=60.)
        rows = rows[[store[i].shape[0] == x.shape[1] for i in rows.image_id]]    # three pictures of other shapes are left out
        part = random_splits(rows, 1, .1, 0, seed=0)[0]
        live, live_held = ((store.batch(rows.image_id.iloc[r]), rows.mos.to_numpy()[r]) for r in (part.train, part.test))
    (args.work/'key.json').write_text(json.dumps(store.key))
    for seed in range(1, args.heads + 1):
        path = args.work/f"head_{'live_' if args.live_itw else ''}{seed}.keras"
        if path.exists(): continue
        model = fit((x, train_rows.mos.to_numpy()), live, ladders, seed, args.epochs)
        p = predict(model, v)
        steps = np.diff(predict(model, held.reshape(-1, *held.shape[2:])).reshape(-1, STEPS))
        np.savez(path.with_suffix('.npz'), prediction=p, mos=val_rows.mos, image_id=val_rows.image_id.to_numpy(str), pictures=len(x), epochs=args.epochs,
                 ladders=len(ladders), wrong_way=(steps > 0).mean(), live=0 if live is None else len(live[0]))
        model.save(path)   # last: a head that is there is whole
        found = {'wrong-way steps': (steps > 0).mean(), **evaluate(p, val_rows.mos)}
        if live: found['LIVE held out'] = srocc(predict(model, live_held[0]), live_held[1])
        print(seed, {k: round(float(m), 4) for k, m in found.items()}, flush=True)


def calibrate(predictions, mos):
    "(a, b) of the error's standard deviation hypot(a, b*spread), by maximum likelihood of a normal error; predictions (m, n)."
    error, spread = predictions.mean(0) - mos, predictions.std(0)
    def loss(log): return float(np.mean(np.log(s := np.hypot(np.exp(log[0]), np.exp(log[1])*spread)) + .5*(error/s)**2))
    a, b = np.exp(minimize(loss, [np.log(error.std()), 0.], method='Nelder-Mead').x)
    return float(a), float(b) if spread.any() else 0.


def pack(args):
    "Heads to a scorer."
    import keras
    import birnn_iqa.head  # noqa: F401, registers the attention layer
    files, tuned = sorted(args.work.glob('head_*.keras')), args.work/'backbone.keras'
    if not files: raise SystemExit(f'{args.work}: no head_*.keras here; train first')
    notes = [np.load(f.with_suffix('.npz')) for f in files]
    predictions, mos = np.stack([n['prediction'] for n in notes]), notes[0]['mos'].astype(float)
    validation = evaluate(predictions.mean(0), mos)
    std = calibrate(predictions, mos)
    load = lambda path: keras.saving.load_model(path, compile=False)
    live, ladders = max(int(n['live']) for n in notes), int(notes[0]['ladders'])
    card = CARD.format(heads=len(files), pictures=int(notes[0]['pictures']), epochs=int(notes[0]['epochs']), ladders=ladders,
                       backbone=TUNED if tuned.exists() else 'frozen', heads_first=' (after 6 of the heads alone)' if tuned.exists() else '', live=f"\n- {sum(int(n['live']) > 0 for n in notes)} of the heads: {live:,} pictures of LIVE In the Wild too (Ghadiyaram and Bovik 2016), of which only the order and spacing counts;" if live else '', **{k: validation[k] for k in ('srocc', 'plcc', 'rmse', 'n')})
    save_scorer(args.out, [load(f) for f in files], json.loads((args.work/'key.json').read_text()), std=std, name='birnn-iqa-lite0', card=card, license=LICENSE,
                backbone=load(tuned) if tuned.exists() else None, map_head=load(args.map_head) if args.map_head else None,
                map_weights=[FeatureExtractor(**EXTRACTION).key['weights']] if args.map_head else [])
    print(args.out, validation, f'std=({std[0]:.2f}, {std[1]:.2f})', f'{sum(p.stat().st_size for p in args.out.iterdir())/2**20:.2f} MiB', sep='\n')


def report(args):
    "Correlations, coverage of the uncertainty and per-picture predictions on pictures that had no part in training."
    scorer, result = Scorer(args.model), {}
    table, split = tables(args)
    test = table.iloc[split.test]
    seen = test.group.isin(table.group.iloc[np.r_[split.train, split.val]]).to_numpy()   # the official split is not content-disjoint
    for name, rows in dict(biq2021_official_test=test, live_itw=named(live_itw(args.live_itw), 'live_itw') if args.live_itw else None).items():
        if rows is None: continue
        scored = list(scorer.stream(rows.path.tolist(), maps=False))
        score, std, mos = np.array([r.score for r in scored]), np.array([r.std for r in scored]), rows.mos.to_numpy(float)
        with open(RESULTS/f'{args.name}_{name}.csv', 'w', newline='', encoding='utf-8') as file:
            csv.writer(file, lineterminator='\n').writerows([('image_id', 'mos', 'prediction', 'std'), *((i, m, f'{p:.4f}', f'{s:.3f}') for i, m, p, s in zip(rows.image_id, mos, score, std))])
        result[name] = judged(score, std, mos)
        if name == 'biq2021_official_test': result[f'{name}, contents not trained on'] = judged(score[~seen], std[~seen], mos[~seen])
    text = json.dumps(dict(digest=scorer.digest, **result), indent=1)
    (RESULTS/f'{args.name}.json').write_text(text + '\n')
    print(text)


def judged(score, std, mos):
    "Correlations, SROCC's interval, bias, and the share of errors within one and two of the scorer's standard deviations."
    return {**{k: round(float(v), 4) for k, v in evaluate(score, mos).items()},
            'srocc_interval': [round(float(v), 4) for v in bootstrap_ci(srocc, score, mos, n_resamples=300)], 'bias': round(float((score - mos).mean()), 3),
            **{f'within_{k}_std': round(float((np.abs(score - mos) <= k*std).mean()), 4) for k in (1, 2)}}


LICENSE = ('The weights in this folder are released under the Apache License 2.0, as is the package; those of the backbone began as EfficientNet-Lite0 as its '
           'package publishes it under the same licence. The opinion scores that they were fitted to are those of BIQ2021, which is published for research and '
           'whose repository states no licence; no picture and no part of one is in this folder.')

CARD = """# birnn-iqa-lite0

Scores photographs from 0 to 100 (higher is better), without a reference.

## What it is
{heads} Bi-RNN heads with attention, their mean, on multi-level features of EfficientNet-Lite0 (ImageNet, {backbone}): means and
standard deviations of seven stages over windows of 224x224 pixels, one every 96 pixels, of a picture of at most 512x512 pixels of area.
Its uncertainty is hypot(a, b*spread of the heads), fitted on validation pictures.

## What it learnt from
- {pictures:,} pictures of BIQ2021's official training part (Ahmed and Asif 2022), whose scores set the scale;{live}
- {ladders} training pictures distorted by the package in five rising levels, on which the score has to fall from level to level.

{epochs} epochs over the rated pictures{heads_first}, grids of windows mirrored and transposed at random. A tenth of BIQ2021's content groups was kept for
validation: SROCC {srocc:.3f}, PLCC {plcc:.3f}, RMSE {rmse:.1f} points on {n:,} pictures. Results on pictures that had no part in training:
`benchmarks/results/shipped_model.json` in the repository; LIVE In the Wild among them, of which it saw nothing.

## Where it fails
- It judges a picture as shown at 512x512 pixels of area. What shows only at full size is not judged.
- It learnt from photographs of everyday scenes. Drawings, screenshots, scans, medical and astronomical pictures are strangers to it.
- Quality as the raters of BIQ2021 saw it mixes technical quality with what they liked. A dark or soft picture may be meant so.
- Its map tells where in a picture quality is lost, relative to the rest of that picture; two maps are not to be compared.

## How it is made again
`benchmarks/train_shipped_model.py`, `benchmarks/tune_backbone.py` and `benchmarks/train_map_head.py`.
"""

TUNED = 'blocks 11 to 15 and the last convolution trained on with the heads'


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', choices=['train', 'pack', 'report'])
    parser.add_argument('--work', type=Path, help='working folder: features, heads')
    parser.add_argument('--biq2021', type=Path, help='root of BIQ2021')
    parser.add_argument('--groups', type=Path, help="CSV of BIQ2021's near-duplicate groups")
    parser.add_argument('--live-itw', type=Path, help='root of LIVE In the Wild')
    parser.add_argument('--heads', type=int, default=4)
    parser.add_argument('--epochs', type=int, default=6)
    parser.add_argument('--map-head', type=Path)
    parser.add_argument('--out', type=Path, default=SHIPPED, help='folder of the scorer (default: in the package)')
    parser.add_argument('--model', type=Path, default=SHIPPED, help='folder of the scorer to report on (default: the shipped one)')
    parser.add_argument('--name', default='shipped_model', help='of the report under benchmarks/results')
    args = parser.parse_args()
    {'train': train, 'pack': pack, 'report': report}[args.what](args)


if __name__ == '__main__': main()
