"""Fit NIQE's pristine model on a folder of undistorted photographs and save it.

    python benchmarks/fit_niqe_pristine.py PHOTOGRAPHS [--out birnn_iqa/data/niqe_pristine.npz] [--check OTHER_PHOTOGRAPHS]

The model in the package was fitted on all 500 photographs of BSDS500 (Arbeláez, Maire, Fowlkes and Malik, Contour
detection and hierarchical image segmentation, IEEE TPAMI 33(5), 2011; free for non-commercial research and education).
The file holds the mean and covariance of 36 features: no picture and no part of one.

--check distorts other undistorted photographs, five levels of each kind in birnn_iqa.distortions, and writes to
benchmarks/results/niqe_pristine.json how well NIQE ranks the levels: within a photograph (mean SROCC) and over all of
them. No opinion score and no test database takes part in choosing the model.
"""
import argparse
import json
from pathlib import Path

import numpy as np

from birnn_iqa.distortions import DISTORTIONS, distort
from birnn_iqa.images import load_image
from birnn_iqa.metrics import srocc
from birnn_iqa.nss import NiqeModel, fit_niqe_model, niqe_many

LEVELS = range(6)
PICTURES = {'.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp'}


def find(folders): return sorted(path for folder in folders for path in folder.rglob('*') if path.suffix.lower() in PICTURES)


def check(models, photographs, threads):
    "For each model and kind of distortion: SROCC of NIQE with the level within photographs (mean), and over all of them."
    result = {name: {} for name in models}
    for kind in DISTORTIONS:
        pictures = [distort(image, kind, level) for image in map(load_image, photographs) for level in LEVELS]
        for name, model in models.items():
            scores = niqe_many(pictures, model, threads).reshape(-1, len(LEVELS))
            within = np.mean([srocc(row, LEVELS) if np.ptp(row) else 0 for row in scores])
            result[name][kind] = {'within': round(float(within), 3), 'over_all': round(srocc(scores.ravel(), np.tile(LEVELS, len(scores))), 3)}
        print(kind, {name: result[name][kind] for name in models}, flush=True)
    for kinds in result.values():
        kinds['mean'] = {key: round(float(np.mean([kind[key] for kind in kinds.values()])), 3) for key in ('within', 'over_all')}
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('photographs', type=Path, nargs='+', help='folders, searched with all their subfolders')
    parser.add_argument('--out', type=Path, default=Path(__file__).parents[1]/'birnn_iqa'/'data'/'niqe_pristine.npz')
    parser.add_argument('--sharpness', type=float, default=.75, help="share of a picture's sharpest block (default .75, the paper's)")
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--check', type=Path, nargs='+', help='folders of other undistorted photographs, to rank distortion levels on')
    parser.add_argument('--against', type=Path, help="another model's .npz, for comparison in the check (the authors', say)")
    args = parser.parse_args()
    pictures = find(args.photographs)
    if not pictures: parser.error(f'no pictures ({", ".join(sorted(PICTURES))}) in {", ".join(map(str, args.photographs))}')
    model = fit_niqe_model(pictures, args.sharpness, args.threads)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    model.save(args.out)
    print(f'{args.out}: {model} from {len(pictures)} pictures')
    if not args.check: return
    models = {'this model': model, 'every second photograph': fit_niqe_model(pictures[::2], args.sharpness, args.threads)}
    if args.against: models['the other model'] = NiqeModel.load(args.against)
    others = find(args.check)
    result = {'fitted_on': len(pictures), 'sharpness': args.sharpness, 'checked_on': len(others), 'srocc_with_level': check(models, others, args.threads)}
    (Path(__file__).parent/'results'/'niqe_pristine.json').write_text(json.dumps(result, indent=2) + '\n')


if __name__ == '__main__': main()
