"""The command: python3 -m logstat FILE [--by path|hour]."""

import argparse
import json
import sys

from logstat.records import BadLine, read_records
from logstat.stats import by_hour, by_path


def main(arguments=None):
    """Print statistics as JSON."""
    parser = argparse.ArgumentParser(prog="logstat")
    parser.add_argument("file")
    parser.add_argument("--by", choices=("path", "hour"), default="path")
    options = parser.parse_args(arguments)
    try:
        with open(options.file, encoding="utf-8") as file:
            records = list(read_records(file))
    except (OSError, BadLine) as error:
        print(f"logstat: {error}", file=sys.stderr)
        return 1
    print(json.dumps((by_path if options.by == "path" else by_hour)(records), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
