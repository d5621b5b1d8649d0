"""By what costs are added up. Pure."""

BY = ("model", "campaign", "category", "day")


class NoSuchGrouping(ValueError):
    """Costs are not added up by this."""


def grouping(name: str) -> str:
    """Return the grouping of that name.

    Raises:
        NoSuchGrouping: there is none; with those that there are.
    """
    if name not in BY:
        raise NoSuchGrouping(f"costs are added up by one of {', '.join(BY)}, not by {name!r}")
    return name
