"""The bus of a stack, for commands that submit, follow or repair."""

from pydantic import SecretStr

from synthbench.chassis.bus import Bus
from synthbench.chassis.errors import BusUnavailable
from synthbench.chassis.logging import setup_logging
from synthbench.client.contact import bus_address, require_bus, unanswered
from synthbench.client.endpoints import Endpoints
from synthbench.client.errors import CliError
from synthbench.contracts.registry import Service

_SECONDS = 3.0


async def connect_bus(endpoints: Endpoints, user: Service | str, password: SecretStr, service: Service) -> Bus:
    """Connect to the bus as a user.

    Raises:
        CliError: nothing answers there, or it refuses the user.
    """
    address = bus_address(endpoints)
    if address.elsewhere:
        await require_bus(endpoints)
    log = setup_logging("cli", "ERROR")
    try:
        return await Bus.connect(service, endpoints.nats_url, str(user), password, log, patience=_SECONDS)
    except BusUnavailable as error:
        if "refuses user" in str(error):
            raise CliError(str(error)) from error
        reason = str(error).partition(": ")[2].rpartition("; ")[0] or "nothing answers"
        raise unanswered(address, reason) from error
    except ValueError as error:  # of nats-py, for what is no URL
        raise unanswered(address, str(error)) from error
