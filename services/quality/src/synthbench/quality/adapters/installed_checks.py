"""The checks that are installed, found by entry points `synthbench.checks`."""

from importlib.metadata import entry_points

from synthbench.chassis.errors import SettingsError
from synthbench.quality.domain.check import Check, Gate, Weight

ENTRY_POINTS = "synthbench.checks"


def load_checks() -> list[Check]:
    """Load every installed check, ordered by the names of their entry points.

    Raises:
        SettingsError: one does not say how it enters the verdict, or two share a name.
    """
    checks: list[Check] = []
    for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        check: Check = entry.load()()
        if not isinstance(getattr(check, "effect", None), Gate | Weight):
            raise SettingsError(f"the check {entry.name} ({entry.value}) needs an `effect`: Gate() or Weight(exponent)")
        if check.name in [one.name for one in checks]:
            raise SettingsError(f"two installed checks are called {check.name}; uninstall one of them")
        checks.append(check)
    return checks
