"""`python -m synthbench.collector`."""

from synthbench.chassis.process import run_service
from synthbench.collector.bootstrap import bootstrap
from synthbench.collector.settings import CollectorSettings
from synthbench.contracts.registry import Service

if __name__ == "__main__":
    run_service(Service.COLLECTOR, CollectorSettings, bootstrap)
