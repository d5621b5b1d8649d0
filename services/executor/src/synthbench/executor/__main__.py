"""`python -m synthbench.executor`."""

from synthbench.chassis.process import run_service
from synthbench.contracts.registry import Service
from synthbench.executor.bootstrap import bootstrap
from synthbench.executor.settings import ExecutorSettings

if __name__ == "__main__":
    run_service(Service.EXECUTOR, ExecutorSettings, bootstrap)
