"""What the server counted, as Prometheus reads it (text format 0.0.4).

Our own renderer: prometheus_client keeps its numbers in globals of the process, starts threads and files of its own,
and is ten times the size of this.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from asg_mcp import __version__
from asg_mcp.repo.observing import observe
from asg_mcp.repo.repository import Repository

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The upper ends of the buckets of durations."""
OK = "ok"
_ROUTES = ("/mcp", "/sse", "/messages", "/api", "/metrics", "/healthz", "/readyz")
OTHER = "other"


@dataclass(slots=True)
class _Durations:
    buckets: list[int] = field(default_factory=lambda: [0] * (len(SECONDS) + 1))
    total: float = 0.0


class Metrics:
    """Counters of one server. Labels come from closed sets, so no client can make them grow."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._calls: Counter[tuple[str, str]] = Counter()
        self._seconds: defaultdict[str, _Durations] = defaultdict(_Durations)
        self._started = time.time()

    def request(self, path: str, status: int) -> None:
        """Count a request that was answered."""
        route = next((route for route in _ROUTES if path == route or path.startswith(f"{route}/")), OTHER)
        self._requests[route, status] += 1

    def call(self, tool: str, code: str, seconds: float) -> None:
        """Count a call of a tool that exists: its code is that of its error, or OK."""
        self._calls[tool, code] += 1
        durations = self._seconds[tool]
        durations.buckets[bisect_left(SECONDS, seconds)] += 1
        durations.total += seconds

    async def text(self, repo: Repository) -> str:
        """All of it, with what the store holds now. Raises StorageError."""
        seen, health = await repo.read(observe), await repo.health()
        lines = [
            *_gauge("asgmcp_info", "The program.", 1, {"version": __version__}),
            *_gauge("process_start_time_seconds", "When the server started, in seconds since 1970.", self._started),
            *_gauge("asgmcp_commits", "Commits in the store.", seen.commits),
            *_gauge("asgmcp_events", "Events in the log.", seen.events),
            *_gauge("asgmcp_store_bytes", "Bytes of the store's file.", health.file_bytes),
            *_gauge("asgmcp_wal_bytes", "Bytes of its write-ahead log.", health.wal_bytes),
            *_gauge("asgmcp_healthy", "1 unless something should be mended in the store.", int(not health.problems)),
            *self._counted(),
        ]
        return "\n".join(lines) + "\n"

    def _counted(self) -> Iterator[str]:
        yield from _head("asgmcp_http_requests_total", "HTTP requests answered.", "counter")
        for (route, status), count in sorted(self._requests.items()):
            yield _sample("asgmcp_http_requests_total", count, {"route": route, "status": str(status)})
        yield from _head("asgmcp_tool_calls_total", "Calls of tools, by what came of them.", "counter")
        for (tool, code), count in sorted(self._calls.items()):
            yield _sample("asgmcp_tool_calls_total", count, {"tool": tool, "code": code})
        yield from _head("asgmcp_tool_seconds", "How long calls took.", "histogram")
        for tool, durations in sorted(self._seconds.items()):
            total = 0
            for end, count in zip((*map(str, SECONDS), "+Inf"), durations.buckets, strict=True):
                total += count
                yield _sample("asgmcp_tool_seconds_bucket", total, {"tool": tool, "le": end})
            yield _sample("asgmcp_tool_seconds_sum", durations.total, {"tool": tool})
            yield _sample("asgmcp_tool_seconds_count", total, {"tool": tool})


def _gauge(name: str, text: str, value: float, labels: Mapping[str, str] | None = None) -> Iterator[str]:
    yield from _head(name, text, "gauge")
    yield _sample(name, value, labels or {})


def _head(name: str, text: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _sample(name: str, value: float, labels: Mapping[str, str]) -> str:
    told = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{told}}} {value}" if told else f"{name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
