"""The file that holds what was recorded of a run's mixtures."""
import typing

import numpy

from mixnorm.files import replacing


class Record(typing.NamedTuple):

    """What was recorded of one link, at ``R`` moments of training.

    What a kind of link does not have has 0 in place of ``K``, see
    :class:`~mixnorm.inspection.State`.

    Attributes:
        kind (str): ``'mixture'``, ``'group_mixture'``, ``'mode'`` or
            ``'mode_group'``.
        iterations (numpy.ndarray): Updates up to then, ``(R,)``, int64.
        epochs (numpy.ndarray): Epochs up to then, ``(R,)``, with their
            fractions.
        n_effective (numpy.ndarray): Effective number of components or modes,
            ``(R,)``.
        weights (numpy.ndarray): Weights or mean gates, ``(R, K)``.
        means (numpy.ndarray): ``(R, K) + size``.
        variances (numpy.ndarray): ``(R, K) + size``.

    """

    kind: str
    iterations: numpy.ndarray
    epochs: numpy.ndarray
    n_effective: numpy.ndarray
    weights: numpy.ndarray
    means: numpy.ndarray
    variances: numpy.ndarray


def read_record(file):
    """Reads what :class:`mixnorm.extensions.MixtureReport` wrote.

    Args:
        file (str): The file.

    Returns:
        dict: Maps the paths of links to their :class:`Record`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is something else, or damaged.

    """
    found = {}
    try:
        with numpy.load(file, allow_pickle=False) as arrays:
            for name in arrays.files:
                field, _, path = name.partition('/')
                found.setdefault(f'/{path}', {})[field] = arrays[name]
        records = {path: Record(**fields) for path, fields in found.items()}
        for path, record in records.items():
            if len({len(z) for z in record[1:]}) > 1:
                raise ValueError(f'the parts of {path} differ in length')
            records[path] = record._replace(kind=str(record.kind))
    except FileNotFoundError:
        raise
    except Exception as error:
        # Any bytes may stand in the file, and NumPy raises what they lead to.
        raise ValueError(f'{file} is no record of mixtures, or damaged '
                         f'({type(error).__name__}: {error})') from error
    return records


def write_record(file, records):
    """Writes records: all of them, or, if anything goes wrong, nothing.

    Whenever the process is killed, ``file`` is whole: this one or the one
    before.

    Args:
        file (str): The file.
        records (dict): Maps the paths of links to their :class:`Record`.

    """
    with replacing(file, 'wb') as stream:
        numpy.savez(stream, **{
            f'{field}{path}': value
            for path, record in sorted(records.items())
            for field, value in record._asdict().items()})
