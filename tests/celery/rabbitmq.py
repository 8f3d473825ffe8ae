"""A real RabbitMQ on the loopback interface, with files of its own. It keeps its queues when it is killed."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from kombu import Connection

from tests.ports import find_free_port
from tests.processes import until

# The command of Debian's package starts this as another user, without the environment.
SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
QUEUES = ("klaxon.critical", "klaxon.high", "klaxon.medium", "klaxon.low")


def is_installed():
    return Path(SERVER).exists()


class RabbitMQ:
    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="klaxon-rabbitmq-"))
        self.port = find_free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self.process = None
        self.env = {
            **os.environ,
            "HOME": str(self.folder),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(find_free_port()),
            "RABBITMQ_NODENAME": "klaxon@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(find_free_port()),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "db"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }
        # Erlang's register of names, as a child that can be ended by its process id.
        epmd = ["epmd", "-address", "127.0.0.1", "-port", self.env["ERL_EPMD_PORT"]]
        self.epmd = subprocess.Popen(epmd, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start(self):
        self.process = subprocess.Popen(
            [SERVER], env=self.env, cwd=self.folder, stdout=subprocess.DEVNULL, start_new_session=True
        )
        until(self.answers, 120)

    def answers(self):
        with suppress(OSError), Connection(self.url, connect_timeout=1) as connection:
            connection.connect()
            return True
        time.sleep(0.5)
        return False

    def waiting(self):
        """Return how many tasks wait in each queue."""
        with Connection(self.url) as connection:
            return {
                queue: connection.default_channel.queue_declare(queue, passive=True).message_count for queue in QUEUES
            }

    def kill(self):
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=10)
            self.process = None

    def close(self):
        self.kill()
        self.epmd.kill()
        self.epmd.wait(timeout=10)
        shutil.rmtree(self.folder)
