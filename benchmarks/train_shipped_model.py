"""Train the model that ships with the package, from the databases, and report on it once.

    python benchmarks/train_shipped_model.py train --biq2021 FOLDER --groups GROUPS.csv --work WORK [--heads 5] [--epochs 8]
    python benchmarks/train_map_head.py PHOTOGRAPHS... --out WORK/map_head.keras
    python benchmarks/train_shipped_model.py pack --work WORK [--map-head WORK/map_head.keras] [--out birnn_iqa/data/scorer]
    python benchmarks/train_shipped_model.py report --biq2021 FOLDER --groups GROUPS.csv --live-itw FOLDER --work WORK

`train` extracts dense features of BIQ2021's official training part into WORK/biq2021 (continued where it was interrupted), keeps a
tenth of its content groups for validation and fits heads that differ in their seed alone. The grid of windows is mirrored at random,
left to right and top to bottom, since a picture's mirror image has its quality. A head that is there already is not trained again.
`pack` calibrates the uncertainty on the validation pictures and writes the scorer with its model card. `report` scores the official
test part and LIVE In the Wild, neither of which had any part before, and writes per-picture predictions and correlations.
"""
import argparse
import csv
import json
import math
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from birnn_iqa.datasets import biq2021, live_itw, official_split
from birnn_iqa.features import FeatureExtractor
from birnn_iqa.metrics import bootstrap_ci, evaluate
from birnn_iqa.scoring import SHIPPED, Scorer, save_scorer

RESULTS = Path(__file__).parent/'results'
EXTRACTION = dict(base='efficientnet_lite0', features='multilevel', mode='dense', size=224, overlapping=4/7, small='resize')
NETWORK = dict(dropOutRate=.25, lstm_layers=1, lstm_units=64, hidden_units=64, num_layers=1, projection=96, input_dropout=.1, masking=False)
BATCH, RATE, DECAY = 64, 1e-3, 1e-2


def tables(args):
    "BIQ2021's table on 0-100, and its official split with group-disjoint validation."
    table = biq2021(args.biq2021, groups=args.groups)
    low, high = table.attrs['scale']
    return table.assign(mos=100*(table.mos - low)/(high - low)), official_split(table, val=.1, seed=0)   # training pictures whose content is also tested are dropped


def flips(side, rng):
    "Positions of a square grid of windows, read in columns, mirrored at random in either direction."
    grid = np.arange(side*side).reshape(side, side)
    if rng.random() < .5: grid = grid[::-1]
    if rng.random() < .5: grid = grid[:, ::-1]
    return grid.ravel()


def batches(features, targets, seed, epochs):
    "Mirrored batches of all epochs, in an order drawn anew for each."
    rng, side = np.random.default_rng(seed), math.isqrt(features.shape[1])
    for _ in range(epochs):
        order = rng.permutation(len(features))
        for at in range(0, len(order) - BATCH + 1, BATCH):
            rows = order[at:at + BATCH]
            yield features[rows][:, flips(side, rng)].astype(np.float32), targets[rows, None].astype(np.float32)


def fit(features, mos, seed, epochs):
    "A head on features float16 (n, p, d), p a square; its output is the score on 0-100."
    import keras
    from birnn_iqa.head import rnn_model
    from birnn_iqa.training import feature_statistics
    _, mean, std = feature_statistics(features)
    centre, spread, steps = mos.mean(), mos.std(), len(features)//BATCH
    model = rnn_model((None, features.shape[2]), normalisation=(mean, std + .01), seed=seed, **NETWORK)
    rate = keras.optimizers.schedules.CosineDecay(RATE/10, steps*epochs, .02, warmup_target=RATE, warmup_steps=steps)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=DECAY, clipnorm=1.), 'mse')
    for x, y in batches(features, (mos - centre)/spread, seed, epochs): model.train_on_batch(x, y)
    return keras.Model(model.input, keras.layers.Rescaling(spread, centre, name='mos')(model.output), name=f'head_{seed}')


def predict(model, features): return np.concatenate([model.predict_on_batch(x.astype(np.float32))[:, 0] for x in np.array_split(features, -(-len(features)//256))])


def train(args):
    "Heads and their validation predictions into the working folder."
    table, split = tables(args)
    wanted = table.iloc[np.r_[split.train, split.val]]
    extractor = FeatureExtractor(**EXTRACTION)
    store = extractor.extract(wanted, args.work/'biq2021', strict=True)
    train_rows, val_rows = table.iloc[split.train], table.iloc[split.val]
    x, v = store.batch(train_rows.image_id), store.batch(val_rows.image_id)
    (args.work/'key.json').write_text(json.dumps(store.key))
    for seed in range(1, args.heads + 1):
        path = args.work/f'head_{seed}.keras'
        if path.exists(): continue
        model = fit(x, train_rows.mos.to_numpy(), seed, args.epochs)
        p = predict(model, v)
        np.savez(args.work/f'head_{seed}.npz', prediction=p, mos=val_rows.mos, image_id=val_rows.image_id.to_numpy(str), pictures=len(x), epochs=args.epochs)
        model.save(path)   # last: a head that is there is whole
        print(seed, {k: round(float(m), 4) for k, m in evaluate(p, val_rows.mos).items()}, flush=True)


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
    files = sorted(args.work.glob('head_*.keras'))
    if not files: raise SystemExit(f'{args.work}: no head_*.keras here; train first')
    notes = [np.load(f.with_suffix('.npz')) for f in files]
    predictions, mos = np.stack([n['prediction'] for n in notes]), notes[0]['mos'].astype(float)
    validation = evaluate(predictions.mean(0), mos)
    std = calibrate(predictions, mos)
    load = lambda path: keras.saving.load_model(path, compile=False)
    card = CARD.format(heads=len(files), pictures=int(notes[0]['pictures']), epochs=int(notes[0]['epochs']), **{k: validation[k] for k in ('srocc', 'plcc', 'rmse', 'n')})
    save_scorer(args.out, [load(f) for f in files], json.loads((args.work/'key.json').read_text()), std=std, name='birnn-iqa-lite0', card=card, license=LICENSE,
                map_head=load(args.map_head) if args.map_head else None)
    print(args.out, validation, f'std=({std[0]:.2f}, {std[1]:.2f})', f'{sum(p.stat().st_size for p in args.out.iterdir())/2**20:.2f} MiB', sep='\n')


def report(args):
    "Correlations, coverage of the uncertainty and per-picture predictions on pictures that had no part in training."
    scorer, result = Scorer(args.out), {}
    table, split = tables(args)
    for name, rows in dict(biq2021_official_test=table.iloc[split.test], live_itw=live_itw(args.live_itw) if args.live_itw else None).items():
        if rows is None: continue
        scored = list(scorer.stream(rows.path.tolist(), maps=False))
        score, std, mos = np.array([r.score for r in scored]), np.array([r.std for r in scored]), rows.mos.to_numpy(float)
        with open(RESULTS/f'shipped_{name}.csv', 'w', newline='', encoding='utf-8') as file:
            csv.writer(file, lineterminator='\n').writerows([('image_id', 'mos', 'prediction', 'std'), *((i, m, f'{p:.4f}', f'{s:.3f}') for i, m, p, s in zip(rows.image_id, mos, score, std))])
        result[name] = {k: round(float(v), 4) for k, v in evaluate(score, mos).items()}
        result[name].update(srocc_interval=[round(float(v), 4) for v in bootstrap_ci(lambda p, m: evaluate(p, m)['srocc'], score, mos, n_resamples=200)],
                            bias=round(float((score - mos).mean()), 3), **{f'within_{k}_std': round(float((np.abs(score - mos) <= k*std).mean()), 4) for k in (1, 2)})
    text = json.dumps(dict(digest=scorer.digest, **result), indent=1)
    (RESULTS/'shipped_model.json').write_text(text + '\n')
    print(text)


LICENSE = ('The weights in this folder are released under the Apache License 2.0, as is the package. The opinion scores that they were fitted to are those of '
           'BIQ2021, which is published for research and whose repository states no licence; no picture and no part of one is in this folder.')

CARD = """# birnn-iqa-lite0

Scores photographs from 0 to 100 (higher is better), without a reference.

## What it is
{heads} Bi-RNN heads with attention, their mean, on multi-level features of EfficientNet-Lite0 (ImageNet, frozen): means and standard
deviations of seven stages over windows of 224x224 pixels, 96 pixels apart, of a picture of at most 512x512 pixels of area. Its
uncertainty is hypot(a, b*spread of the heads), fitted on validation pictures.

## What it learnt from
{pictures:,} pictures of BIQ2021's official training part (Ahmed and Asif 2022), {epochs} epochs, grids of windows mirrored at random.
A tenth of the content groups was kept for validation: SROCC {srocc:.3f}, PLCC {plcc:.3f}, RMSE {rmse:.1f} points on {n:,} pictures.
Results on pictures that had no part in training: `benchmarks/results/shipped_model.json` in the repository.

## Where it fails
- It judges a picture as shown at 512x512 pixels of area. What shows only at full size is not judged.
- It learnt from photographs of everyday scenes. Drawings, screenshots, scans, medical and astronomical pictures are strangers to it.
- Quality as the raters of BIQ2021 saw it mixes technical quality with what they liked. A dark or soft picture may be meant so.
- Its map tells where in a picture quality is lost, relative to the rest of that picture; two maps are not to be compared.

## How it is made again
`benchmarks/train_shipped_model.py` and `benchmarks/train_map_head.py`.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', choices=['train', 'pack', 'report'])
    parser.add_argument('--work', type=Path, required=True, help='working folder: features, heads')
    parser.add_argument('--biq2021', type=Path, help='root of BIQ2021')
    parser.add_argument('--groups', type=Path, help="CSV of BIQ2021's near-duplicate groups")
    parser.add_argument('--live-itw', type=Path, help='root of LIVE In the Wild')
    parser.add_argument('--heads', type=int, default=5)
    parser.add_argument('--epochs', type=int, default=8)
    parser.add_argument('--map-head', type=Path)
    parser.add_argument('--out', type=Path, default=SHIPPED, help='folder of the scorer (default: in the package)')
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    {'train': train, 'pack': pack, 'report': report}[args.what](args)


if __name__ == '__main__': main()
