"""Does an 8-bit network earn its place? EfficientNet-Lite0's features in f32, bf16 and int8: price and processor time.

    python benchmarks/int8_trial.py PHOTOGRAPHS [--out benchmarks/results/int8_trial.json]      (needs nncf beside openvino)

Of every tenth photograph of the folder two patches are taken; the first 80 patches calibrate the 8-bit network (NNCF, mixed preset),
the next 32 are what the features are compared on. Processor seconds of one thread, medians over turns.
"""
import argparse
import json
import time
from pathlib import Path

import numpy as np
from nss_speed import machine

from birnn_iqa.backbones import feature_model
from birnn_iqa.engines import OpenVINOEngine, _convert
from birnn_iqa.images import load_image
from birnn_iqa.patches import image_patches
from speed import agreement, has_bf16


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('photographs', type=Path)
    parser.add_argument('--turns', type=int, default=5)
    parser.add_argument('--out', type=Path, default=Path(__file__).parent/'results'/'int8_trial.json')
    args = parser.parse_args()
    import nncf
    files = sorted(path for path in args.photographs.rglob('*') if path.suffix.lower() in ('.bmp', '.jpg', '.jpeg', '.png'))[::10][:56]
    patches = np.concatenate([image_patches(load_image(path), 224, 0.)[0][[0, -1]] for path in files])
    calibration, seen = patches[:80], patches[80:112]
    graph = _convert(feature_model('efficientnet_lite0'), 'uint8')
    small = nncf.quantize(graph, nncf.Dataset([patch[None] for patch in calibration]), preset=nncf.QuantizationPreset.MIXED, subset_size=len(calibration))
    engines = {'f32': OpenVINOEngine(graph, 'f32', 1), **({'bf16': OpenVINOEngine(graph, 'bf16', 1)} if has_bf16() else {}), 'int8': OpenVINOEngine(small, 'f32', 1)}
    features = {name: engine(seen) for name, engine in engines.items()}
    taken = {name: [] for name in engines}
    for _ in range(args.turns):
        for name, engine in engines.items():
            start = time.process_time()
            engine(seen)
            taken[name].append((time.process_time() - start)/len(seen))
    result = dict(machine=machine(), calibrated_on=len(calibration), compared_on=len(seen), turns=args.turns,
                  precisions={name: dict(processor_ms_a_patch=round(1000*float(np.median(taken[name])), 2), times_f32=round(float(np.median(np.divide(taken['f32'], taken[name]))), 2),
                                         **agreement(features[name], features['f32'])) for name in engines})
    args.out.write_text(json.dumps(result, indent=1) + '\n')
    print(json.dumps(result, indent=1))


if __name__ == '__main__': main()
