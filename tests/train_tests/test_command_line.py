import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def test_output_that_nobody_reads_any_more():
    process = subprocess.Popen([sys.executable, '-c', '''
import sys
from train.command_line import exit_status

def main():
    for number in range(100000):
        print(number)
    return 0

sys.exit(exit_status(main, 'script'))
'''], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == '0\n'
    process.stdout.close()
    assert (process.stderr.read(), process.wait()) == ('', 141)
    process.stderr.close()
