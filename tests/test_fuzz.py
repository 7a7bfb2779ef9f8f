"""Whatever bytes come, every reader of strangers' files gives a result or the error that it promises, and runs nothing."""
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from fuzzing import TARGETS, damage, seeds

EXAMPLES = 60


@pytest.mark.parametrize('target', TARGETS)
def test_good_inputs_are_read(target):
    for raw in seeds(target): TARGETS[target](raw)


@pytest.mark.parametrize('target', TARGETS)
def test_any_input_is_read_or_refused(target):
    good = seeds(target)
    damaged = st.builds(lambda seed, raw: damage(np.random.default_rng(seed), raw, good), st.integers(0, 2**32 - 1), st.sampled_from(good))

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(damaged | st.binary(max_size=300))
    def whatever(raw): TARGETS[target](raw)
    whatever()
