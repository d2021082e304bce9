"""The page docs/secrets.md, made from the rules: `python -m asg_mcp.tools.secretpage` writes it below this folder."""

from __future__ import annotations

from pathlib import Path

from asg_mcp.core.secretrules import RULES, Rule, RuleKind

PAGE = "docs/secrets.md"
_TEXT = """\
# Secrets kept out

What a write brings is searched for credentials and for personal data that can be checked, before it is stored: values,
the keys of paths and maps, descriptions, reasoning, tags, provenance (tool calls with arguments and results), labels,
lessons, summaries, reports, and the names of refs, principals, agents, clients, intents, epochs and sensitive
prefixes. A write that holds one is refused with `secret_refused`, which names the rule and the place, never the secret;
nothing of it is kept, not even the reply. A client, agent or principal that is called by a secret can write nothing.
Other errors, too, name the rule where a caller gave a secret in a wrong place.

Store a reference in its place, such as `${ENV:NAME}` or `vault:team/db#password`: those are not taken for secrets.

## What becomes of a secret

`asg-mcp --secrets POLICY`, or the variable `ASG_SECRETS`, says what is done below which path: `PREFIX=ACTION` between
commas. The longest prefix decides. The policy belongs to whoever runs the server, not to the state: an agent whose
writes it judges cannot change it. Every process that writes to a store has its own.

| action | what is stored |
|---|---|
| `reject` | nothing: the write is refused (the default, for everything) |
| `mask` | `[masked: RULE]` in place of the secret; the rest of the text stays, and a commit's reply warns |
| `salt` | `[salted: RULE DIGEST]`: equal secrets have equal digests, made with the store's own key |
| `allow` | the secret; `--secrets /=allow` switches the search off |

    asg-mcp --secrets '/=reject,/notes=mask,/customers:personal=allow,texts=mask'

- `PREFIX:token` and `PREFIX:personal` are for one kind of rule; with the same prefix the clause with a kind counts.
- `texts` stands for all that has no path (intents, provenance, labels …); without it `/` decides for them.
- A prefix cannot contain a comma.
- Keys and names are hashed into ids and can never be erased, so they are refused under `mask` and `salt` as well.
- Below a prefix with `salt`, an operation `test` with the secret itself holds exactly if that secret was stored there:
  equality can be checked by whoever knows the secret, and the digest tells others nothing.
- A move is judged as a set of what it moves, where the policy is stricter at the target than at the source. It cannot
  mask, so what would be masked or salted there is refused as well: set the value there, and delete it where it was.
- The replies that warn, in `warnings`, are those of `asg_set`, `asg_delete`, `asg_apply`, `asg_merge`, `asg_revert`,
  `asg_spec_modify` and `asg_commit_spec`. Plans, sessions, epochs, outcomes and labels show the masked text when read.
- Personal data is refused like tokens, and not masked by default: a masked account number is a changed record, and
  whoever wrote it would believe that it is there. A store that is meant to hold such data says so with one clause.

Only what the current write brings is searched, and what it moves to where the policy is stricter. What a merge or a
revert takes from states that are there already is not: it stays at the path where it was judged. Nor is what a
migration makes of the state, or what is moved under one and the same policy. Deleting a path that holds a secret
always works. `asg-mcp redact` removes what is stored.

## What is not found

Anything encoded (base64, escapes, encryption), a secret cut into several texts, passwords made of words, tokens of
formats that are not below, identifiers that open nothing by themselves. Numbers, hashes, ids, times, versions, host
names, images in base64 and telephone numbers are never taken for secrets. A scanner is a net below, not a promise:
keep secrets away from agents that need not know them.
"""


def page() -> str:
    """The whole page."""
    tokens = [rule for rule in RULES if rule.kind is RuleKind.TOKEN]
    personal = [rule for rule in RULES if rule.kind is RuleKind.PERSONAL]
    return "\n".join(
        [
            _TEXT,
            f"## Tokens (kind `token`, {len(tokens)} rules)\n",
            *_table(tokens),
            f"\n## Personal data (kind `personal`, {len(personal)} rules)\n",
            *_table(personal),
            "\nPatterns are [RE2](https://github.com/google/re2/wiki/Syntax), which runs in linear time. Behind one",
            "that matches stands a check: of checksums (cards: Luhn and issuers' ranges; IBAN: modulo 97 and the",
            "country's length), of ranges (social security numbers), or of how random a text looks.",
            "",
        ]
    )


def _table(rules: list[Rule]) -> list[str]:
    rows = [f"| `{rule.name}` | {rule.what} |" for rule in rules]
    return ["| rule | finds |", "|---|---|", *rows]


def write(root: Path) -> None:
    """Write the page below a folder."""
    file = root / PAGE
    file.parent.mkdir(exist_ok=True)
    file.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write(Path())
