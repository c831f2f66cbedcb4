"""What of Chainer's tests is known to fail, and why."""

import fnmatch
import re
import typing


# Kinds of reasons, in the order of the report's columns.
TEST = 'the test itself'
OLD = 'old as well'
GPU = 'GPU'
NETWORK = 'network'
CHAINERX = 'ChainerX'
DESIGN = 'by design'
KINDS = (TEST, OLD, GPU, NETWORK, CHAINERX, DESIGN)


class Known(typing.NamedTuple):

    """Failures with one reason.

    Attributes:
        kind (str): One of ``KINDS``. A failure is the test's own only where
            a line of the tests raised it, or ``chainer.testing`` did when it
            compared what the test had it compare.
        reason (str): Why they fail, and of what is gone, since when.
        error (str): A regular expression that is found in the exception's
            class and message, ``ValueError: ...``.
        tests (tuple of str): Shell patterns of the tests' ids; empty if the
            error says enough by itself.
        where (tuple of str): Requirements, such as ``'numpy>=2.0'``, that
            are all met where they fail.

    """

    kind: str
    reason: str
    error: str
    tests: tuple = ()
    where: tuple = ()

    def names(self, id_):
        """Returns whether a test is among those that it names."""
        return any(fnmatch.fnmatchcase(id_, pattern)
                   for pattern in self.tests)

    def applies(self, versions):
        """Returns whether they fail where these versions are installed."""
        # It comes with pytest.
        from packaging.requirements import Requirement
        return all(
            requirement.name in versions and requirement.specifier.contains(
                versions[requirement.name], prereleases=True)
            for requirement in map(Requirement, self.where))

    def explains(self, id_, failure):
        """Returns whether a failure is one of these."""
        return ((not self.tests or self.names(id_))
                and (self.kind != TEST or is_raised_by_test(failure)
                     or failure['raised_by'].startswith('chainer/testing/'))
                and bool(re.search(
                    self.error, f"{failure['error']}: {failure['message']}")))


def is_raised_by_test(failure):
    """Returns whether a line of the tests raised it, not one of Chainer."""
    return re.match(r'\w+_tests/', failure['raised_by']) is not None


def lost_name(failure):
    """Returns the name of NumPy's that a test uses and that is gone.

    Args:
        failure (dict): As the worker describes it.

    Returns:
        str or None: Such as ``'numpy.int'``.

    """
    found = re.match(r"module 'numpy' has no attribute '(\w+)'|"
                     r'`np\.(\w+)` was removed', failure['message'])
    if (found is None or failure['error'] != 'AttributeError'
            or not is_raised_by_test(failure)):
        return None
    return f'numpy.{found.group(1) or found.group(2)}'


# Failures by a name that NumPy has lost are not in it: such a test is run
# again where NumPy has the name.
KNOWN = (
    Known(TEST, 'makes an unsigned number of -1, which NumPy 2.0 refuses',
          r'OverflowError: Python integer -1 out of bounds for uint',
          tests=('chainer_tests/functions_tests/array_tests/'
                 'test_pad_sequence.py::*',),
          where=('numpy>=2.0',)),
    Known(TEST, 'sums up what it expects in float16, which NumPy 1 did in '
          'float64, and so expects nan',
          r'FunctionTestError: .*DESIRED: array\(nan, dtype=float16\)',
          tests=('chainer_tests/functions_tests/loss_tests/'
                 'test_softmax_cross_entropy.py::*::test_forward',),
          where=('numpy>=2.0',)),
    Known(TEST, 'makes a number of an array of one element, which NumPy 2.5 '
          'refuses',
          'TypeError: only 0-dimensional arrays can be converted',
          tests=('chainer_tests/functions_tests/math_tests/test_det.py::'
                 '*::test_det_*',),
          where=('numpy>=2.5',)),
    Known(TEST, 'starts a Python that imports Chainer without mixnorm',
          r'AssertionError: Import test failed\.',
          tests=('chainer_tests/backends_tests/test_cuda.py::'
                 'TestCudaModuleAliasForBackwardCompatibility::*',)),
    Known(TEST, 'calls pytest.warns(None), which pytest 8.0 refuses',
          'TypeError: exceptions must be derived from Warning',
          tests=('onnx_chainer_tests/test_export_testcase.py::'
                 'test_check_warning',),
          where=('pytest>=8.0',)),
    Known(NETWORK, 'downloads MNIST',
          'URLError: ',
          tests=('chainermn_tests/extensions_tests/'
                 'test_multi_node_snapshot.py::test_multinode_autoload',)),
    Known(CHAINERX, 'uses ChainerX without the mark',
          'RuntimeError: Tried to parse ChainerX device specifier|'
          "AttributeError: module 'chainerx' has no attribute",
          tests=('chainermn_tests/*',)),
    Known(DESIGN, "asks for iDeep's own arrays; mixnorm.ideep computes on "
          "NumPy's",
          r'mdarray|^AssertionError: assert (<CpuDevice|not True)',
          tests=('chainer_tests/backends_tests/test_cpu.py::*ideep_always*',
                 'chainer_tests/backends_tests/test_intel64.py::'
                 'TestIntel64Device::test_from_array',
                 'chainer_tests/serializers_tests/test_npz.py::'
                 '*::test_deserialize_ideep',
                 'chainer_tests/test_backend.py::TestCopyTo*::test_from_*',
                 'chainer_tests/test_link.py::TestIntel64::'
                 'test_cpu_to_intel64',
                 'chainer_tests/test_variable.py::TestIntel64*::'
                 'test_cpu_to_intel64')),
)
