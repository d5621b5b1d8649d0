"""`python -m synthbench.llm_gateway`."""

import uvloop

from synthbench.chassis.process import run_service
from synthbench.contracts.registry import Service
from synthbench.llm_gateway.bootstrap import bootstrap
from synthbench.llm_gateway.settings import GatewaySettings

if __name__ == "__main__":
    run_service(Service.LLM_GATEWAY, GatewaySettings, bootstrap, new_loop=uvloop.new_event_loop)
