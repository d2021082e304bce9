"""What the machine and the environment say: where the store is, who acts, how to start this program again.

The only module that reads the environment. Variables: ASG_DB, ASG_AGENT, ASG_SESSION, ASG_TOOLSETS, ASG_TOOLS,
ASG_EXCLUDE_TOOLS, ASG_READ_ONLY, ASG_STATE, ASG_SECRETS.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from asg_mcp.core.secretpolicy import Action, Policy, parse_policy
from asg_mcp.core.secretscan import find_secrets
from asg_mcp.errors import InvalidArgument, SecretRefused

if sys.platform != "win32":
    import pwd

PROGRAM = "asg-mcp"
DB_VARIABLE = "ASG_DB"
AGENT_VARIABLE = "ASG_AGENT"
SESSION_VARIABLE = "ASG_SESSION"
TOOLSETS_VARIABLE = "ASG_TOOLSETS"
TOOLS_VARIABLE = "ASG_TOOLS"
EXCLUDE_TOOLS_VARIABLE = "ASG_EXCLUDE_TOOLS"
READ_ONLY_VARIABLE = "ASG_READ_ONLY"
STATE_VARIABLE = "ASG_STATE"
SECRETS_VARIABLE = "ASG_SECRETS"
TOKENS_SUFFIX = ".tokens"
_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"", "0", "false", "no", "off"})
_OWN_VARIABLES = "ASG_"
_PACKAGE_PARENT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class StorePlace:
    """Where the store is, and who said so."""

    path: Path
    named_by: str
    """--db or ASG_DB; empty for the default place."""


def store_place(db: str = "") -> StorePlace:
    """The place given with --db, else in ASG_DB, else the default one."""
    for named_by, given in (("--db", db), (DB_VARIABLE, os.environ.get(DB_VARIABLE, ""))):
        if given:
            return StorePlace(Path(given).expanduser().absolute(), named_by)
    return StorePlace(default_path(), "")


def default_path() -> Path:
    """state.db in the user's own data folder of this program, as the system has it."""
    return Path(platformdirs.user_data_dir(PROGRAM, appauthor=False)) / "state.db"


def token_file(db: str = "") -> Path:
    """The tokens of that store's HTTP clients: a file beside it, under its name."""
    path = store_place(db).path
    return path.with_name(f"{path.name}{TOKENS_SUFFIX}")


def state_folder() -> Path:
    """Where this program keeps what must lie outside a store: the folder in ASG_STATE, else the system's for that."""
    given = os.environ.get(STATE_VARIABLE, "")
    if given:
        return Path(given).expanduser().absolute()
    return Path(platformdirs.user_state_dir(PROGRAM, appauthor=False))


def client_folder(variable: str) -> Path | None:
    """The folder that a variable of the system or of a client names; None when it names none."""
    given = Path(os.environ.get(variable, ""))
    return given if given.is_absolute() else None


def default_agent(agent: str = "") -> str:
    """The agent given with --agent, else in ASG_AGENT; empty when neither names one.

    Raises SecretRefused for a secret, which would be in every header that is written, unless ASG_SECRETS allows it.
    """
    named = agent or os.environ.get(AGENT_VARIABLE, "")
    for found in find_secrets(named):
        if secrets_policy().action(found.rule.kind, None) is not Action.ALLOW:
            raise SecretRefused(
                f"A secret is not stored: {found.rule.name} as the name of the agent",
                hint=f"Name the agent with --agent or {AGENT_VARIABLE}, and keep the secret where it belongs.",
                rule=found.rule.name,
                path="agent",
            )
    return named


def bound_session(session: str = "") -> str:
    """The session given with --session, else in ASG_SESSION; empty when neither names one."""
    return session or os.environ.get(SESSION_VARIABLE, "")


def names(given: str, variable: str) -> tuple[str, ...]:
    """The names given with an option, else in its variable: between commas, each once."""
    parts = (part.strip() for part in (given or os.environ.get(variable, "")).split(","))
    return tuple(dict.fromkeys(part for part in parts if part))


def read_only(*, given: bool = False) -> bool:
    """Whether --read-only is given, or ASG_READ_ONLY says so. Raises InvalidArgument for what is neither yes nor no."""
    text = os.environ.get(READ_ONLY_VARIABLE, "")
    if not given and text.strip().lower() not in _YES | _NO:
        raise InvalidArgument(f"{READ_ONLY_VARIABLE} is {text!r}", hint="Set it to 1 or 0, or leave it away.")
    return given or text.strip().lower() in _YES


def secrets_text(given: str = "") -> str:
    """The policy given with --secrets, else in ASG_SECRETS; empty when neither names one."""
    return given or os.environ.get(SECRETS_VARIABLE, "")


def secrets_policy(given: str = "") -> Policy:
    """What becomes of secrets in writes, as --secrets says, else ASG_SECRETS. Raises InvalidInput."""
    return parse_policy(secrets_text(given))


def local_principal() -> str:
    """The local user as the system's account database has it, never as a variable claims it."""
    return f"local:{_user_name()}"


def _user_name() -> str:
    if sys.platform == "win32":
        return os.getlogin()
    number = os.geteuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:  # a container that runs under a number without an account
        name = ""
    return name if name.strip() and name.isprintable() else f"uid-{number}"


def launcher() -> tuple[str, ...]:
    """The command that starts this very program from anywhere: absolute, so that a client needs no PATH."""
    started_as = sys.argv[0] if Path(sys.argv[0]).stem == PROGRAM else PROGRAM
    for name, folder in ((PROGRAM, str(Path(sys.executable).parent)), (started_as, None)):
        found = shutil.which(name, path=folder)
        if found is not None:
            return (str(Path(found).absolute()),)
    return own_command()


def own_command() -> tuple[str, ...]:
    """The command for a second process of this program; needs `own_environment`."""
    return (sys.executable, "-m", "asg_mcp")


def own_environment(state: Path | None = None) -> Mapping[str, str]:
    """The environment of a second process of this program: the same code, and no settings but its arguments.

    `state` is the folder for what must lie outside a store, where that store is one to be thrown away.
    """
    # Where the marks are is a fact of the machine, not a setting of a server: two processes must look in one place.
    kept = {
        name: value
        for name, value in os.environ.items()
        if name == STATE_VARIABLE or not name.startswith(_OWN_VARIABLES)
    }
    paths = [str(_PACKAGE_PARENT), *filter(None, [kept.get("PYTHONPATH", "")])]
    # -m would otherwise put the current folder first, and a file there called like a module would be run.
    if state is not None:
        kept[STATE_VARIABLE] = str(state)
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
