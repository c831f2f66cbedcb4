"""What links get when a network runs."""

import chainer


class Shapes(chainer.LinkHook):

    """Notes the shape of what each link of a model gets, by path.

    Args:
        model (~chainer.Link): The model.

    """

    name = 'shapes'

    def __init__(self, model):
        super().__init__()
        self.found = {}
        self._paths = {id(link): path for path, link in model.namedlinks()}

    def forward_preprocess(self, args):
        self.found[self._paths[id(args.link)]] = args.args[0].shape


def shapes(model, x):
    """Runs a model in test mode and returns the shapes, by path."""
    with Shapes(model) as hook, chainer.no_backprop_mode(), \
            chainer.using_config('train', False):
        model(x)
    return hook.found
