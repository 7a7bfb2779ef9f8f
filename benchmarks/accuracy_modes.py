"""What mode, overlap, precision and backbone do to accuracy: heads trained on each kind of features, LIVE In the Wild.

    python benchmarks/accuracy_modes.py LIVE_ITW --work WORK [--splits 10] [--heads linear attention Bi-RNN] [--larger] [--threads 1]

Both modes ('patches': the network sees each patch; 'dense': it sees the picture once) at overlaps 0, .5 and .75 get heads on the same
seeded 80/20 splits, a tenth of the training part being validation. The grids at 0 and .5 are parts of the grid at .75, so features are
computed at .75 alone and the coarser stores are read out of that one. --larger adds the larger Lite backbones, dense at overlap .5
(pip install 'birnn-iqa[lite]').

The default head is linear: ridge regression on the mean of a picture's patches, its penalty chosen by validation SROCC. It has no
seed and takes a second, so that differences between features are not drowned in differences between trainings; --heads adds those of
the package, which take minutes each. What attention and recurrence add is another question (results/live_itw).

bf16 and int8 are features of either mode at overlap .5 in that precision, read by the heads that were trained on f32 ones: their price
without training anew.

Features are kept in WORK and rows in results.csv; both are continued after an interruption. modes.json gets the means and the choice:
the cheapest variant of the default backbone (dense before patches, then the smaller overlap) whose mean validation SROCC is within
.005 of the best. The test parts have no say in it.
"""
import argparse
import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from birnn_iqa.datasets import live_itw, random_splits
from birnn_iqa.features import FeatureExtractor, FeatureStore, Source
from birnn_iqa.metrics import evaluate, srocc
from birnn_iqa.patches import patch_grid

RESULTS = Path(__file__).parent/'results'/'modes'
NETWORKS = {'attention': dict(lstm_layers=0), 'Bi-RNN': dict(lstm_layers=1, lstm_units=64)}
SETTINGS = dict(hidden_units=64, num_layers=1, projection=96, dropout=.25, input_dropout=.1, batch_size=32, epochs=20)   # of the shipped scorer's width
PENALTIES = 10.**np.arange(1, 7)
DEFAULT, LARGER = 'efficientnet_lite0', ('efficientnet_lite1', 'efficientnet_lite2')
OVERLAPS = 0., .5, .75
TOLERANCE = .005
KEYS = ['head', 'backbone', 'mode', 'overlap', 'precision', 'split']


# Features

def coarser(finest, key, folder):
    "The store at a smaller overlap, read out of that at the largest."
    def rows(id):
        boxes = finest.boxes(id)
        place = {tuple(box): row for row, box in enumerate(boxes.tolist())}
        wanted = patch_grid(*boxes[:, 2:].max(0).tolist(), tuple(key['size']), key['overlapping'], key['order'])
        return id, finest[id][[place[tuple(box)] for box in wanted.tolist()]], wanted, Source(*finest.record(id)[-2:])
    with FeatureStore(folder, key, 'a') as store:
        missing = [id for id in finest if id not in store]
        for at in range(0, len(missing), 64): store.add_many(map(rows, missing[at:at + 64]))
    return FeatureStore(folder, key)


def stores(table, work, threads, larger):
    "{(backbone, mode, overlap): store}, computed where missing."
    found = {}
    for mode in ('dense', 'patches'):
        finest = FeatureExtractor(DEFAULT, mode=mode, overlapping=OVERLAPS[-1], threads=threads).extract(table, work/f'{mode}-{OVERLAPS[-1]}-f32', strict=True)
        found[DEFAULT, mode, OVERLAPS[-1]] = finest
        for overlap in OVERLAPS[:-1]: found[DEFAULT, mode, overlap] = coarser(finest, {**finest.key, 'overlapping': overlap}, work/f'{mode}-{overlap}-f32')
    for base in LARGER if larger else ():
        found[base, 'dense', .5] = FeatureExtractor(base, mode='dense', threads=threads).extract(table, work/f'{base}-dense-0.5-f32', strict=True)
    return found


# Heads: functions of a store and names to scores

@lru_cache
def means_of(store): return {i: store[i].mean(0, dtype=np.float32) for i in store}

def pooled(store, names): return np.stack([means_of(store)[str(i)] for i in names])


def linear(store, ids, mos, split, seed):
    "Ridge regression on the mean of a picture's standardised features."
    features, best = pooled(store, ids), None
    for penalty in PENALTIES:
        model = make_pipeline(StandardScaler(), Ridge(penalty)).fit(features[split.train], mos[split.train])
        score = srocc(model.predict(features[split.val]), mos[split.val])
        if best is None or score > best[0]: best = score, model
    return lambda store, names: best[1].predict(pooled(store, names))


def network(name):
    "A head of the package."
    def fit(store, ids, mos, split, seed):
        from birnn_iqa.training import HeadConfig, StoredFeatures, fit_head
        features = {part: StoredFeatures(store, ids[getattr(split, part)]) for part in ('train', 'val')}
        fitted = fit_head(features['train'], mos[split.train], features['val'], mos[split.val], HeadConfig(**SETTINGS, **NETWORKS[name], seed=seed))
        return lambda store, names: fitted.predict(StoredFeatures(store, names))
    return fit


HEADS = {'linear': linear, **{name: network(name) for name in NETWORKS}}


def results(path, table, splits, found, heads, done, work, threads):
    "Rows of results.csv that are not done yet, one split after another."
    ids, mos = table.image_id.to_numpy(), table.mos.to_numpy(float)
    for number, split in enumerate(splits):
        for head in heads:
            for key, store in found.items():
                kinds = {'f32': store}
                if key[0] == DEFAULT and key[2] == .5: kinds.update({p: rounded(path, work, key[1], p, threads) for p in (['bf16'] if has_bf16() else []) + ['int8']})
                kinds = {precision: seen for precision, seen in kinds.items() if (head, *key, precision, split.name) not in done}
                predict = HEADS[head](store, ids, mos, split, number) if kinds else None
                for precision, seen in kinds.items():
                    line = dict(zip(KEYS, (head, *key, precision, split.name)), patches=int(np.median([len(store.boxes(i)) for i in ids])))
                    for part in ('val', 'test'):
                        rows = getattr(split, part)
                        found_metrics = evaluate(predict(seen, ids[rows]), mos[rows])
                        line.update({f'{part}_{metric}': round(float(found_metrics[metric]), 4) for metric in ('srocc', 'plcc')})
                    yield line


@lru_cache
def rounded(path, work, mode, precision, threads):
    "Features in a lower precision at overlap .5 of every picture."
    return FeatureExtractor(DEFAULT, mode=mode, precision=precision, threads=threads).extract(live_itw(path), work/f'{mode}-0.5-{precision}', strict=True)


def has_bf16():
    from speed import has_bf16
    return has_bf16()


def choice(means, head):
    "The cheapest variant whose mean validation SROCC is within TOLERANCE of the best."
    trained = means[(means['head'] == head) & (means.precision == 'f32') & (means.backbone == DEFAULT)]
    good = trained[trained.val_srocc >= trained.val_srocc.max() - TOLERANCE]
    best = good.sort_values(['mode', 'overlap']).iloc[0]   # 'dense' sorts before 'patches'
    return dict(head=head, mode=best['mode'], overlap=float(best.overlap))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('live_itw', type=Path, help='root of LIVE In the Wild')
    parser.add_argument('--work', type=Path, required=True, help='folder of features')
    parser.add_argument('--splits', type=int, default=10)
    parser.add_argument('--heads', nargs='+', choices=HEADS, default=['linear'])
    parser.add_argument('--larger', action='store_true', help='the larger Lite backbones too')
    parser.add_argument('--threads', type=int, help='of the network')
    args = parser.parse_args()
    table = live_itw(args.live_itw)
    found = stores(table, args.work, args.threads, args.larger)
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS/'results.csv'
    rows = pd.read_csv(path).to_dict('records') if path.exists() else []
    done = {tuple(line[name] for name in KEYS) for line in rows}
    for line in results(args.live_itw, table, random_splits(table, repeats=args.splits, seed=0), found, args.heads, done, args.work, args.threads):
        rows = [old for old in rows if any(old[name] != line[name] for name in KEYS)] + [line]
        print(json.dumps(line), flush=True)
        pd.DataFrame(rows).sort_values(KEYS).to_csv(path, index=False, lineterminator='\n')
    means = pd.DataFrame(rows).groupby(KEYS[:-1], as_index=False)[['patches', 'val_srocc', 'val_plcc', 'test_srocc', 'test_plcc']].mean().round(4)
    summary = dict(database=table.attrs['name'], pictures=len(table), networks=SETTINGS, splits=args.splits, tolerance=TOLERANCE,
                   choice=choice(means, args.heads[0]), means=means.to_dict('records'))
    (RESULTS/'modes.json').write_text(json.dumps(summary, indent=1) + '\n')
    print(json.dumps(summary['choice']))


if __name__ == '__main__': main()
