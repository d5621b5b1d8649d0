"""`python -m synthbench.scheduler`."""

from synthbench.chassis.process import run_service
from synthbench.contracts.registry import Service
from synthbench.scheduler.bootstrap import bootstrap
from synthbench.scheduler.settings import SchedulerSettings

if __name__ == "__main__":
    run_service(Service.SCHEDULER, SchedulerSettings, bootstrap)
