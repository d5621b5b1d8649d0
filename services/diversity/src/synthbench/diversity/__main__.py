"""`python -m synthbench.diversity`."""

from synthbench.chassis.process import run_service
from synthbench.contracts.registry import Service
from synthbench.diversity.bootstrap import bootstrap
from synthbench.diversity.settings import DiversitySettings

if __name__ == "__main__":
    run_service(Service.DIVERSITY, DiversitySettings, bootstrap)
