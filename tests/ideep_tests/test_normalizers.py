"""This library's layers between layers that iDeep computes."""

import chainer
import chainer.functions as F
import chainer.links as L
import numpy
import pytest

import mixnorm
from ideep_tests.comparison import normal


class Net(chainer.Chain):

    def __init__(self, name):
        super().__init__()
        numpy.random.seed(0)
        options = {'seed': 0} if 'mixture' in name else {}
        if name == 'group_mixture':
            options['groups'] = 2
        with self.init_scope():
            self.conv1 = L.Convolution2D(3, 8, 3, pad=1, nobias=True)
            self.norm = mixnorm.normalizer(name, 8, **options)
            self.conv2 = L.Convolution2D(8, 4, 3)

    def forward(self, x):
        h = F.max_pooling_2d(F.relu(self.norm(self.conv1(x))), 3, 2)
        return self.conv2(h)


def _train(name, level):
    """Returns outputs, gradients and test output over three updates."""
    model = Net(name)
    optimizer = chainer.optimizers.SGD(lr=.1).setup(model)
    found = []
    with chainer.using_config('use_ideep', level):
        for i in range(3):
            y = model(normal(16, 3, 9, 9, seed=i))
            model.cleargrads()
            F.mean(y ** 2).backward()
            optimizer.update()
            found += [y.array] + [
                param.grad for _, param in sorted(model.namedparams())]
        with chainer.using_config('train', False):
            found.append(model(normal(16, 3, 9, 9, seed=3)).array)
    return found


@pytest.mark.parametrize('name', sorted(mixnorm.normalizer_names()))
def test_normalizer(name, used):
    for found, expected in zip(_train(name, 'always'), _train(name, 'never')):
        numpy.testing.assert_allclose(
            found, expected, 2e-3, 1e-4 * abs(expected).max())
    assert used >= {'convolution2D.Forward', 'convolution2D.BackwardWeights',
                    'convolution2D.BackwardData', 'pooling2D.Forward',
                    'pooling2D.Backward', 'relu.Forward', 'relu.Backward'}
