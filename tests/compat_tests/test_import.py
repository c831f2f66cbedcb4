"""Chainer made to run by mixnorm.compat: what is repaired, and what is not.

Most of it depends on what is imported first, so it runs in new interpreters.
What the repairs are for is in test_survey_*.py.
"""

import textwrap
import warnings

import chainer
import chainer.functions as F
import numpy
import pytest

from compat_tests.programs import run_code

# Packages that the machine need not have, as far as Chainer looks at them.
PKG_RESOURCES = '''
class DistributionNotFound(Exception):
    pass

class VersionConflict(Exception):
    pass

asked = []

def require(requirement):
    asked.append(requirement)
    raise DistributionNotFound
'''
BROKEN = 'raise AttributeError("made for another Python")'
CUPY = '''
__version__ = '{}.0.0'

class ndarray(object):
    pass

class ElementwiseKernel(object):
    def __init__(self, *args, **kwargs):
        pass

def get_default_memory_pool():
    pass

get_default_pinned_memory_pool = get_default_memory_pool

def memoize(for_each_device=False):
    return lambda function: function

def fuse(*args, **kwargs):
    return args[0] if args else lambda function: function
'''
CUPY_CUDA = '''
from cupy.cuda import cublas

class Device(object):
    pass

class Event(object):
    pass

class Stream(object):
    pass
'''


def _packages(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return str(folder)


def _cupy(folder, version):
    return _packages(folder, {
        'cupy/__init__.py': CUPY.format(version),
        'cupy/_util.py': 'class PerformanceWarning(Warning): pass',
        'cupy/cuda/__init__.py': CUPY_CUDA,
        'cupy/cuda/cublas.py': '',
        'cupyx/__init__.py': '',
        'cupyx/scipy/__init__.py': '',
        'cupyx/scipy/linalg.py': '',
        'cupyx/scipy/special.py': ''})


# A program's first lines that let Chainer be imported without mixnorm, as a
# user's own workaround would.
WORKAROUND = '''
import sys
import types
import numpy
for name in ('numpy.distutils', 'numpy.distutils.system_info',
             'pkg_resources'):
    sys.modules[name] = types.ModuleType(name)
numpy.distutils = sys.modules['numpy.distutils']
pkg_resources = sys.modules['pkg_resources']
pkg_resources.require = lambda requirement: None
pkg_resources.DistributionNotFound = pkg_resources.VersionConflict = KeyError
numpy.sctypes = {
    'int': [numpy.int8, numpy.int16, numpy.int32, numpy.int64],
    'float': [numpy.float16, numpy.float32, numpy.float64]}
import warnings
with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    import chainer
'''

USE = '''
import chainer.functions as F
x = chainer.Variable(numpy.arange(9, dtype=numpy.float32))
F.sum(F.as_strided(x, (4, 3), (2, 1))).backward()
assert x.grad.tolist() == [1, 1, 2, 1, 2, 1, 2, 1, 1], x.grad
with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    y = F.resize_images(numpy.ones((1, 1, 2, 2), numpy.float32), (4, 4))
assert y.shape == (1, 1, 4, 4) and abs(y.array - 1).max() < 1e-6, y
'''


def test_import_is_quiet():
    assert run_code('import mixnorm, chainer, chainer.testing',
                    '-W', 'error') == ''


def test_import_leaves_numpy_as_it_was():
    assert run_code('''
        import sys
        import types
        import numpy
        before = dict(vars(numpy))
        import mixnorm
        import chainer.testing
        for name, value in vars(numpy).items():
            if not isinstance(value, types.ModuleType):
                assert before.get(name) is value, name
        assert before.keys() <= vars(numpy).keys()
        ''') == ''


def test_no_stand_in_stays_behind():
    assert run_code('''
        import sys
        import mixnorm
        import chainer.testing
        import chainer.testing.doctest_helper
        for name in ('pkg_resources', 'numpy.distutils'):
            if name in sys.modules:
                assert sys.modules[name].__file__
        ''') == ''


def test_import_from_several_threads():
    assert run_code('''
        import threading
        errors = []
        def load():
            try:
                import mixnorm
                import chainer
                chainer.Variable
            except BaseException as error:
                errors.append(error)
        threads = [threading.Thread(target=load) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(errors)
        ''') == '[]\n'


def test_chainer_first_where_it_works():
    assert run_code(WORKAROUND + '''
del numpy.sctypes
import mixnorm
''' + USE) == ''


def test_chainer_first_where_it_fails(tmp_path):
    said = run_code('''
        import sys
        class Obstacle(object):
            def find_spec(self, name, path=None, target=None):
                if name == 'chainer.distributions':
                    raise ImportError('in the way')
        sys.meta_path.insert(0, Obstacle())
        try:
            import chainer
        except Exception as error:
            print(type(error).__name__)
        del sys.meta_path[0]
        for _ in range(2):
            try:
                import mixnorm
            except ImportError as error:
                print(error)
        ''').splitlines()
    assert len(said) == 3
    assert said[1] == said[2]
    assert 'import mixnorm first, before chainer' in said[1]


@pytest.mark.parametrize('pkg_resources', [None, BROKEN],
                         ids=['missing', 'broken'])
def test_without_pkg_resources(pkg_resources, tmp_path):
    path = _packages(tmp_path, {'pkg_resources.py': pkg_resources or '''
        raise ModuleNotFoundError("No module named 'pkg_resources'")
        '''})
    assert run_code('''
        import mixnorm
        from chainer import testing
        def is_skipped(decorator):
            return hasattr(decorator(lambda: None), '__unittest_skip__')
        assert not is_skipped(testing.with_requires('numpy>=1.0', 'chainer'))
        assert is_skipped(testing.with_requires('numpy>=1.0', 'numpy<1.0'))
        assert is_skipped(testing.with_requires('there-is-no-such-thing'))
        assert is_skipped(testing.without_requires('numpy'))
        assert not is_skipped(testing.without_requires('numpy<1.0'))
        ''', path=[path]) == ''


ASKED = '''
import sys
import types
import numpy
for name in ('numpy.distutils', 'numpy.distutils.system_info'):
    sys.modules[name] = types.ModuleType(name)
numpy.distutils = sys.modules['numpy.distutils']
import mixnorm
import pkg_resources
print(*pkg_resources.asked)
'''


def test_environment_check_is_kept_where_it_works(tmp_path):
    path = _packages(tmp_path, {
        'pkg_resources.py': PKG_RESOURCES,
        'ideep4py.py': ''})
    assert 'ideep4py>=2.0.0.post3, <2.1' in run_code(ASKED, path=[path])


@pytest.mark.parametrize('version', [8, 14])
def test_new_cupy_is_not_reported(version, tmp_path):
    _packages(tmp_path, {'pkg_resources.py': PKG_RESOURCES})
    asked = run_code(ASKED, path=[_cupy(tmp_path, version)]).split()
    assert 'cupy>=7.7.0' in asked


CUDNN = '''
import mixnorm
import chainer
from chainer.backends import cuda
assert cuda.available
assert not chainer.should_use_cudnn('>=auto')
with chainer.using_config('use_cudnn', 'always'):
    assert not chainer.should_use_cudnn('==always')
cuda.check_cuda_available()
'''


def test_cudnn_stays_off_quietly(tmp_path):
    path = _cupy(tmp_path, 14)
    assert run_code(CUDNN, '-W', 'error', path=[path]) == ''


def test_cudnn_is_missed_where_cupy_could_have_it(tmp_path):
    said = run_code(CUDNN, path=[_cupy(tmp_path, 7)])
    assert 'UserWarning: cuDNN is not enabled' in said


def test_cudnn_is_used_where_cupy_has_it(tmp_path):
    path = _packages(tmp_path, {
        'cupy/cudnn.py': '',
        'cupy/cuda/cudnn.py': '''
            def getVersion():
                return 8000

            def __getattr__(name):
                assert name.startswith('CUDNN_'), name
                return 0
            '''})
    assert run_code('''
        import mixnorm
        import chainer
        print(chainer.should_use_cudnn('>=auto', 7000))
        ''', path=[_cupy(tmp_path, 13), path]) == 'True\n'


@pytest.mark.parametrize('call', [
    lambda: F.fix(numpy.array([-1.5, 1.5])),
    lambda: chainer.dataset.concat_examples(
        [numpy.ones(1), numpy.ones(2)], padding=0),
], ids=['fix', 'padding'])
@pytest.mark.skipif(numpy.lib.NumpyVersion(numpy.__version__) < '1.24.0',
                    reason='fits Chainer natively')
def test_use_is_quiet(call):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        call()
