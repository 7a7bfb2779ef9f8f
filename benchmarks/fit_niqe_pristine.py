"""Fit NIQE's pristine model on a folder of undistorted photographs and save it.

    python benchmarks/fit_niqe_pristine.py PHOTOGRAPHS [--out birnn_iqa/data/niqe_pristine.npz]

The model in the package was fitted on all 500 photographs of BSDS500 (Arbeláez, Maire, Fowlkes and Malik, Contour
detection and hierarchical image segmentation, IEEE TPAMI 33(5), 2011; free for non-commercial research and education).
The file holds the mean and covariance of 36 features: no picture and no part of one.
"""
import argparse
from pathlib import Path

from birnn_iqa.nss import fit_niqe_model

PICTURES = {'.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp'}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('photographs', type=Path, nargs='+', help='folders, searched with all their subfolders')
    parser.add_argument('--out', type=Path, default=Path(__file__).parents[1]/'birnn_iqa'/'data'/'niqe_pristine.npz')
    parser.add_argument('--sharpness', type=float, default=.75, help="share of a picture's sharpest block (default .75, the paper's)")
    parser.add_argument('--threads', type=int, default=2)
    args = parser.parse_args()
    pictures = sorted(path for folder in args.photographs for path in folder.rglob('*') if path.suffix.lower() in PICTURES)
    if not pictures: parser.error(f'no pictures ({", ".join(sorted(PICTURES))}) in {", ".join(map(str, args.photographs))}')
    model = fit_niqe_model(pictures, args.sharpness, args.threads)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    model.save(args.out)
    print(f'{args.out}: {model} from {len(pictures)} pictures')


if __name__ == '__main__': main()
