"""Fuzz the readers of strangers' files for as long as one likes.

    python scripts/fuzz.py TARGET [TARGET ...] [--seconds 60] [--seed 0] [--out benchmarks/results/fuzzing.json]

With atheris installed (pip install atheris; its coverage guides the inputs) each target runs under libFuzzer in a process of its
own; otherwise seeds are damaged at random. What breaks a promise is kept as crash-TARGET and ends the run with exit code 1.
Targets: see tests/fuzzing.py.
"""
import argparse
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT/'tests'))


def limit_memory(gibibytes=4):
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (gibibytes*2**30,)*2)


def guided(target, seconds, seed):
    "Run this file again as the body of libFuzzer, which leaves its process at the end."
    with tempfile.TemporaryDirectory() as corpus:
        from fuzzing import seeds
        for i, raw in enumerate(seeds(target)): (Path(corpus)/f'seed{i}').write_bytes(raw)
        command = [sys.executable, __file__, '--body', target, corpus, f'-max_total_time={seconds}', f'-seed={seed + 1}', '-timeout=60', '-rss_limit_mb=4096',
                   '-max_len=4096', '-print_final_stats=1', f'-artifact_prefix=crash-{target}-']
        out = subprocess.run(command, capture_output=True, text=True, errors='replace')
    found = re.search(r'number_of_executed_units:\s*(\d+)', out.stderr)
    if out.returncode: print(out.stderr[-4000:], file=sys.stderr)
    coverage = re.findall(r'cov: (\d+)', out.stderr)
    return int(found[1]) if found else 0, out.returncode != 0, int(coverage[-1]) if coverage else None


def body(target, arguments):
    import atheris
    with atheris.instrument_imports(include=['birnn_iqa', 'PIL', 'tifffile']):
        from birnn_iqa import datasets, features, images, patches, scoring  # noqa: F401
        if target == 'torch': from birnn_iqa import backbones  # noqa: F401
    from fuzzing import TARGETS
    atheris.Setup([sys.argv[0], *arguments], TARGETS[target])
    atheris.Fuzz()


def random(target, seconds, seed):
    "Damage seeds at random."
    import numpy as np
    from fuzzing import TARGETS, damage, seeds
    rng, good, tried, until = np.random.default_rng(seed), seeds(target), 0, time.monotonic() + seconds
    while time.monotonic() < until:
        raw = damage(rng, good[int(rng.integers(len(good)))], good)
        try: TARGETS[target](raw)
        except BaseException:
            Path(f'crash-{target}').write_bytes(raw)
            raise
        tried += 1
    return tried, False, None


def main():
    from fuzzing import TARGETS
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('targets', nargs='*', default=list(TARGETS), metavar='TARGET', help=', '.join(TARGETS))
    parser.add_argument('--seconds', type=int, default=60, help='of each target')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', type=Path, help='JSON to add the figures to')
    args = parser.parse_args()
    if unknown := set(args.targets) - set(TARGETS): parser.error(f"unknown targets {sorted(unknown)}; choose among {', '.join(TARGETS)}")
    run = guided if importlib.util.find_spec('atheris') else random
    figures, failed = {}, False
    for target in args.targets:
        tried, broken, coverage = run(target, args.seconds, args.seed)
        failed |= broken
        figures[target] = dict(inputs=tried, seconds=args.seconds, how='atheris' if run is guided else 'random damage', coverage=coverage, broke_a_promise=broken)
        print(target, json.dumps(figures[target]), flush=True)
    if args.out: args.out.write_text(json.dumps({**(json.loads(args.out.read_text()) if args.out.exists() else {}), **figures}, indent=1) + '\n')
    return int(failed)


if __name__ == '__main__':
    if sys.argv[1:2] == ['--body']: limit_memory(); body(sys.argv[2], sys.argv[3:])
    else: limit_memory(8); sys.exit(main())
