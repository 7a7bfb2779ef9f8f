"""Does the score fall as a photograph gets worse?

    python benchmarks/sanity.py FOLDER [FOLDER ...] [--photos 40] [--model DIR] [--out benchmarks/results/sanity.csv]

Each pristine photograph is distorted by blur, JPEG, noise, low light and over-exposure in levels 0 (unchanged) to 5 and
scored. A row of the CSV is one ladder (photograph, kind) with its six scores; the JSON beside it holds, a kind, the mean
rank correlation between score and falling level, and the share of the steps at which the score strictly rises.
"""
import argparse
import csv
import json
import platform
from itertools import product
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from birnn_iqa import __version__
from birnn_iqa.distortions import distort
from birnn_iqa.images import load_image
from birnn_iqa.scoring import Scorer, list_files

KINDS = 'gaussian_blur', 'jpeg', 'gaussian_noise', 'low_light', 'over_exposure'
LEVELS = range(6)


def choose(folders, photos):
    "Photographs of all folders, as many of each as of the others, drawn with a fixed seed."
    each = -(-photos//len(folders))
    chosen = []
    for folder in folders:
        files = list_files(folder, recursive=True)
        chosen += [files[i] for i in sorted(np.random.default_rng(0).permutation(len(files))[:each])]
    return chosen


def ladders(files, scorer):
    "Yield (file, kind, six scores)."
    tasks = list(product(range(len(files)), KINDS, LEVELS))
    pictures = Distorted(files, tasks)
    scores = [r.score for r in scorer.stream(pictures, maps=False)]
    for at in range(0, len(tasks), len(LEVELS)):
        yield files[tasks[at][0]], tasks[at][1], scores[at:at + len(LEVELS)]


class Distorted:
    "The distorted pictures one after another; nothing is kept but the current photograph."
    def __init__(self, files, tasks): self.files, self.tasks = files, tasks

    def __iter__(self):
        at, photo = None, None
        for i, kind, level in self.tasks:
            if i != at: at, photo = i, load_image(self.files[i])
            yield distort(photo, kind, level, seed=i)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('folders', nargs='+', help='folders of pristine photographs')
    parser.add_argument('--photos', type=int, default=40)
    parser.add_argument('--model', help='scorer or run folder (default: the shipped model)')
    parser.add_argument('--out', type=Path, default=Path(__file__).parent/'results'/'sanity.csv')
    args = parser.parse_args()
    scorer, files = Scorer(args.model), choose(args.folders, args.photos)
    rows = list(ladders(files, scorer))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with open(args.out, 'w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(['photo', 'kind', 'srocc', 'rises', *(f'level_{level}' for level in LEVELS)])
        writer.writerows([Path(f).name, kind, f'{spearmanr(s, LEVELS)[0]*-1:.4f}', int((np.diff(s) > 0).sum()), *(f'{v:.3f}' for v in s)]
                         for f, kind, s in rows)
    summary = {kind: dict(mean_srocc=round(float(np.mean([-spearmanr(s, LEVELS)[0] for _, k, s in rows if k == kind])), 4),
                          wrong_way_steps=round(float(np.mean([np.diff(s) > 0 for _, k, s in rows if k == kind])), 4),
                          mean_scores=np.mean([s for _, k, s in rows if k == kind], 0).round(2).tolist()) for kind in KINDS}
    summary['all'] = dict(mean_srocc=round(float(np.mean([v['mean_srocc'] for v in summary.values()])), 4),
                          wrong_way_steps=round(float(np.mean([v['wrong_way_steps'] for v in summary.values()])), 4))
    result = dict(photos=len(files), model=scorer.content['name'], digest=scorer.digest, birnn_iqa=__version__, python=platform.python_version(), kinds=summary)
    args.out.with_suffix('.json').write_text(json.dumps(result, indent=1) + '\n')
    print(json.dumps(summary, indent=1))


if __name__ == '__main__': main()
