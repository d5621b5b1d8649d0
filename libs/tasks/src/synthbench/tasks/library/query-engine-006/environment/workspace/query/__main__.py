"""The command: python3 -m query "SELECT …" NAME=FILE.csv …"""

import csv
import sys

from query import Database, QueryError


def main(arguments):
    """Print the result as CSV; NULL is empty."""
    if not arguments:
        print("usage: query QUERY NAME=FILE.csv …", file=sys.stderr)
        return 2
    database = Database()
    try:
        for argument in arguments[1:]:
            name, _, path = argument.partition("=")
            database.load(name, path)
        names, rows = database.run(arguments[0])
    except (OSError, QueryError) as error:
        print(f"query: {error}", file=sys.stderr)
        return 1
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(["" if value is None else value for value in row] for row in rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
