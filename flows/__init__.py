"""When and where: the `demoire` command and the Prefect flows.

The settings below have to stand before Prefect or Ray is imported anywhere, hence here. Prefect's
own limit of 20 s for its ephemeral server is too near to the 11 to 17 s that it takes; telemetry of
both is off. Whoever sets these variables in the environment keeps the last word.
"""

import os

_DEFAULTS = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
for _name, _value in _DEFAULTS.items():
    os.environ.setdefault(_name, _value)
