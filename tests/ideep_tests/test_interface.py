"""What Chainer asks of iDeep beside its operators."""

import os
import subprocess
import sys

import chainer
from chainer.backends import intel64
import chainer.functions as F
import numpy
import pytest

from ideep_tests.without_torch import WITHOUT_TORCH
from mixnorm import ideep


def _python(code, path=()):
    """Runs a program, which finds packages in further folders first."""
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(
            map(str, [*path, os.getcwd()]))))
    return result.returncode, result.stdout, result.stderr


@pytest.fixture
def fake_torch(tmp_path):
    """A folder with a PyTorch that says when it is imported."""
    package = tmp_path / 'torch'
    package.mkdir()
    (package / '__init__.py').write_text("raise ImportError('imported')\n")
    information = tmp_path / 'torch-2.3.0.dist-info'
    information.mkdir()
    (information / 'METADATA').write_text(
        'Metadata-Version: 2.1\nName: torch\nVersion: 2.3.0\n')
    return tmp_path


def test_torch_is_imported_when_an_operator_is_used(fake_torch):
    status, output, errors = _python('''
import mixnorm, chainer, numpy
from chainer.backends import intel64
print(intel64.is_ideep_available(), intel64.ideep.__version__)
x = numpy.ones((2, 3), 'f')
chainer.functions.relu(x)
chainer.config.use_ideep = 'auto'
chainer.functions.relu(x.astype('d'))
print('so far')
chainer.functions.relu(x)
''', [fake_torch])
    assert output == 'True PyTorch 2.3.0\nso far\n'
    assert status == 1 and errors.endswith('ImportError: imported\n')


def test_without_torch(tmp_path):
    # A folder of that name is no installation.
    (tmp_path / 'torch').mkdir()
    status, output, errors = _python(WITHOUT_TORCH + '''
import mixnorm, chainer, numpy
from chainer.backends import intel64
print(intel64.is_ideep_available())
x = numpy.ones((2, 3), 'f')
chainer.config.use_ideep = 'auto'
print(chainer.functions.relu(x).array.sum())
chainer.config.use_ideep = 'always'
chainer.functions.relu(x)
''', [tmp_path])
    assert output == 'False\n6.0\n'
    assert status == 1
    assert errors.splitlines()[-1].endswith(
        "PyTorch 2.3 or newer is needed, and is not installed: "
        "pip install 'mixnorm[cpu]'")


@pytest.mark.parametrize('version, is_new_enough', [
    ('1.13.1', False), ('2.2.2+cpu', False), ('2.3.0', True),
    ('2.13.0a0+git1234', True), ('10.0', True)])
def test_versions(version, is_new_enough, monkeypatch):
    monkeypatch.setattr(
        ideep.importlib.metadata, 'version', lambda name: version)
    reason = ideep.reason_unavailable()
    if is_new_enough:
        assert reason is None
    else:
        assert version in str(reason) and 'mixnorm[cpu]' in str(reason)


def test_remains_of_an_installation(tmp_path):
    (tmp_path / 'torch-2.5.0.dist-info').mkdir()
    assert _python('''
import mixnorm
from chainer.backends import intel64
print(intel64.is_ideep_available(), mixnorm.ideep.reason_unavailable())
''', [tmp_path])[1] == (
        "False PyTorch 2.3 or newer is needed, and is not installed: "
        "pip install 'mixnorm[cpu]'\n")


def test_no_array_is_of_ideeps_class():
    assert not isinstance(numpy.ones(3, numpy.float32), intel64.mdarray)


def test_intel64_leaves_arrays_as_they_are(used):
    link = chainer.links.Linear(3, 2)
    W = link.W.array
    link.to_device('@intel64')
    assert type(link.W.array) is numpy.ndarray
    numpy.testing.assert_array_equal(link.W.array, W)
    assert chainer.get_device('@intel64').send(W) is W


def test_unknown_names_are_unknown():
    with pytest.raises(AttributeError, match='convolution3D'):
        ideep.convolution3D


def test_results_are_the_same_every_time(used):
    def gradient():
        random = numpy.random.RandomState(0)
        x, W, gy = (random.standard_normal(shape).astype(numpy.float32)
                    for shape in ((8, 16, 9, 9), (32, 16, 3, 3),
                                  (8, 32, 7, 7)))
        x, W = chainer.Variable(x), chainer.Variable(W)
        y = F.convolution_2d(x, W)
        y.grad = gy
        y.backward()
        return y.array, x.grad, W.grad

    with chainer.using_config('use_ideep', 'always'):
        expected = gradient()
        for _ in range(5):
            for x, y in zip(gradient(), expected):
                numpy.testing.assert_array_equal(x, y)
    assert 'convolution2D.BackwardWeights' in used
