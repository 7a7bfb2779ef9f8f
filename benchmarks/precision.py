"""The price of a precision: what bf16 and 8 bits do to the shipped model's scores and to their correlation with opinion scores.

    python benchmarks/precision.py --biq2021 FOLDER --groups GROUPS.csv --live-itw FOLDER [--out benchmarks/results/precision.json]

Every picture of BIQ2021's validation part and of LIVE In the Wild is scored in each precision, by one scorer after the other. Beside
the correlations stand how far scores move and how often a pair of pictures changes its order; the interval of the change in SROCC is
a bootstrap over pictures, both precisions on the same ones. Processor milliseconds are of the whole way from file to score.
"""
import argparse
import json
import time
from pathlib import Path

import numpy as np
from nss_speed import machine
from scipy.stats import kendalltau
from speed import has_bf16

from birnn_iqa.datasets import live_itw
from birnn_iqa.metrics import evaluate, srocc
from birnn_iqa.scoring import Scorer
from train_shipped_model import named, tables


def scored(scorer, paths):
    "Scores, and processor milliseconds a picture."
    scorer.network   # compiled before the clock starts
    start = time.process_time()
    scores = np.array([result.score for result in scorer.stream(paths, maps=False)])
    return scores, 1000*(time.process_time() - start)/len(paths)


def price(scores, reference, mos, resamples=1000, seed=0):
    "Correlations of scores, and what changed since `reference`."
    moved, rng = np.abs(scores - reference), np.random.default_rng(seed)
    draws = [rng.integers(0, len(mos), len(mos)) for _ in range(resamples)]
    low, high = np.quantile([srocc(scores[d], mos[d]) - srocc(reference[d], mos[d]) for d in draws], [.025, .975])
    found = evaluate(scores, mos)
    return {**{k: round(float(found[k]), 4) for k in ('srocc', 'plcc', 'krcc', 'rmse')}, 'srocc_change': round(float(srocc(scores, mos) - srocc(reference, mos)), 4),
            'srocc_change_interval': [round(float(low), 4), round(float(high), 4)], 'moved_mean': round(float(moved.mean()), 3), 'moved_p95': round(float(np.quantile(moved, .95)), 3),
            'moved_most': round(float(moved.max()), 2), 'pairs_that_change_order': round(float((1 - kendalltau(scores, reference)[0])/2), 4)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--biq2021', type=Path, required=True, help='root of BIQ2021')
    parser.add_argument('--groups', type=Path, required=True, help="CSV of BIQ2021's near-duplicate groups")
    parser.add_argument('--live-itw', type=Path, required=True, help='root of LIVE In the Wild')
    parser.add_argument('--out', type=Path, default=Path(__file__).parent/'results'/'precision.json')
    args = parser.parse_args()
    table, split = tables(args)
    parts = {'BIQ2021, validation': table.iloc[split.val], 'LIVE In the Wild': named(live_itw(args.live_itw), 'live_itw')}
    scorers = {p: Scorer(precision=p, streams=2) for p in ('f32', *(['bf16'] if has_bf16() else []), 'int8')}
    result = dict(machine=machine(), digest=scorers['f32'].digest, databases={})
    for name, rows in parts.items():
        mos, found, reference = rows.mos.to_numpy(float), {}, None
        for precision, scorer in scorers.items():
            scores, milliseconds = scored(scorer, rows.path.tolist())
            reference = scores if reference is None else reference
            found[precision] = dict(price(scores, reference, mos), processor_ms_a_picture=round(milliseconds, 1))
            print(name, precision, found[precision], flush=True)
        result['databases'][name] = dict(pictures=len(rows), precisions=found)
    args.out.write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__': main()
