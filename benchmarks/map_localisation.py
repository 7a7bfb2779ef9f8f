"""Does the map find where a photograph was spoilt?

    python benchmarks/map_localisation.py FOLDER [FOLDER ...] [--cases 200] [--model DIR] [--out benchmarks/results/map_localisation.csv]

Each case takes a pristine photograph, divides it into 3x3 tiles and distorts one of them (tile, kind and level 3 to 5 drawn
with a fixed seed). Found means that the tile's mean in the map is the lowest of the nine; by chance that happens in one case
of nine. The same is asked of the attention map (lowest, and highest), and of the map of the photograph before it was spoilt,
which tells how often the tile would have been the lowest anyway. `drop` asks instead which tile fell most from the map before
to the map after. Interrupted, the same command goes on where it was.
"""
import argparse
import csv
import json
import platform
from math import sqrt
from pathlib import Path

import numpy as np
from tqdm import tqdm

from birnn_iqa import __version__
from birnn_iqa.distortions import DISTORTIONS, distort_region
from birnn_iqa.images import load_image
from birnn_iqa.scoring import Scorer

from sanity import Journal, choose

COLUMNS = ('photo', 'kind', 'level', 'tile', 'rank', 'found', 'drop_found', 'found_before', 'attention_lowest', 'attention_highest', 'score_before', 'score_after')


def tiles(height, width):
    "Nine boxes y0, x0, y1, x1 in rows."
    ys, xs = (np.linspace(0, n, 4).astype(int) for n in (height, width))
    return [(ys[r], xs[c], ys[r + 1], xs[c + 1]) for r in range(3) for c in range(3)]


def means(values, boxes): return np.array([values[y0:y1, x0:x1].mean() for y0, x0, y1, x1 in boxes])


def draw(cases, seed=0):
    "(tile, kind, level) of each case."
    rng, kinds = np.random.default_rng(seed), list(DISTORTIONS)
    return [(int(rng.integers(9)), kinds[rng.integers(len(kinds))], int(rng.integers(3, 6))) for _ in range(cases)]


def run_case(scorer, file, tile, kind, level, seed):
    "One row."
    photo = load_image(file)
    boxes = tiles(*photo.shape[:2])
    before, after = scorer([photo, distort_region(photo, boxes[tile], kind, level, seed=seed)])
    old, new, attention = means(before.map(), boxes), means(after.map(), boxes), means(after.attention_map(), boxes)
    return dict(photo=Path(file).name, kind=kind, level=level, tile=tile, rank=int((new < new[tile]).sum()) + 1, found=int(new.argmin() == tile),
                drop_found=int((new - old).argmin() == tile), found_before=int(old.argmin() == tile), attention_lowest=int(attention.argmin() == tile),
                attention_highest=int(attention.argmax() == tile), score_before=round(before.score, 3), score_after=round(after.score, 3))


def share(rows, name):
    "Share of cases, with its 95 % interval (Wilson)."
    n, p, z = len(rows), float(np.mean([r[name] for r in rows])), 1.96
    middle, half = p + z*z/(2*n), z*sqrt(p*(1 - p)/n + z*z/(4*n*n))
    return dict(share=round(p, 4), interval=[round(float(v/(1 + z*z/n)), 4) for v in (middle - half, middle + half)])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('folders', nargs='+', help='folders of pristine photographs')
    parser.add_argument('--cases', type=int, default=200)
    parser.add_argument('--photos', type=int, default=100)
    parser.add_argument('--model', help='scorer or run folder (default: the shipped model)')
    parser.add_argument('--out', type=Path, default=Path(__file__).parent/'results'/'map_localisation.csv')
    args = parser.parse_args()
    scorer, files, cases = Scorer(args.model), choose(args.folders, args.photos), draw(args.cases)
    journal = Journal(args.out, [scorer.digest, __version__, [Path(f).name for f in files]])
    for i, case in enumerate(tqdm(cases, desc='cases', disable=None)):
        if i not in journal: journal.add(i, run_case(scorer, files[i % len(files)], *case, i))
    rows = [journal[i] for i in range(len(cases))]
    with open(args.out, 'w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows)
    summary = dict(cases=len(rows), chance=round(1/9, 4), **{name: share(rows, name) for name in COLUMNS[5:10]},
                   mean_rank=round(float(np.mean([r['rank'] for r in rows])), 3), score_falls=share([dict(f=r['score_after'] < r['score_before']) for r in rows], 'f'),
                   found_by_kind={k: share([r for r in rows if r['kind'] == k], 'found')['share'] for k in DISTORTIONS if any(r['kind'] == k for r in rows)})
    result = dict(model=scorer.content['name'], digest=scorer.digest, birnn_iqa=__version__, python=platform.python_version(), **summary)
    args.out.with_suffix('.json').write_text(json.dumps(result, indent=1) + '\n')
    journal.remove()
    print(json.dumps(summary, indent=1))


if __name__ == '__main__': main()
