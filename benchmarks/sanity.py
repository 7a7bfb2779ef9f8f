"""Does the score fall as a photograph gets worse?

    python benchmarks/sanity.py FOLDER [FOLDER ...] [--photos 40] [--model DIR] [--out benchmarks/results/sanity.csv]

Each pristine photograph is distorted by blur, JPEG, noise, low light and over-exposure in levels 0 (unchanged) to 5 and
scored. A row of the CSV is one ladder (photograph, kind) with its six scores; the JSON beside it holds, a kind, the mean
rank correlation between score and falling level, and the share of the steps at which the score strictly rises. Interrupted,
the same command goes on where it was.
"""
import argparse
import csv
import json
import platform
from itertools import product
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from tqdm import tqdm

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


class Journal:
    "Rows by key in a file beside a result, until that is whole; those of another setting are dropped."
    def __init__(self, out, setting):
        self.path, setting = out.with_suffix('.partial'), json.dumps(setting)
        lines = self.path.read_text(encoding='utf-8').splitlines(keepends=True) if self.path.exists() else []
        whole = [line for line in lines if line.endswith('\n')]
        if whole[:1] != [setting + '\n']: whole = [setting + '\n']
        self.rows = {json.dumps(key): row for key, row in map(json.loads, whole[1:])}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(''.join(whole), encoding='utf-8')
        self.file = open(self.path, 'a', encoding='utf-8')

    def __contains__(self, key): return json.dumps(key) in self.rows
    def __getitem__(self, key): return self.rows[json.dumps(key)]

    def add(self, key, row):
        self.rows[json.dumps(key)] = row
        self.file.write(json.dumps([key, row]) + '\n')
        self.file.flush()

    def remove(self):
        self.file.close()
        self.path.unlink()


def ladders(files, scorer, journal):
    "(file, kind, six scores) of every photograph and kind."
    pairs = list(product(range(len(files)), KINDS))
    todo = [pair for pair in pairs if pair not in journal]
    results = scorer.stream(Distorted(files, [(*pair, level) for pair in todo for level in LEVELS]), maps=False)
    for pair in tqdm(todo, desc='ladders', disable=None): journal.add(pair, [next(results).score for _ in LEVELS])
    return [(files[i], kind, journal[i, kind]) for i, kind in pairs]


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
    journal = Journal(args.out, [scorer.digest, __version__, [Path(f).name for f in files]])
    rows = ladders(files, scorer, journal)
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
    journal.remove()
    print(json.dumps(summary, indent=1))


if __name__ == '__main__': main()
