"""The command: python3 -m stock FILE."""

import argparse
import sys

from stock.items import read_items
from stock.report import text_report


def main(arguments=None):
    """Print the report; return the exit code."""
    parser = argparse.ArgumentParser(prog="stock")
    parser.add_argument("file")
    options = parser.parse_args(arguments)
    try:
        items = read_items(options.file)
    except (OSError, KeyError, ValueError) as error:
        print(f"stock: {options.file}: {error}", file=sys.stderr)
        return 1
    print(text_report(items))
    return 0


if __name__ == "__main__":
    sys.exit(main())
