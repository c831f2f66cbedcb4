import json
import re
import sys

import chainer
import numpy
import pytest

onnx = pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')

from models.cifar_cnn import CifarCNN  # NOQA
from tools import export  # NOQA
from train import classifier  # NOQA
from train.run_model import load_run  # NOQA
from train_tests.small_runs import SMALL  # NOQA


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A run of mixture normalization at conv3."""
    path = tmp_path_factory.mktemp('runs') / 'a'
    assert classifier.main([
        '--normalizer', 'mixture', '--at', 'conv3', *SMALL, '--epoch', '2',
        '--out', str(path)]) == 0
    return path


@pytest.fixture
def run_export(folder, tmp_path, capfd):
    """Exports the run; returns status, output, errors and the file."""
    def run_export(*arguments):
        capfd.readouterr()
        out = tmp_path / 'exported' / 'model.onnx'
        try:
            status = export.main([
                str(folder), '--out', str(out), *map(str, arguments)])
        except SystemExit as stop:
            status = stop.code
        return (status, *capfd.readouterr(), out)
    return run_export


@pytest.fixture
def with_model(folder, monkeypatch):
    """Has the run be that of another network."""
    def with_model(*args, **kwargs):
        numpy.random.seed(0)
        model = CifarCNN(*args, **kwargs)
        run = load_run(str(folder))._replace(model=model)
        monkeypatch.setattr(export, 'load_run', lambda path: run)
        return model, run.test.images
    return with_model


def _scores(folder):
    run = load_run(str(folder))
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        return run.test, run.model(run.test.images).array


def test_file(folder, run_export):
    status, output, errors, out = run_export()
    assert (status, errors) == (0, '')
    test, expected = _scores(folder)
    session = onnxruntime.InferenceSession(
        str(out), providers=['CPUExecutionProvider'])
    for part in slice(None), slice(3, 4):
        scores, = session.run(['scores'], {'images': test.images[part]})
        numpy.testing.assert_allclose(scores, expected[part], atol=1e-4)
    exported = onnx.load(str(out))
    onnx.checker.check_model(exported, full_check=True)
    # No parameter is an input.
    assert [[dim.dim_param or dim.dim_value
             for dim in value.type.tensor_type.shape.dim]
            for value in [*exported.graph.input, *exported.graph.output]
            ] == [['batch', 1, 16, 16], ['batch', 10]]
    settings, = exported.metadata_props
    assert json.loads(settings.value) == json.loads(
        (folder / 'run.json').read_text())['settings']
    accuracy = f'{(expected.argmax(axis=1) == test.labels).mean():.4f}'
    assert (f'30 test images: {accuracy} in Chainer, {accuracy} in '
            'onnxruntime') in output
    assert list(out.parent.iterdir()) == [out]


def test_number_of_images(folder, run_export):
    test, expected = _scores(folder)
    accuracy = (expected[:7].argmax(axis=1) == test.labels[:7]).mean()
    _, output, _, _ = run_export('--images', 7)
    assert f'on 7 test images: {accuracy:.4f} in Chainer' in output


def test_reference_evaluator_where_there_is_no_onnxruntime(
        monkeypatch, run_export):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    status, output, _, out = run_export()
    assert status == 0 and out.exists()
    assert "in ONNX's reference evaluator" in output


@pytest.mark.parametrize('error', [1e-2, numpy.nan])
def test_nothing_is_written_that_differs(error, monkeypatch, run_export):
    _, _, _, out = run_export()
    before = out.read_bytes()
    make = export.make_evaluator

    def make_worse(exported):
        name, evaluate = make(exported)
        return name, lambda images: evaluate(images) + numpy.float32(error)

    monkeypatch.setattr(export, 'make_evaluator', make_worse)
    status, output, errors, out = run_export()
    assert status == 2
    assert re.search(r"not written: onnxruntime [\d.]+'s scores", errors)
    assert 'largest difference of scores: ' in output
    assert out.read_bytes() == before
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize('name', ['onnx', 'onnxruntime'])
def test_package_that_is_too_old(name, monkeypatch, run_export):
    monkeypatch.setattr(sys.modules[name], '__version__', '1.9.0')
    status, _, errors, out = run_export()
    assert status == 2 and not out.exists()
    assert re.fullmatch(
        rf'.*: error: {name} 1.9.0 is too old: pip install -U '
        r'mixnorm\[onnx\]\n', errors)


def test_without_onnx(monkeypatch, run_export):
    monkeypatch.setitem(sys.modules, 'onnx', None)
    status, _, errors, out = run_export()
    assert status == 2 and not out.exists()
    assert re.fullmatch(
        r'.*: error: exporting needs the package onnx: pip install '
        r'mixnorm\[onnx\]\n', errors)


def test_layer_without_state(with_model, run_export):
    with_model(10, 1, (4, 4, 4, 8), {'conv2': 'mixture'})
    status, _, errors, out = run_export()
    assert status == 2 and not out.exists()
    assert re.search(
        r'error: /conv2/norm: .*MixtureNormalization.* has seen no training '
        r'mini-batch.*\n$', errors)
    assert errors.count('\n') == 1


def test_layer_that_cannot_be_exported(with_model, run_export):
    model, images = with_model(
        10, 1, (4, 4, 4, 8), {'conv4': 'group_mixture'})
    with chainer.no_backprop_mode():
        model(images)
    status, _, errors, out = run_export()
    assert status == 2 and not out.exists()
    assert re.search(
        r'error: /conv4/norm: group mixture normalization cannot be exported '
        r'to ONNX: it fits a mixture to each sample.*\n$', errors)
    assert errors.count('\n') == 1


def test_out_that_is_a_folder(tmp_path, run_export):
    (tmp_path / 'exported' / 'model.onnx').mkdir(parents=True)
    status, _, errors, _ = run_export()
    assert status == 2 and 'model.onnx is a folder: name a file' in errors


def test_out_that_is_the_snapshot(folder, capfd):
    snapshot = folder / 'snapshot.npz'
    before = snapshot.read_bytes()
    for run in folder, snapshot:
        assert export.main([str(run), '--out', str(snapshot)]) == 2
        assert "snapshot.npz is the run's snapshot" in capfd.readouterr().err
    assert snapshot.read_bytes() == before
