"""What all collections of one Cloud share: the driver, the scope, whether it is still open, and the log."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from cloudkit.errors import Closed, CloudError, Unsupported

if TYPE_CHECKING:
    from types import TracebackType

    from cloudkit._scope_mark import ScopeInfo
    from cloudkit.driver import Driver
    from cloudkit.types import Kind

P = ParamSpec("P")
R = TypeVar("R")


class Lifetime:
    """Whether a Cloud may be used: until it or the one that it was made from is closed, in the process it began in.

    Attributes:
        cache: what may be kept for a while, shared by all that were made from one connection.
    """

    __slots__ = ("_closed", "_parent", "_pid", "cache")

    def __init__(self, parent: Lifetime | None = None) -> None:
        self.cache: dict[Any, Any] = parent.cache if parent is not None else {}
        self._parent = parent
        self._pid = os.getpid()
        self._closed = False

    def end(self) -> bool:
        """Close; False when it was closed already."""
        was_open, self._closed = not self._closed, True
        return was_open

    @property
    def is_root(self) -> bool:
        """Whether this is the one that the connection was opened for."""
        return self._parent is None

    @property
    def forked(self) -> bool:
        """Whether this is a child of the process that it began in."""
        return self._pid != os.getpid()

    def check(self) -> None:
        """Raise Closed unless it may be used."""
        if self._closed:
            raise Closed("this Cloud was closed")
        if self._pid != os.getpid():
            raise Closed("this Cloud was opened by the parent of this process")
        if self._parent is not None:
            self._parent.check()


class Memory:
    """What one batch has looked up. Threads that ask for the same at the same time wait for one answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Any, Any] = {}

    def recall(self, key: object, look_up: Callable[[], R]) -> R:
        """What is known for the key, or what ``look_up`` returns."""
        with self._lock:
            if key not in self._known:
                self._known[key] = look_up()
            return cast(R, self._known[key])


class Context:
    """One project of one connection, seen through one scope or none.

    Attributes:
        memory: names that were looked up, within a batch.
        touched: the kinds that were created through this scope: its end need not look at others.
        unmarked: what was created through this scope and has no room for its mark.
    """

    __slots__ = ("driver", "lifetime", "log", "memory", "scope", "touched", "unmarked")

    def __init__(self, driver: Driver, lifetime: Lifetime, scope: ScopeInfo | None = None) -> None:
        self.driver = driver
        self.lifetime = lifetime
        self.scope = scope
        self.memory: Memory | None = None
        self.touched: set[Kind] = set()
        self.unmarked: set[tuple[Kind, str]] = set()
        self.log = logging.getLogger(f"cloudkit.{driver.name}")

    def with_memory(self) -> Context:
        """The same for a batch."""
        batch = Context(self.driver, self.lifetime, self.scope)
        batch.memory, batch.touched, batch.unmarked = Memory(), self.touched, self.unmarked
        return batch

    def require(self, capability: str) -> None:
        """Raise Unsupported unless the driver declares it."""
        if capability not in self.driver.capabilities:
            raise Unsupported(f"{capability} is not offered here", capability=capability)

    def call(self, method: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call into the driver; whatever it raises arrives as a CloudError."""
        self.lifetime.check()
        try:
            return method(*args, **kwargs)
        except CloudError:
            raise
        except Exception as error:
            raise self.driver.translate(error) from error


class Verb:
    """One verb that a user called: its errors tell which, and the log gets one line."""

    __slots__ = ("_context", "_operation", "_resource", "_started")

    def __init__(self, context: Context, operation: str, resource: Any = None) -> None:
        self._context = context
        self._operation = operation
        self._resource = resource
        self._started = 0.0

    def __enter__(self) -> None:
        self._started = time.monotonic()
        try:
            self._context.lifetime.check()
        except CloudError as error:
            self._describe(error)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, CloudError):
            self._describe(error)
        log = self._context.log
        if log.isEnabledFor(logging.INFO):
            name = getattr(self._resource, "name", self._resource)
            outcome = "done" if error is None else type(error).__name__
            elapsed_ms = (time.monotonic() - self._started) * 1000
            log.info("%s %s: %s after %.1f ms", self._operation, name or "", outcome, elapsed_ms)

    def _describe(self, error: CloudError) -> None:
        error.add_context(driver=self._context.driver.name, operation=self._operation, resource=self._resource)
