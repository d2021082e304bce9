"""`migrate`: brings the state on a branch to the newest version that the installed packages know."""

from __future__ import annotations

from argparse import Namespace

from asg_mcp import __version__, config
from asg_mcp.app import open_repository
from asg_mcp.cli import render
from asg_mcp.cli.output import BAD, DIM, GOOD, STRONG, WARN, Output
from asg_mcp.errors import MigrationFailed, MigrationRefused, MigrationsBroken
from asg_mcp.repo.repository import PROGRAM
from asg_mcp.schemas.migrate import MigrateAction, MigrateParams, MigrateReply, StepItem
from asg_mcp.tools import migrate as tool
from asg_mcp.tools.registry import Caller, ToolContext

AVAILABLE, NEWER, UNVERSIONED, CORRUPT, NO_PATH, FAILED, BROKEN = 10, 11, 12, 13, 14, 15, 16
EXIT_CODES = """\
exit codes of migrate:
  0    up to date, or applied
  10   --check and --dry-run: a migration is available
  11   the state is newer than the installed packages know
  12   the state has no version; --to sets the first one
  13   what is at /_meta/schema_version is no version
  14   no migration begins at this version, or none leads to that of --to
  15   a step failed; the steps before it stay, and it goes on there the next time
  16   a package registers migrations that cannot be used
"""
_CODES = {
    "up_to_date": 0,
    "available": AVAILABLE,
    "newer": NEWER,
    "unversioned": UNVERSIONED,
    "corrupt": CORRUPT,
    "no_path": NO_PATH,
}
_REFUSED = {**_CODES, "up_to_date": NO_PATH, "available": NO_PATH}
"""A state may be well, and no way lead to the version that was asked for."""


async def migrate(output: Output, options: Namespace) -> int:
    """Apply, or with --check and --dry-run tell. The exit codes are those of EXIT_CODES."""
    params = MigrateParams(action=_action(options), ref=options.ref, to=options.to)
    agent = config.default_agent(options.agent) or PROGRAM
    caller = Caller(config.local_principal(), f"{config.PROGRAM}/{__version__}", agent)
    # A store is never made here: a mistyped path must not become an empty store at the newest version.
    async with open_repository(config.store_place(options.db).path, create=False) as repository:
        try:
            reply = await tool.migrate(ToolContext(repository, caller), params)
        except (MigrationFailed, MigrationRefused, MigrationsBroken) as error:
            output.error(error)
            return _code_of(error)
    if output.as_json:
        output.document(reply.dump())
    else:
        _show(output, reply, params.action)
    if params.action is MigrateAction.APPLY:
        return 0
    return AVAILABLE if reply.steps else _CODES[reply.state]


def _action(options: Namespace) -> MigrateAction:
    if options.check:
        return MigrateAction.CHECK
    return MigrateAction.DRY_RUN if options.dry_run else MigrateAction.APPLY


def _code_of(error: MigrationFailed | MigrationRefused | MigrationsBroken) -> int:
    if isinstance(error, MigrationRefused):
        return _REFUSED[error.details["state"]]
    return FAILED if isinstance(error, MigrationFailed) else BROKEN


def _show(output: Output, reply: MigrateReply, action: MigrateAction) -> None:
    where = f"{reply.ref}, at version {reply.source}" if reply.source else reply.ref
    if not reply.steps:
        style = GOOD if reply.state == "up_to_date" else BAD
        output.line((reply.state.replace("_", " ").capitalize(), style), f": {where}. {reply.note}".rstrip(" "))
        return
    if action is MigrateAction.APPLY:
        output.line(("Migrated", GOOD), f": {reply.ref} from {reply.source} to {reply.to}")
    else:
        output.line(("Available", WARN), f": {where}, can be brought to {reply.to}")
    for step in reply.steps:
        _show_step(output, step)
    if reply.omitted:
        output.line((f"{reply.omitted} more steps follow.", DIM))
    if action is MigrateAction.DRY_RUN:
        output.line(("Nothing was written. Without --dry-run it is done.", DIM))


def _show_step(output: Output, step: StepItem) -> None:
    package = (f"  ({step.package})", DIM) if step.package else ""
    done = "  was applied by somebody else meanwhile" if step.skipped else f"  {step.commit}" if step.commit else ""
    output.line(f"  {step.source} → {step.to}  ", (step.name, STRONG), package, (done, WARN))
    output.hanging(4, step.description, first="    ")
    render.diff(output, step.changes)
    left_out = step.changed - len(step.changes)
    if step.changes and left_out > 0:
        output.line((f"  and {left_out} more", DIM))
