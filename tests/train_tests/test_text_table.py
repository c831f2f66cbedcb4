from train.text_table import text_table


def test_text_table():
    assert text_table([['name', 'n', 'share'], ('a', 1000, None),
                       ['longer', 2, '0.50']]) == (
        'name       n  share\n'
        'a       1000      -\n'
        'longer     2   0.50')
