"""After installation nothing is asked of a network, of a home folder or of a terminal."""
import json
import os
import shutil
import subprocess
import sys

import pytest

from birnn_iqa.images import example_path

ROOT = hasattr(os, 'geteuid') and os.geteuid() == 0
SCORE = """
import json, sys
asked = []
def hook(event, args):
    if event.startswith(('socket.connect', 'socket.getaddrinfo', 'socket.gethostby', 'urllib.')): asked.append([event, str(args[-1])])
sys.addaudithook(hook)
from birnn_iqa.cli import main
code = main(['score', sys.argv[1]])
print(json.dumps(dict(code=code, asked=asked, reporter='openvino_telemetry' in sys.modules)))
"""


@pytest.fixture
def scored(tmp_path):
    "A photograph scored where home and cache are read-only; only the temporary folder can be written."
    home, temporary = tmp_path/'home', tmp_path/'tmp'
    home.mkdir(), temporary.mkdir()
    home.chmod(0o555)
    environment = {k: v for k, v in os.environ.items() if k not in ('XDG_CACHE_HOME', 'BIRNN_IQA_CACHE', 'LOCALAPPDATA')}
    obeying = ['setpriv', '--bounding-set=-dac_override,-dac_read_search'] if ROOT and shutil.which('setpriv') else []
    done = subprocess.run([*obeying, sys.executable, '-c', SCORE, example_path('coffee')], capture_output=True, text=True, timeout=300,
                          env=dict(environment, HOME=str(home), USERPROFILE=str(home), TMPDIR=str(temporary), CUDA_VISIBLE_DEVICES='-1', TF_CPP_MIN_LOG_LEVEL='3'))
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]), done, home


def test_scoring_needs_no_network_and_no_home(scored):
    found, done, home = scored
    assert found == dict(code=0, asked=[], reporter=False)
    assert 'Traceback' not in done.stderr and list(home.iterdir()) == []
