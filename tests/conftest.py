"""Short by default, for every commit; BIRNN_IQA_LONG=1 runs the long versions and keeps their figures."""
import json
import os
from pathlib import Path

import pytest

LONG = os.environ.get('BIRNN_IQA_LONG') == '1'
FIGURES = Path(__file__).parents[1]/'benchmarks'/'results'/'robustness.json'


@pytest.fixture(scope='session')
def long(): return LONG


@pytest.fixture
def record(request):
    "Keep a long run's figures beside those of the other tests, under the test's name."
    def keep(**figures):
        if not LONG: return
        known = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
        name = f'tests/{request.path.name}::{request.node.originalname}'
        known[name] = known.get(name, {}) | figures
        FIGURES.write_text(json.dumps(dict(sorted(known.items())), indent=1) + '\n')
    return keep
