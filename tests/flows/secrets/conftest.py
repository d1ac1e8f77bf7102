"""The store and the Prefect server that the runs of a module share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.server import local_server
from tests.flows.secrets.planted import SECRET
from tests.flows.secrets.sandbox import Sandbox, sandbox
from tests.s3_server import free_port


@pytest.fixture(scope="module")
def store(box: Path) -> Iterator[Sandbox]:
    with sandbox(box, SECRET) as made:
        yield made


@pytest.fixture(scope="module")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a Prefect server and its clients. The server's address is in the environment
    meanwhile.
    """
    home = tmp_path_factory.mktemp("prefect")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(home))
        with local_server(free_port()):
            yield home
