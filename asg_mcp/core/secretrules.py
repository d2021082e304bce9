"""The rules of the secrets scanner: documented formats of tokens, and personal data that can be checked.

Patterns are RE2 over UTF-8 bytes, so each runs in linear time. The one group of a pattern, or else all of it, is the
secret. In what is searched, NAME and END stand behind a name and behind a text; no pattern reaches beyond END.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from asg_mcp.core import secretchecks as check

NAME, END = b"\x1f", b"\x00"
_B, _E = r"(?:^|[^A-Za-z0-9_]|\\[nrt])", r"(?:[^A-Za-z0-9_-]|$)"
"""What stands before and behind a token: RE2 counts - as no part of a word, and base64url does; \\n ends a line of JSON
that is inside a text."""


class RuleKind(StrEnum):
    """What a rule finds."""

    TOKEN = "token"
    """What opens a door: keys, tokens, passwords."""
    PERSONAL = "personal"
    """What says who somebody is, or pays for them."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One format. `cues` are RE2 fragments, without boundaries, of which every match has one: see `secretscan`."""

    name: str
    what: str
    cues: tuple[str, ...]
    pattern: str
    check: Callable[[bytes], bool] = check.random_looking
    kind: RuleKind = RuleKind.TOKEN


def _token(name: str, what: str, cues: str, body: str) -> Rule:
    """A token that begins with a prefix of its own: one of the cues, between blanks."""
    fragments = tuple(cues.split())
    return Rule(name, what, fragments, f"{_B}((?:{'|'.join(fragments)}){body}){_E}")


_SECRET_NAMES = (
    r"(?:pass(?:word|wd|phrase)|pwd|secret|api_?-?key|apikey|(?:access|auth|refresh|bearer)_?-?token"
    r"|(?:private|secret|encryption|signing|access|account)_?-?key|credentials?)"
)
_CARD_NAMES = r"(?:card|kreditkarte|carte|visa|amex|cc_?-?(?:num|no|nr)|(?:^|[^a-z0-9])pan[^a-z0-9])"
_SSN_NAMES = r"(?:ssn|social.{0,3}security)"
_ASSIGNED = r"""["'\\]{0,2} {0,2}(?::|=|:=|=>|\x1f) {0,2}["'\\]{0,2}"""
_PEM = r"[A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----"

_TOKENS = (
    _token("aws-access-key-id", "AWS access key", "AKIA ASIA", "[A-Z2-7]{16}"),
    _token("github-token", "GitHub token", "gh[pousr]_", "[A-Za-z0-9]{36,}"),
    _token("github-fine-grained-token", "GitHub fine-grained token", "github_pat_", "[A-Za-z0-9_]{60,}"),
    _token(
        "gitlab-token", "GitLab token", "gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|oas|imt|ffct)-", "[A-Za-z0-9_.-]{20,}"
    ),
    _token("slack-token", "Slack token", "xox[abeoprs]- xapp-", "[A-Za-z0-9-]{10,}"),
    _token("stripe-key", "Stripe secret or restricted key", "[sr]k_live_ [sr]k_test_", "[A-Za-z0-9]{16,}"),
    _token("stripe-webhook-secret", "Stripe webhook secret", "whsec_", "[A-Za-z0-9+/=]{24,}"),
    Rule(
        "openai-key",
        "OpenAI key",
        ("T3BlbkFJ", "sk-proj-", "sk-svcacct-", "sk-admin-"),
        _B + r"(sk-(?:[A-Za-z0-9_-]{10,}T3BlbkFJ[A-Za-z0-9_-]{10,}|(?:proj|svcacct|admin)-[A-Za-z0-9_-]{40,}))" + _E,
    ),
    _token("anthropic-key", "Anthropic key", "sk-ant-", "[A-Za-z0-9_-]{32,}"),
    _token("openrouter-key", "OpenRouter key", "sk-or-v1-", "[0-9a-f]{48,}"),
    _token("google-api-key", "Google API key", "AIza", "[A-Za-z0-9_-]{35}"),
    _token("google-oauth-secret", "Google OAuth client secret", "GOCSPX-", "[A-Za-z0-9_-]{24,}"),
    _token("google-oauth-token", "Google OAuth access token", r"ya29\.", "[A-Za-z0-9_-]{20,}"),
    _token("npm-token", "npm token", "npm_", "[A-Za-z0-9]{36}"),
    _token("pypi-token", "PyPI token", "pypi-AgE", "[A-Za-z0-9_-]{50,}"),
    _token("huggingface-token", "Hugging Face token", "hf_ api_org_", "[A-Za-z0-9]{34}"),
    _token("sendgrid-key", "SendGrid key", r"SG\.", r"[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,}"),
    Rule(
        "twilio-auth-token",
        "Twilio auth token",
        ("(?i:twilio)",),
        r"(?i:twilio)[^\x00]{0,60}?(?:^|[^0-9a-f])([0-9a-f]{32})(?:[^0-9a-f]|$)",
    ),
    _token("mailgun-key", "Mailgun key", "key-", "[0-9a-f]{32}"),
    Rule("mailchimp-key", "Mailchimp key", ("-us[0-9]",), _B + "([0-9a-f]{32}-us[0-9]{1,2})" + _E),
    _token("digitalocean-token", "DigitalOcean token", "do[opr]_v1_", "[0-9a-f]{64}"),
    _token("databricks-token", "Databricks token", "dapi", "[0-9a-f]{32}(?:-[0-9])?"),
    _token("shopify-token", "Shopify token", "shp(?:at|ca|pa|ss)_", "[0-9A-Fa-f]{32}"),
    _token("square-token", "Square token", "sq0(?:atp|csp|idp)-", "[A-Za-z0-9_-]{22,}"),
    Rule(
        "telegram-bot-token",
        "Telegram bot token",
        (":AA[A-Za-z0-9_-]{4}",),
        _B + "([0-9]{8,10}:AA[A-Za-z0-9_-]{33})" + _E,
    ),
    _token("docker-token", "Docker Hub token", "dckr_pat_ dckr_oat_", "[A-Za-z0-9_-]{20,}"),
    _token("vault-token", "HashiCorp Vault token", r"hv[sbr]\.", "[A-Za-z0-9_-]{24,}"),
    Rule(
        "terraform-token",
        "Terraform Cloud token",
        (r"\.atlasv1\.",),
        _B + r"([A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,})" + _E,
    ),
    Rule("azure-storage-key", "Azure storage account key", ("AccountKey=",), r"AccountKey=([A-Za-z0-9+/]{86}==)"),
    _token("grafana-token", "Grafana token", "glsa_ glc_", "[A-Za-z0-9_+/=]{32,}"),
    _token("supabase-token", "Supabase token", "sbp_", "[0-9a-f]{40}"),
    _token("groq-key", "Groq key", "gsk_", "[A-Za-z0-9]{40,}"),
    _token("xai-key", "xAI key", "xai-", "[A-Za-z0-9]{60,}"),
    _token("perplexity-key", "Perplexity key", "pplx-", "[A-Za-z0-9]{40,}"),
    _token("replicate-token", "Replicate token", "r8_", "[A-Za-z0-9]{37}"),
    _token("atlassian-token", "Atlassian token", "ATATT3 ATCTT3", "[A-Za-z0-9_=-]{60,}"),
    _token("new-relic-key", "New Relic key", "NRAK-", "[A-Z0-9]{27}"),
    _token("notion-token", "Notion token", "ntn_", "[A-Za-z0-9]{40,}"),
    _token("linear-key", "Linear key", "lin_api_", "[A-Za-z0-9]{40}"),
    _token("planetscale-token", "PlanetScale token or password", "pscale_(?:tkn|pw|oauth)_", r"[A-Za-z0-9_.-]{32,}"),
    _token("doppler-token", "Doppler token", r"dp\.(?:pt|st|ct|sa|scim|audit)\.", r"[A-Za-z0-9._-]{40,}"),
    _token("age-secret-key", "age secret key", "AGE-SECRET-KEY-1", "[0-9A-Z]{58}"),
    Rule(
        "slack-webhook",
        "Slack webhook",
        (r"hooks\.slack\.com",),
        r"(hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{30,})",
    ),
    Rule(
        "discord-webhook",
        "Discord webhook",
        ("/api/webhooks/",),
        r"(discord(?:app)?\.com/api/webhooks/[0-9]{15,22}/[A-Za-z0-9_-]{50,})",
    ),
    Rule(
        "aws-secret-access-key",
        "AWS secret access key",
        ("(?i:secret_?access_?key)", "(?i:aws_?secret)"),
        r"(?i:secret_?access_?key|aws_?secret(?:_?key)?)" + _ASSIGNED + r"([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)",
    ),
    Rule(
        "private-key",
        "private key in PEM",
        ("PRIVATE KEY",),
        rf"(-----BEGIN {_PEM}[^\x00\x1f]*?-----END {_PEM}|-----BEGIN {_PEM}[^\x00\x1f]{{32,}})",
        check.always,
    ),
    Rule(
        "jwt",
        "JSON Web Token",
        (r"eyJ[A-Za-z0-9_-]{8}",),
        _B + r"(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,})",
        check.jwt,
    ),
    Rule(
        "url-password",
        "password in a URL",
        (r"://[^\x00-\x20/@]+@",),
        r"[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s/?#@:\x00\x1f\"'<>]*:([^\s/@\x00\x1f\"'<>]{3,})@[A-Za-z0-9\[_]",
        check.password_in_url,
    ),
    Rule(
        "bearer-token",
        "bearer token",
        ("(?i:bearer) ",),
        r"(?i:bearer) +([A-Za-z0-9._~+/=-]{16,})",
        check.bearer,
    ),
    Rule(
        "basic-credentials",
        "user and password in base64",
        ("(?i:basic) ",),
        r"(?i:basic) +([A-Za-z0-9+/]{6,}={0,2})(?:[^A-Za-z0-9+/=]|$)",
        check.basic,
    ),
    Rule(
        "assigned-secret",
        "generated value under a name such as password or api_key",
        (rf"(?is:{_SECRET_NAMES}.{{1,6}}[!-~]{{8}})",),
        rf"(?:(?i:{_SECRET_NAMES}){_ASSIGNED}|--[a-z-]{{0,20}}{_SECRET_NAMES} )"
        r"([^\s\"'`,;<>\\\x00\x1f]{10,})(?:[\s\"'`,;<>\\\x00\x1f]|$)",
        check.assigned_secret,
    ),
)

_PERSONAL = (
    Rule(
        "payment-card",
        "payment card number in groups",
        ("[0-9]{4}(?:[ -][0-9]{4}){3}", "[0-9]{4}[ -][0-9]{6}[ -]"),
        r"(?:^|[^0-9A-Za-z-]|\\[nrt])([0-9]{4}(?:[ -][0-9]{4}){3}|3[0-9]{3}[ -][0-9]{6}[ -][0-9]{4,5})"
        r"(?:[^0-9A-Za-z-]|$)",
        check.card,
        RuleKind.PERSONAL,
    ),
    Rule(
        "payment-card-digits",
        "payment card number under a name such as card",
        (f"(?i:{_CARD_NAMES})", "cpan"),  # the byte before a text of three characters is a c
        rf"(?i:{_CARD_NAMES})[^\x00]{{0,40}}?(?:^|[^0-9A-Za-z.-])([0-9]{{14,19}})(?:[^0-9A-Za-z-]|$)",
        check.card,
        RuleKind.PERSONAL,
    ),
    Rule(
        "iban",
        "bank account (IBAN)",
        ("[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4} ?[A-Z0-9]{2}",),
        r"(?:^|[^A-Za-z0-9/_+=-]|\\[nrt])([A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?)"
        r"(?:[^A-Za-z0-9/_+=-]|$)",
        check.iban,
        RuleKind.PERSONAL,
    ),
    Rule(
        "us-ssn",
        "US social security number under a name such as ssn",
        (f"(?i:{_SSN_NAMES})",),
        rf"(?i:{_SSN_NAMES})[^\x00]{{0,30}}?(?:^|[^0-9A-Za-z.-])([0-9]{{3}}[ -]?[0-9]{{2}}[ -]?[0-9]{{4}})"
        r"(?:[^0-9A-Za-z-]|$)",
        check.ssn,
        RuleKind.PERSONAL,
    ),
)

RULES = (*_TOKENS, *_PERSONAL)
