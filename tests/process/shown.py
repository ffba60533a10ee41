"""mailworker with a status process."""

from __future__ import annotations

import http.client
import json
from typing import Any

from prometheus_client.parser import text_string_to_metric_families as parse

from tests.support.patience import PATIENCE
from tests.support.process import Mailworker


class Shown(Mailworker):
    """One with a status process on `status`."""

    status: int

    def get(self, path: str, host: str = "localhost") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.status, timeout=PATIENCE)
        try:
            connection.request("GET", path, headers={"Host": host})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def tree(self) -> Any:
        return json.loads(self.get("/status.json")[1])

    def total(self, name: str, **labels: str) -> float:
        families = parse(self.get("/metrics")[1].decode())
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == f"mailworker_{name}" and labels.items() <= sample.labels.items()
        )
