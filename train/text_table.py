"""Tables of text."""


def text_table(rows):
    """Returns a table as text, a line for each row.

    Args:
        rows (list of sequences): The rows' cells: strings or numbers, or
            ``None`` where there is nothing to tell. The first column is
            aligned on the left, the others on the right.

    Returns:
        str: The lines.

    """
    rows = [['-' if cell is None else str(cell) for cell in row]
            for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return '\n'.join('  '.join(
        [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
        for row in rows)
