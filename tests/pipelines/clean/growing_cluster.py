"""A Ray cluster on this machine that grows from nothing: fake nodes come when they are asked for,
and go when they are idle.

It is what `ray.cluster_utils.AutoscalingCluster` sets up, without what that class lacks or should
not do here: the wheel has no configuration to start from, and it ends every Ray of the machine.
"""

import ctypes
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

_UP_WITHIN = 60.0  # seconds
_ENDED_WITHIN = 10.0
_ROOT = Path(__file__).parents[3]
_PR_SET_CHILD_SUBREAPER = 36  # of prctl(2): whose parent has ended becomes a child of this process
# What Ray's autoscaler would run on real machines; it wants to be told even of none.
_NO_COMMANDS = ("initialization_commands", "setup_commands", "head_setup_commands")
_NO_COMMANDS += ("worker_setup_commands", "head_start_ray_commands", "worker_start_ray_commands")
_NO_COMMANDS += ("cluster_synced_files", "rsync_exclude", "rsync_filter")


class GrowingCluster:
    """A head without CPUs, and types of nodes, of which none is there yet.

    Args:
        folder: For the configuration and the log of the head.
        node_types: What a node of each type has, such as {"CPU": 2}.

    Attributes:
        address: As `--ray-address` takes it.
    """

    def __init__(self, folder: Path, node_types: Mapping[str, Mapping[str, float]]) -> None:
        port = _free_port()
        host = socket.gethostbyname(socket.gethostname())
        self.address = f"{host}:{port}"
        types: dict[str, object] = {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}
        }
        for name, resources in node_types.items():
            own = dict(resources) | {"object_store_memory": 100_000_000}
            # One that has vanished is counted for minutes: another has to be allowed meanwhile.
            types[name] = {"resources": own, "node_config": {}, "max_workers": 2}
        configuration = {
            "cluster_name": "growing",
            "max_workers": 2 * len(node_types),
            "provider": {
                "type": "fake_multinode",
                "gcs_address": self.address,
                "use_node_id_as_ip": True,
                "disable_node_updaters": True,
                "disable_launch_config_check": True,
            },
            "available_node_types": types,
            "head_node_type": "ray.head.default",
            "upscaling_speed": 10.0,
            "idle_timeout_minutes": 0.1,
        }
        configuration |= dict.fromkeys(("auth", "docker", "file_mounts"), {})
        configuration |= dict.fromkeys(_NO_COMMANDS, [])
        file = folder / "cluster.json"
        file.write_text(json.dumps(configuration), encoding="utf-8")
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
        command += ["--num-cpus=0", f"--port={port}", f"--node-ip-address={host}"]
        command += ["--include-dashboard=false", "--disable-usage-stats"]
        command += [f"--ray-client-server-port={_free_port()}"]
        command += ["--object-store-memory=100000000", f"--autoscaling-config={file}"]
        environment = os.environ | {
            "RAY_FAKE_CLUSTER": "1",
            # A Ray of this process, of an earlier test, may have told it to use tokens.
            "RAY_AUTH_MODE": os.environ.get("RAY_AUTH_MODE", "disabled"),
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "AUTOSCALER_HEARTBEAT_TIMEOUT_S": "5",
        }
        with (folder / "head.log").open("w") as log:
            self._guard = subprocess.Popen(
                [sys.executable, "-m", __name__, *command],
                cwd=_ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._await(host, port)

    def types(self) -> set[str]:
        """The types of the nodes that are there."""
        return {node_type for node_type, _ in self._nodes()}

    def lose_node(self, lost: str) -> None:
        """A node of this type vanishes without a word."""
        for node_type, raylet in self._nodes():
            if node_type == lost:
                raylet.kill()

    def await_none(self) -> None:
        """Wait until no node is left but the head."""
        end = time.monotonic() + _UP_WITHIN
        while self.types():
            assert time.monotonic() < end, f"{self.types()} do not go"
            time.sleep(0.5)

    def _nodes(self) -> list[tuple[str, psutil.Process]]:
        """Type and raylet of each node but the head."""
        nodes = []
        for process in psutil.Process(self._guard.pid).children(recursive=True):
            try:
                if process.name() != "raylet" or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                node_type = process.environ().get("RAY_NODE_TYPE_NAME")
            except psutil.NoSuchProcess:
                continue
            if node_type is not None:
                nodes.append((node_type, process))
        return nodes

    def end(self) -> None:
        """End all of its processes."""
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait(_UP_WITHIN)

    def _await(self, host: str, port: int) -> None:
        end = time.monotonic() + _UP_WITHIN
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex((host, port)) == 0:
                    return
            time.sleep(0.2)
        self.end()
        raise TimeoutError("the head of the cluster does not come up")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
    return port


def guard(command: Sequence[str]) -> None:
    """Run the head until standard input ends, then end all that came of it.

    So nothing is left where the tests are killed: their end of the pipe is closed with them.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    subprocess.Popen(command, stdin=subprocess.DEVNULL)
    sys.stdin.buffer.read()
    doomed = psutil.Process().children(recursive=True)
    while doomed:
        for process in doomed:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(doomed, timeout=_ENDED_WITHIN)
        doomed = psutil.Process().children(recursive=True)  # those that were just being started


if __name__ == "__main__":
    guard(sys.argv[1:])
