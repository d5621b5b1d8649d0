"""The command: python3 -m stock FILE."""

import argparse
import sys

from stock.items import read_items
from stock.report import SORT_KEYS, json_report, sort_items, text_report


def main(arguments=None):
    """Print the report; return the exit code."""
    parser = argparse.ArgumentParser(prog="stock")
    parser.add_argument("file")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--sort", choices=SORT_KEYS)
    options = parser.parse_args(arguments)
    try:
        items = read_items(options.file)
    except (OSError, KeyError, ValueError) as error:
        print(f"stock: {options.file}: {error}", file=sys.stderr)
        return 1
    report = json_report if options.format == "json" else text_report
    print(report(sort_items(items, options.sort)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
