"""`python -m synthbench.collector`."""

import uvloop

from synthbench.chassis.process import run_service
from synthbench.collector.bootstrap import bootstrap
from synthbench.collector.settings import CollectorSettings
from synthbench.contracts.registry import Service

if __name__ == "__main__":
    run_service(Service.COLLECTOR, CollectorSettings, bootstrap, new_loop=uvloop.new_event_loop)
