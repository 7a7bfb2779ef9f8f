"""NIQE and BRISQUE: pictures a second, beside pyiqa's NIQE on the same pictures in the same run.

    python benchmarks/nss_speed.py [--repeats 7] [--threads 1 2] [--out benchmarks/results/nss_speed.json]

Pictures are the photographs that scikit-image and scikit-learn ship, at 512×512, already decoded. In every repeat each
contestant scores all of them once, one after the other, after a warm-up that isn't counted; medians over repeats are
written, and ratios are medians of the ratios within a repeat, so that a busy machine slows both sides of each. Processor seconds (of all threads together) are measured
beside the clock's: they hardly feel what else the machine is doing. pyiqa gets
the package's own pristine model, so that the scores can be compared, and its tensors are made within its time, as luma
is within ours. Without pyiqa (`pip install pyiqa`) only this package is measured, and the file says so.
"""
import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np

from birnn_iqa.images import example_image, resize_image
from birnn_iqa.nss import _own_model, brisque_many, halve, local_mean, luma, niqe_many

NAMES = 'astronaut', 'chelsea', 'coffee', 'rocket', 'china', 'flower', 'motorcycle', 'camera'
SIZE = 512


def pyiqa_niqe():
    "A function (pictures, threads) -> scores by pyiqa, and its versions; None and the reason where it can't be imported."
    try:
        import torch
        from importlib.metadata import version
        from pyiqa.archs.niqe_arch import calculate_niqe
    except Exception as e:  # torchvision's operators fail to load with RuntimeError
        return None, f'{type(e).__name__}: {e}'.splitlines()[0]
    mean, cov = torch.from_numpy(_own_model().mean), torch.from_numpy(_own_model().cov)

    def scores(pictures, threads):
        torch.set_num_threads(threads)
        with torch.no_grad():
            tensors = (torch.from_numpy(picture).permute(2, 0, 1)[None].float()/255 for picture in pictures)
            return np.array([float(calculate_niqe(t, mu_pris_param=mean, cov_pris_param=cov)) for t in tensors])
    return scores, {'pyiqa': version('pyiqa'), 'torch': torch.__version__}


def moment_sums(pictures, threads):
    "The floor that the issue names: filtering and sums of squares at two scales, without any fit."
    for picture in pictures:
        x = luma(picture)
        for x in (x, halve(x)):
            padded = np.pad(x, 3, mode='edge')
            mu, square = local_mean(padded), local_mean(padded*padded)
            m = (x - mu)/(np.sqrt(np.abs(square - mu*mu)) + 1)
            for shift in ((0, 1), (1, 0), (1, 1), (1, -1)): np.einsum('nk,nk->n', m, np.roll(m, shift, (0, 1)))


def machine():
    "The machine in words, without names or paths."
    model = next((line.split(':')[1].strip() for line in open('/proc/cpuinfo') if line.startswith('model name')), platform.machine()) \
        if os.path.exists('/proc/cpuinfo') else platform.machine()
    return {'cpu': model, 'cores': os.cpu_count(), 'system': platform.system(), 'python': platform.python_version(), 'numpy': np.__version__,
            'load_average': [round(load, 1) for load in os.getloadavg()] if hasattr(os, 'getloadavg') else None}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--repeats', type=int, default=7)
    parser.add_argument('--threads', type=int, nargs='+', default=[1, 2])
    parser.add_argument('--out', type=Path, default=Path(__file__).parent/'results'/'nss_speed.json')
    args = parser.parse_args()
    pictures = [resize_image(example_image(name), SIZE, SIZE) for name in NAMES]
    theirs, versions = pyiqa_niqe()
    contestants = {'niqe': niqe_many, 'brisque features': brisque_many, 'filtering and moment sums': moment_sums}
    contestants = {(name, threads): task for name, task in contestants.items()
                   for threads in args.threads if task is not moment_sums or threads == args.threads[0]}
    if theirs: contestants |= {('pyiqa niqe', threads): theirs for threads in args.threads}

    def run(task, threads):
        if task is niqe_many: return task(pictures, threads=threads)
        return task(pictures, threads)

    scores = {key: run(task, key[1]) for key, task in contestants.items()}
    seconds, processor = ({key: [] for key in contestants} for _ in range(2))
    before = machine()
    for _ in range(args.repeats):
        for key, task in contestants.items():
            start, start_processor = time.perf_counter(), time.process_time()
            run(task, key[1])
            seconds[key].append(time.perf_counter() - start)
            processor[key].append(time.process_time() - start_processor)

    def rates(taken): return {f'{name}, threads={threads}': round(len(pictures)/float(np.median(times)), 1) for (name, threads), times in taken.items()}

    def ratios(taken): return {f'threads={t}': round(float(np.median(np.divide(taken['pyiqa niqe', t], taken['niqe', t]))), 2) for t in args.threads}

    result = {'pictures': f'{len(pictures)} photographs of {SIZE}x{SIZE}, decoded', 'repeats': args.repeats, 'machine': before,
              'pictures_per_second': rates(seconds),
              'pictures_per_processor_second': rates(processor), 'pyiqa': versions if theirs else f'not measured ({versions})'}
    if theirs:
        result['niqe_times_pyiqa'] = ratios(seconds)
        result['niqe_times_pyiqa_by_processor_seconds'] = ratios(processor)
        first = args.threads[0]
        result['largest_relative_difference'] = float(np.max(np.abs(scores['niqe', first]/scores['pyiqa niqe', first] - 1)).round(6))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    partial = args.out.with_suffix('.partial')
    partial.write_text(json.dumps(result, indent=2) + '\n')
    partial.replace(args.out)
    print(json.dumps(result, indent=2))


if __name__ == '__main__': main()
