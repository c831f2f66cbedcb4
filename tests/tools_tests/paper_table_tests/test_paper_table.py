"""The script as its users meet it."""

import re

import pytest

from tools.paper_table import __main__ as paper_table
from tools.paper_table import layout
from tools.paper_table.comparison import Figure, Line
from tools.paper_table.published import Column, Table
from tools_tests.paper_table_tests.runs import (
    write_run, write_series, write_throughput)


TABLE = Table('T', 'A title', 'classifier', (
    Column('steps', 'steps', 2, ''), Column('error', '', 1, '')), (), 'End.')

GROUPS = [[
    Line('a-BN', (Figure(1.5), Figure(26.9, 1.)),
         (Figure(float('inf'), None, '1 of 3'), Figure(25.04, .25)), 3,
         True, ('first', 'second')),
    Line('a-MN', (Figure(float('inf')), None), (None, Figure(3.)), 1, False,
         ('second',))], [Line('b-BN', (None, None), (None, None), 0, True,
                              ())]]


def test_text():
    lines = layout.as_text(TABLE, GROUPS).splitlines()
    assert [re.split('  +', line) for line in lines] == [
        ['A title'], [''],
        ['row', 'paper steps', 'ours steps', 'paper', 'ours', 'runs',
         'notes'],
        ['a-BN', '1.50', 'not reached (1 of 3)', '26.9 +- 1.0',
         '25.0 +- 0.2', '3', '[1] [2]'],
        ['a-MN', 'not reached', '-', '-', '3.0', '1', '[2]'],
        ['b-BN', '-', '-', '-', '-', '-'],
        [''], ['[1] first'], ['[2] second'], ['End.']]


def test_markdown():
    assert layout.as_markdown(TABLE, GROUPS).splitlines() == [
        '### A title', '',
        '| row | paper steps | ours steps | paper | ours | runs | notes |',
        '| --- | ---: | ---: | ---: | ---: | ---: | ---: |',
        '| a-BN | 1.50 | not reached (1 of 3) | 26.9 +- 1.0 | 25.0 +- 0.2 '
        '| 3 | [1] [2] |',
        '| a-MN | not reached | - | - | 3.0 | 1 | [2] |',
        '| b-BN | - | - | - | - | - |  |', '',
        '- [1] first', '- [2] second', '- End.']


@pytest.fixture
def run(capsys):
    """Runs the script; returns status, output and errors."""
    def run(*arguments):
        try:
            status = paper_table.main(list(map(str, arguments)))
        except SystemExit as stop:
            status = stop.code
        return (status, *capsys.readouterr())
    return run


def _row(output, recipe):
    line, = (line for line in output.splitlines()
             if line.startswith(f'{recipe} '))
    return re.split('  +', line)[1:]


def _titles(output):
    return re.findall('^(Table [^ ]*|Section|Figure 6|The repository)',
                      output, re.M)


def test_all_tables_without_results(run):
    status, output, _ = run()
    assert status == 0
    assert _titles(output) == [
        'Table II', 'Table III', 'Table IV', 'Table V', 'Table VI',
        'Table VII', 'Section', 'Figure 6', 'Table 1', 'Table 2', 'Table 3',
        'Table 4', 'Table 5', 'The repository']
    assert _row(output, 'cifar10-vgg13-MN')[:3] == ['7.79', '-', '-']


def test_tables_of_the_results(run, tmp_path):
    accuracies = [.5 + .004 * i for i in range(100)]
    results = [
        write_run(tmp_path / 'b', 'cifar10-cnn-BN-2', accuracies),
        write_run(tmp_path / 'm', 'cifar10-cnn-MN-2', accuracies[50:],
                  epoch=50),
        write_series(tmp_path / 's', 'multitask-MN-2',
                     [(23., 22.), (25., 24.)]),
        write_throughput(tmp_path / 't.json',
                         [('throughput-20-64-MN-2', 1.8, .9)])]
    status, output, _ = run(*results)
    assert status == 0
    assert _titles(output) == ['Table II', 'Table III', 'Table VII',
                               'Table 1']
    assert _row(output.partition('Table III')[0], 'cifar10-cnn-BN-2')[:9] == [
        '84.11', '59.60', '86.92', '69.60', '87.65', '79.60', '87.95',
        '89.60', '1']
    assert _row(output, 'multitask-MN-2')[:3] == [
        '23.16 +- 1.23', '23.00 +- 1.41', '2']
    assert _row(output, 'throughput-20-64-MN-2')[:4] == [
        '14.46', '1.80', '0.882', '0.900']
    assert ' '.join(output.split()).count('epoch 50 (100)') == 2
    status, output, _ = run(*results[:2], '--table', 'III', '--format',
                            'markdown')
    assert status == 0 and output.startswith('### Table III of')
    # 19,532 updates, and 9,766 of a run that is no match for them.
    assert '| cifar10-cnn-BN-2 | 1.95 | 1.95 | 87.95 | 89.60 | 1 |' in output
    assert '| cifar10-cnn-MN-2 | 1.34 | - | 88.47 | 89.60 | 1 |' in output


def test_plot(run, tmp_path):
    image = pytest.importorskip('matplotlib.image')
    run_folder = write_run(tmp_path / 'a', 'cifar10-cnn-MN-2', [.5] * 100)
    series = write_series(tmp_path / 's', 'multitask-MN-2',
                          [(23., 22.), (25., 24.)], lr=.1)
    heights = []
    for results in ([run_folder], [run_folder, series]):
        path = tmp_path / 'a.png'
        status, output, _ = run(*results, '--plot', path)
        assert status == 0 and f'picture: {path}' in output
        pixels = (255 * image.imread(path)[..., :3]).round()
        heights.append(len(pixels))
        # Grey: the paper. Blue: ours; red: ours, otherwise than the recipe.
        assert [(pixels == rgb).all(axis=2).any() for rgb in (
            (154, 154, 154), (0, 114, 178), (213, 94, 0))] == [
                True, True, series in results]
    assert heights[1] > heights[0]


@pytest.mark.parametrize('arguments, words', [
    (['{run}', '--table', 'IV'], 'which is no row of these tables'),
    (['{folder}/nothing'], 'there is no '),
    (['{run}', '--table', 'VIII'], "invalid choice: 'VIII'"),
    (['{run}', '--plot', '{folder}/a.foo'], 'must end in one of'),
    (['--plot', '{folder}/a.png'], 'no result to draw'),
    (['{work}'], 'nothing to show: ')])
def test_user_error_is_one_line(arguments, words, run, tmp_path):
    paths = {
        'folder': tmp_path, 'run': write_run(
            tmp_path / 'a', 'cifar10-cnn-MN-2', [.5] * 100),
        'work': write_run(tmp_path / 'b', 'cifar10-cnn-MN-2', [.5] * 9)}
    status, output, errors = run(
        *(argument.format(**paths) for argument in arguments))
    assert status == 2 and output == ''
    assert words in errors and errors.count('\n') == 1
    assert errors.startswith('python -m tools.paper_table: error: ')
    assert {path.name for path in tmp_path.iterdir()} == {'a', 'b'}
