"""What was measured on: the machine, the versions, the threads."""
import os
import platform

import mixnorm
import chainer
import numpy


def describe(device):
    """Returns a dict of the machine, the versions and the thread counts.

    Args:
        device (chainer.backend.Device): Where was measured.

    Returns:
        dict: What JSON can hold.

    """
    found = {
        'device': str(device), 'machine': platform.machine(),
        'cores': len(os.sched_getaffinity(0)),
        'threads': {name: os.environ.get(name) for name in (
            'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS',
            'OPENBLAS_THREAD_TIMEOUT')},
        'python': platform.python_version(), 'numpy': numpy.__version__,
        'chainer': chainer.__version__, 'mixnorm': mixnorm.__version__}
    with open('/proc/cpuinfo') as file:
        found['processor'] = next(
            (line.partition(':')[2].strip() for line in file
             if line.startswith('model name')), None)
    if device.xp is not numpy:
        cupy = device.xp
        properties = cupy.cuda.runtime.getDeviceProperties(device.device.id)
        found.update(cupy=cupy.__version__, gpu=properties['name'].decode(),
                     cuda=cupy.cuda.runtime.runtimeGetVersion())
    return found
