"""The stand-ins keep the contract of a channel."""

import pytest

from example_project.quality.channels import HookStandIn, LiveStandIn, TextStandIn
from notifications.testing.contract import ProviderContract


class StandInContract(ProviderContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path):
        self.path = tmp_path / "lines"
        self.path.mkdir()

    def break_provider(self, channel):
        self.path.rename(self.path.with_name("elsewhere"))


class TestLiveStandIn(StandInContract):
    def make_channel(self):
        return LiveStandIn(self.path / "websocket.jsonl")


class TestTextStandIn(StandInContract):
    def make_channel(self):
        return TextStandIn(self.path / "sms.jsonl")


class TestHookStandIn(StandInContract):
    def make_channel(self):
        return HookStandIn(self.path / "webhook.jsonl")
