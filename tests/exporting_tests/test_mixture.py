"""Queues in which digits are easily lost, exported to ONNX."""

import chainer
import mixnorm
import numpy
import pytest

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

from tests.exporting_tests.runtimes import (  # NOQA
    assert_close, export, in_onnxruntime, in_reference)
from tests.functions_tests import equations  # NOQA
