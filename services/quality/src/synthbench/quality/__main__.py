"""`python -m synthbench.quality`."""

from synthbench.chassis.process import run_service
from synthbench.contracts.registry import Service
from synthbench.quality.bootstrap import bootstrap
from synthbench.quality.settings import QualitySettings

if __name__ == "__main__":
    run_service(Service.QUALITY, QualitySettings, bootstrap)
