"""Every error a caller can meet, in one tree.

    AsgError                     code, message, hint, details
    ├── InvalidInput             the caller can mend the request
    │   ├── InvalidValue         a value the store cannot hold (NaN, int beyond 64 bits, …)
    │   ├── InvalidPath          not a JSON Pointer, or one this state cannot take
    │   ├── InvalidName          a ref, agent, tag or id that breaks the naming rules
    │   ├── InvalidArgument      an unknown, missing or ill-typed tool argument
    │   ├── InvalidCursor        a cursor that this query did not make
    │   ├── SchemaViolation      the state's own JSON Schema, at /__schema__, does not allow the write
    │   ├── SecretRefused        a secret, or personal data, that the policy keeps out; rule and path are named
    │   └── LimitExceeded        a named limit was reached
    │       └── RateExceeded     too many requests in too short a time
    ├── NotFound
    │   ├── RefNotFound          no branch, tag or commit by that name
    │   ├── PathNotFound         nothing at that path; the nearest path that exists is given
    │   ├── CommitNotFound       no commit with that prefix
    │   ├── HandleNotFound       no such session or speculation
    │   ├── PlanNotFound         no plan of that name on this branch
    │   ├── TaskNotFound         no such task in the plan
    │   ├── Withheld             the value was erased; its id and its history remain
    │   └── Pruned               what a commit held was taken away by gc; its header remains
    ├── AmbiguousPrefix          several commits share the prefix
    ├── WrongType                the path runs through a scalar, or the operation needs a list
    ├── Conflict                 somebody else changed what the caller is changing
    │   ├── HeadMoved            expected_head does not hold, and the paths overlap
    │   ├── ObjectChanged        expected_object does not hold
    │   ├── RefExists            the name is taken
    │   ├── TestFailed           a `test` operation did not hold
    │   ├── RequestReused        the same request_id with other arguments
    │   ├── PlanClosed           the plan takes no new task and no start
    │   ├── TaskTaken            another agent holds the task, or it is assigned to another
    │   ├── TaskBlocked          the task waits for others
    │   └── TaskSettled          the task's state does not allow the action: it is final, not started, or a parent
    ├── Forbidden                the principal, agent or session may not do this
    │   ├── Unauthenticated      no token, or one that does not hold
    │   ├── Misdirected          the request names another host
    │   └── ForeignOrigin        a page of another site made the browser send the request
    ├── MigrationError           the state's shape and the installed migrations
    │   ├── MigrationsBroken     what a package registers cannot be used; nothing was read or written
    │   ├── MigrationRefused     nothing leads from the state's version to the one asked for
    │   └── MigrationFailed      a step failed; the steps before it stay
    └── StorageError             the store could not do its work
        ├── StoreBusy            the write lock was not had in time; nothing was written
        ├── StoreCorrupt         stored bytes are not what was written
        ├── StoreFull            no space left; nothing was written
        ├── UnknownOutcome       an I/O error at the commit itself
        ├── ArchiveDamaged       an archive of a repository is not what was exported; nothing was made of it
        └── StoreIncompatible    not a store of ours, or one from a newer program
            └── StoreBehind      an older copy of the store was put in its place

`code` is stable and is what programs match on; `message` names the values;
`hint` says what to do next; `details` is JSON for machines.
"""

from __future__ import annotations

from typing import Any, ClassVar


class AsgError(Exception):
    """Base of all errors raised on purpose by this package."""

    code: ClassVar[str] = "error"
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str = "", **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint
        self.details: dict[str, Any] = details

    def as_dict(self) -> dict[str, Any]:
        """The error as the wire and `--json` show it; empty parts are left out."""
        parts: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.hint:
            parts["hint"] = self.hint
        if self.details:
            parts["details"] = self.details
        return parts


class InvalidInput(AsgError):
    code = "invalid_input"


class InvalidValue(InvalidInput):
    code = "invalid_value"


class InvalidPath(InvalidInput):
    code = "invalid_path"
    default_hint = "Paths are JSON Pointers: /a/b/0; write ~ as ~0 and / inside a key as ~1."


class InvalidName(InvalidInput):
    code = "invalid_name"


class InvalidArgument(InvalidInput):
    code = "invalid_argument"


class InvalidCursor(InvalidInput):
    code = "invalid_cursor"
    default_hint = "Repeat the call without a cursor to start again from the first page."


class SchemaViolation(InvalidInput):
    code = "schema_violation"


class SecretRefused(InvalidInput):
    code = "secret_refused"
    default_hint = (
        "Nothing was written. Store a reference such as ${ENV:NAME} instead, and keep the secret where it belongs. "
        "Whoever runs the server can allow or mask it below a path: asg-mcp --secrets /PATH=mask"
    )


class LimitExceeded(InvalidInput):
    code = "limit_exceeded"


class RateExceeded(LimitExceeded):
    code = "rate_exceeded"


class NotFound(AsgError):
    code = "not_found"


class RefNotFound(NotFound):
    code = "ref_not_found"


class PathNotFound(NotFound):
    code = "path_not_found"


class CommitNotFound(NotFound):
    code = "commit_not_found"


class HandleNotFound(NotFound):
    code = "handle_not_found"


class PlanNotFound(NotFound):
    code = "plan_not_found"


class TaskNotFound(NotFound):
    code = "task_not_found"


class Withheld(NotFound):
    code = "withheld"
    default_hint = "Set the path again if it is still needed; what was erased cannot be had back."


class Pruned(NotFound):
    code = "pruned"
    default_hint = "Its header, its place in the log and every proof remain; what it held was taken away by gc."


class AmbiguousPrefix(AsgError):
    code = "ambiguous_prefix"
    default_hint = "Give more digits of the commit id."


class WrongType(AsgError):
    code = "wrong_type"


class Conflict(AsgError):
    code = "conflict"


class HeadMoved(Conflict):
    code = "head_moved"
    default_hint = "Read the paths in details.conflicts again, then repeat the call with the new head as expected_head."


class ObjectChanged(Conflict):
    code = "object_changed"
    default_hint = "Read the path again and repeat the call with the object it now has."


class RefExists(Conflict):
    code = "ref_exists"


class TestFailed(Conflict):
    code = "test_failed"
    __test__ = False  # the name begins with Test; it is no test case


class RequestReused(Conflict):
    code = "request_reused"
    default_hint = "Use a new request_id for a new request; repeat an old one only with exactly the same arguments."


class PlanClosed(Conflict):
    code = "plan_closed"


class TaskTaken(Conflict):
    code = "task_taken"


class TaskBlocked(Conflict):
    code = "task_blocked"


class TaskSettled(Conflict):
    code = "task_settled"


class Forbidden(AsgError):
    code = "forbidden"


class Unauthenticated(Forbidden):
    code = "unauthenticated"
    default_hint = "Send a token of `asg-mcp token add` as `Authorization: Bearer TOKEN`."


class Misdirected(Forbidden):
    code = "misdirected"


class ForeignOrigin(Forbidden):
    code = "foreign_origin"


class MigrationError(AsgError):
    code = "migration_error"


class MigrationsBroken(MigrationError):
    code = "migrations_broken"
    default_hint = "Upgrade or remove the package that is named; the state and all other tools work as before."


class MigrationRefused(MigrationError):
    code = "migration_refused"


class MigrationFailed(MigrationError):
    code = "migration_failed"
    default_hint = "The steps before it stay, each in its own commit. Mend the cause, then apply: it goes on there."


class StorageError(AsgError):
    code = "storage_error"


class StoreBusy(StorageError):
    code = "store_busy"
    default_hint = (
        "Nothing was written. Try again in a moment; another process may be writing, or stopped while it holds "
        "the lock file beside the store."
    )


class StoreCorrupt(StorageError):
    code = "store_corrupt"
    default_hint = "Run `asg-mcp verify` to see how far the damage goes, and restore a backup if it reports any."


class StoreFull(StorageError):
    code = "store_full"
    default_hint = "Nothing was written. Free some disk space and repeat the call."


class UnknownOutcome(StorageError):
    code = "unknown_outcome"
    default_hint = (
        "Repeat the call with the same request_id: it is answered from the store if it took effect."
        " Without one, read the path to see whether it did."
    )


class ArchiveDamaged(StorageError):
    code = "archive_damaged"
    default_hint = "Nothing was made. Take the archive again, byte for byte, from where export-repo wrote it."


class StoreIncompatible(StorageError):
    code = "store_incompatible"


class StoreBehind(StoreIncompatible):
    code = "store_behind"
    default_hint = (
        "Put the newest file back; what was written after this copy is only there. If that file is lost: "
        "`asg-mcp restore FILE --to NEWFILE` goes on from this copy as a new incarnation."
    )
