"The metrics against correlations that SciPy computed for two known methods on KonIQ-10k's 10,073 pictures."
import csv, json, os
from pathlib import Path

import numpy as np
import pytest

from birnn_iqa.metrics import bootstrap_ci, evaluate, krcc, plcc, srocc

SHARED = Path(os.environ.get('BIRNN_IQA_SHARED', Path(__file__).parents[3]/'shared'))/'data'
FOLDER = SHARED/'predictions'
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f'the shared predictions are not here ({FOLDER})')


@pytest.fixture(scope='module')
def table():
    with (FOLDER/'koniq10k_predictions.csv').open(newline='') as f: rows = list(csv.DictReader(f))
    return {name: np.array([float(row[name]) for row in rows]) for name in ('MOS_zscore', 'hyperiqa', 'niqe')}


@pytest.fixture(scope='module')
def expected(): return json.loads((FOLDER/'expected.json').read_text())


@pytest.mark.parametrize('method', ['hyperiqa', 'niqe'])
def test_expected_correlations(table, expected, method):
    pred, mos, want = table[method], table['MOS_zscore'], expected[method]
    assert len(pred) == want['n'] == 10073
    for got, key in ((srocc(pred, mos), 'srocc'), (plcc(pred, mos), 'plcc_raw'), (krcc(pred, mos), 'krcc')):
        assert got == pytest.approx(want[key], abs=1e-9, rel=0)
    row = evaluate(pred, mos)
    assert (row['srocc'], row['plcc'], row['krcc'], row['n']) == (srocc(pred, mos), plcc(pred, mos), krcc(pred, mos), 10073)


@pytest.mark.parametrize('method', ['hyperiqa', 'niqe'])
def test_mappings_never_fall_below_the_line(table, method):
    pred, mos = table[method], table['MOS_zscore']
    line, four, five = (plcc(pred, mos, kind) for kind in ('linear', 'logistic4', 'logistic5'))
    assert line == abs(plcc(pred, mos)) <= four <= five + 1e-4
    assert five < 1


def test_interval_holds_the_estimate_and_is_narrow(table, expected):
    lo, hi = bootstrap_ci(srocc, table['hyperiqa'], table['MOS_zscore'], n_resamples=200)
    assert lo < expected['hyperiqa']['srocc'] < hi and hi - lo < .01
