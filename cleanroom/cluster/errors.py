"""How work on a cluster fails, and how a named error of a task comes back to the driver.

Spark passes a task's error on as text, and writes it to its logs. So only our own errors, which hold no value of the
data, keep their words; of any other one the type and the place remain.
"""

import functools
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from cleanroom.enclave.errors import TRAVELLING
from cleanroom.errors import CleanroomError, Interrupted, Refused, UsageError, our_mistake
from protocols.errors import PeerAborted, ProtocolError

_P = ParamSpec("_P")
_Item = TypeVar("_Item")


class NoCluster(UsageError):
    """Spark, its Java or its master is not there, or not of a version that is known to work."""


class MissingKey(Refused):
    """An executor has no key file, or another one than the driver."""


class TaskEnded(Exception):
    """A named error on its way through Spark."""


_KINDS: dict[str, type[CleanroomError | ProtocolError]] = TRAVELLING | {
    "MissingKey": MissingKey,
    "NoCluster": NoCluster,
    "PeerAborted": PeerAborted,
    "ProtocolError": ProtocolError,
}
_MARK = re.compile(r"cleanroom-error/1 (\{.*?\}) end-of-error")


def named(function: Callable[_P, Iterator[_Item]]) -> Callable[_P, Iterator[_Item]]:
    """A task whose errors Spark carries to the driver, where `raised` makes them ours again."""

    @functools.wraps(function)
    def task(*args: _P.args, **kwargs: _P.kwargs) -> Iterator[_Item]:
        try:
            yield from function(*args, **kwargs)
        except (CleanroomError, ProtocolError) as error:
            raise _packed(error) from None
        except GeneratorExit:
            raise
        except Exception as error:  # noqa: BLE001 - its text may hold data, and Spark would log it
            raise _packed(our_mistake(error)) from None

    return task


@contextmanager
def raised() -> Iterator[None]:
    """In here an error of Spark is raised as the named error of the task, or as Interrupted."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError) as error:
        raise _rebuilt(str(error)) from None


def _packed(error: Any) -> TaskEnded:
    kind = next((name for name, each in _KINDS.items() if type(error) is each), "")
    params = {name: value if isinstance(value, int | float) else str(value) for name, value in error.params.items()}
    fields = {"kind": kind, "template": error.template, "hint": error.hint, "params": params}
    return TaskEnded(f"cleanroom-error/1 {json.dumps(fields)} end-of-error")


def _rebuilt(text: str) -> CleanroomError | ProtocolError:
    for found in _MARK.finditer(text):
        try:
            fields = json.loads(found[1])
        except ValueError:
            continue
        return _KINDS.get(fields["kind"], CleanroomError)(fields["template"], fields["hint"], **fields["params"])
    if "MetadataFetchFailed" in text or "ExecutorLost" in text or "SparkContext was shut down" in text:
        return Interrupted("The cluster lost its executors before the work was done.", "Ask again when it is well.")
    if "ModuleNotFoundError" in text or "ImportError" in text:
        return NoCluster("An executor lacks open-cleanroom, or has another version of it.",
                         "Install the driver's version in the Python that PYSPARK_PYTHON names there.")  # fmt: skip
    return Interrupted("The cluster could not do this work.", "Spark's own log says why; no answer was given.")
