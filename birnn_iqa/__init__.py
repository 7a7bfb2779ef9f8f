__version__ = "0.1.0"

import importlib as _importlib

# Names are looked up on first use, so that `import birnn_iqa` loads neither Keras nor pandas.
_HOME = {"load_image": "images", "patch_grid": "patches", "DataGenerator": "generator", "Base_Model": "backbones",
         "rnn_model": "head", "FeatureExtractor": "features", "FeatureStore": "features", "ImageError": "images", "Scorer": "scoring"}
_ROOMS = ("images", "patches", "metrics", "distortions", "datasets", "nss", "backbones", "generator", "head", "engines",
          "features", "training", "scoring", "plots", "demo", "benchmark", "cli")

__all__ = [*_HOME, *_ROOMS]


def __getattr__(name):
    if name in _HOME: return getattr(_importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    if name in _ROOMS: return _importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__(): return sorted([*globals(), *__all__])
