"""When Chainer's exporter learns the converters."""

import pytest

from compat_tests.programs import run_code


def test_nothing_is_loaded_before_it_is_used():
    run_code('''
        import sys
        import mixnorm
        loaded = [name for name in sys.modules
                  if name.partition('.')[0] in ('onnx', 'onnx_chainer')]
        assert not loaded, loaded
        assert 'mixnorm.exporting.mixture' not in sys.modules
        ''')


def test_exporter_that_is_loaded_already():
    pytest.importorskip('onnx')
    run_code('''
        import importlib
        import mixnorm
        from mixnorm.compat import repairs
        # As if it had been loaded before this library.
        del repairs._repairs['onnx_chainer.mapping']
        from onnx_chainer import mapping
        name = 'FixedMixtureNormalization'
        assert name not in mapping.converters
        importlib.reload(mixnorm.exporting)
        assert name in mapping.converters
        ''')
