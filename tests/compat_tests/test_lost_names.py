"""Names that NumPy has lost, given back."""

import numpy
import pytest

from compat_tests.programs import run_code


# What each is in NumPy 1.19, the last with all of them and no warning.
USES = '''
import numpy
assert numpy.dtype(numpy.int) == numpy.int64
assert numpy.dtype(numpy.float) == numpy.float64
assert numpy.dtype(numpy.bool) == numpy.bool_
assert numpy.dtype(numpy.object) == numpy.object_
assert numpy.array([1, 2], numpy.str).tolist() == ['1', '2']
assert numpy.float_ is numpy.float64 and numpy.complex_ is numpy.complex128
assert numpy.asscalar(numpy.array([3])) == 3
assert numpy.in1d([[1, 2], [3, 4]], [2, 3]).tolist() == [0, 1, 1, 0]
assert numpy.in1d([1, 2], [2], invert=True).tolist() == [1, 0]
assert numpy.product([2, 3]) == 6
assert numpy.cumproduct([2, 3]).tolist() == [2, 6]
assert numpy.sometrue([0, 1]) and not numpy.alltrue([0, 1])
assert numpy.alen([[1, 2, 3]]) == 1
assert numpy.asfarray([1, 2]).dtype == numpy.float64
assert numpy.asfarray([1, 2], 'f').dtype == numpy.float32
assert numpy.asfarray([1, 2], int).dtype == numpy.float64
assert numpy.msort(numpy.array([[2, 1], [0, 3]])).tolist() == [[0, 1], [2, 3]]
assert numpy.Inf == numpy.PINF == -numpy.NINF == numpy.infty == 1e999
assert numpy.isnan(numpy.NaN)
assert numpy.float32 in numpy.sctypes['float']
assert numpy.trapz([1, 3]) == 2
assert numpy.round_(1.26, 1) == 1.3
assert numpy.row_stack(([1], [2])).tolist() == [[1], [2]]
assert (numpy.mat('1 2; 3 4') * [[1], [1]]).tolist() == [[3], [7]]
try:
    numpy.sum(numpy.zeros(2), axis=1)
    assert False
except numpy.AxisError:
    pass
assert issubclass(numpy.ComplexWarning, RuntimeWarning)
assert issubclass(numpy.RankWarning, Warning)
assert issubclass(numpy.VisibleDeprecationWarning, UserWarning)
'''


def test_names_are_back():
    run_code('import mixnorm\nmixnorm.compat.restore_numpy_names()' + USES,
             '-W', 'ignore')


@pytest.mark.skipif(
    numpy.lib.NumpyVersion(numpy.__version__) < '1.24.0',
    reason='this NumPy has them')
def test_nothing_is_set_unasked():
    run_code('''
        import mixnorm
        import numpy
        assert not hasattr(numpy, 'int')
        ''', '-W', 'ignore')


def test_what_numpy_has_stays():
    run_code('''
        import mixnorm
        import numpy
        before = dict(vars(numpy))
        names = mixnorm.compat.restore_numpy_names()
        assert all(getattr(numpy, name) is value
                   for name, value in before.items())
        assert not before.keys() & set(names)
        assert all(hasattr(numpy, name) for name in names)
        assert mixnorm.compat.restore_numpy_names() == []
        ''', '-W', 'ignore')
