"""The limits that callers meet, with their units in their names.

Reaching one is a `LimitExceeded` that names it, or a page with a cursor to the next; never a silent cut. Bounds of one
algorithm stand beside it.
"""

from __future__ import annotations

# --- values -----------------------------------------------------------------
VALUE_DEPTH_MAX = 128
"""Levels of nesting, path included. Decoders of other languages recurse; 128 is safe in all of them."""
KEY_BYTES_MAX = 1_024
"""UTF-8 bytes of one map key. Keys are repeated in every tree node that holds them."""
PATH_BYTES_MAX = 4_096
"""UTF-8 bytes of a whole path, as a JSON Pointer."""
VALUE_BYTES_MAX = 4 * 1_024 * 1_024
"""Canonical bytes of the value of one operation. A larger document is loaded in parts, or as one value per file."""
COMMIT_BYTES_MAX = 8 * 1_024 * 1_024
"""Canonical bytes of all operations of one commit: what one process holds in memory several times over."""
OPERATIONS_MAX = 10_000
"""Operations of one apply call."""
INT_MIN = -(2**63)
INT_MAX = 2**63 - 1
"""Integers are 64-bit: what SQLite, msgpack, Rust and Go hold without loss."""
VALUE_INLINE_BYTES_MAX = 2_048
"""A larger value is kept in a row of its own, so that a change beside it does not copy it."""

# --- text -------------------------------------------------------------------
DESCRIPTION_BYTES_MAX = 4_096
REASONING_BYTES_MAX = 64 * 1_024
PROVENANCE_BYTES_MAX = 512 * 1_024
"""Tool calls with arguments and results included."""
TAGS_MAX = 32
TAG_BYTES_MAX = 128
NAME_BYTES_MAX = 200
"""Refs, agents, principals, clients, intent and request ids."""

# --- tree shape: part of what is hashed, so a change is a new tree layout ------
LEAF_ENTRIES_MIN = 8
LEAF_ENTRIES_MAX = 64
LEAF_BOUNDARY_ONE_IN = 16
"""A leaf closes at an entry whose level hash says so (one in 16) once it holds 8, and at 64 in any case: about 24."""
BRANCH_ENTRIES_MIN = 8
BRANCH_ENTRIES_MAX = 64
BRANCH_BOUNDARY_ONE_IN = 16
"""The same for the nodes above: a stored delta holds the changed link alone, so wide nodes cost no bytes."""

# --- storage ----------------------------------------------------------------
DELTA_DEPTH_MAX = 16
"""A stored node is at most this many delta rows away from a full one: bytes against the time of a cold read."""
NODE_CACHE_BYTES_MAX = 64 * 1_024 * 1_024
COMMIT_CACHE_BYTES_MAX = 16 * 1_024 * 1_024
VALUE_CACHE_BYTES_MAX = 16 * 1_024 * 1_024
BATCH_TRANSACTIONS_MAX = 64
"""Transactions of one group commit: beyond 64 the gain is nil and the first caller waits for the last."""
WRITE_QUEUE_MAX = 4_096
"""Callers waiting for the writer of this process."""
LOCK_WAIT_SECONDS_MAX = 30.0
"""How long a write waits for its turn among processes before it is refused, unwritten."""
SQLITE_BUSY_MS = 10_000

# --- replies ----------------------------------------------------------------
REPLY_BYTES_MAX = 32 * 1_024
"""A reply of about 8,000 tokens; clients cut or refuse at 25,000."""
REPLY_BYTES_ASKED_MAX = 16 * 1_024 * 1_024
"""What `max_bytes` of get may ask for."""
PAGE_ITEMS_DEFAULT = 20
PAGE_ITEMS_MAX = 500
COUNT_AHEAD_MAX = 100
"""How far the rest behind a page is counted; as many stand for as many or more. A full count would be a full scan."""
SCAN_ENTRIES_MAX = 200_000
"""State entries that one search call reads before it hands back a cursor."""
SCAN_COMMITS_MAX = 200_000
"""Commits that one query call examines before it hands back a cursor."""
JSONPATH_STEPS_MAX = 1_000_000
"""Nodes that one JSONPath visits, compares and tests, a few seconds: nested filters take the product of their sizes."""
QUERY_TEXT_BYTES_MAX = 1_024
PATTERN_BYTES_MAX = 256
NEAREST_MAX = 5
"""Alternatives named in an error."""

# --- validation ---------------------------------------------------------------
SCHEMA_BYTES_MAX = 64 * 1_024
"""Canonical bytes of the JSON Schema at /__schema__, which is compiled anew after each change of it."""
SCHEMA_VALUES_MAX = 4_000
"""Maps, lists and scalars in that schema: checking as many subschemas takes about a second, when it is written."""
SCHEMA_DEPTH_MAX = 32
"""Levels of nesting of that schema; each subschema takes two."""
SCHEMA_PATTERNS_MAX = 100
"""Different patterns in it: each compiled one takes memory."""
VALIDATION_STEPS_MAX = 300_000
"""Keywords applied, keys and elements looked at in the validation of one write: about two seconds; others wait."""
VALIDATION_ENTRIES_MAX = 100_000
"""Entries of the state that the validation of one write reads."""
VIOLATIONS_SHOWN_MAX = 20
"""Violations named in one reply; the others are counted, up to COUNT_AHEAD_MAX."""
VALIDATION_DEPTH_MAX = 160
"""Keywords inside each other; each takes three or four frames of Python's stack of 1,000."""

# --- sessions and outcomes ----------------------------------------------------
SESSION_SECONDS_DEFAULT = 7 * 24 * 3_600
"""How long a session lasts when nothing was said: a piece of work, not a standing permission."""
SESSION_SECONDS_MAX = 366 * 24 * 3_600
SCOPE_PATHS_MAX = 32
DEVIATIONS_MAX = 100
CHILDREN_SHOWN_MAX = 50
"""Children named in the answer to one resolve; the rest is counted, and query lists them all."""
EPOCH_ROOTS_MAX = 1_000
"""Root intents of one epoch; a common ancestor stands for any number."""
RECORDS_SCANNED_MAX = 100_000
"""Sessions, outcomes, speculations or epochs that one call looks through, the newest first."""

# --- speculations -------------------------------------------------------------
SPECULATIONS_OPEN_MAX = 100
"""Open at once, of one principal: trials that nobody ends must not pile up."""
SPECULATION_SECONDS = 7 * 24 * 3_600
"""How long one stays open; then its principal's next one drops it."""
SPECULATIONS_COMPARED_MAX = 8
"""Compared by one call: 8 make 28 pairs, and a reply has room for no more."""
SPECULATION_ALTERNATIVES_MAX = 32
"""Speculations that one remembers having been compared with, the last ones: what a commit names as alternatives."""
CHANGES_COUNTED_MAX = 1_000
"""How far the changes of a speculation are counted; as many stand for as many or more."""
LESSON_BYTES_MAX = 4_096
"""It is copied into the commit of the speculation that won."""

# --- plans and tasks ------------------------------------------------------------
PLAN_TASKS_MAX = 10_000
"""Tasks of one plan, finished ones included; a larger undertaking is several plans."""
PLAN_NAME_CHARS_MAX = 64
"""Of a plan's name and of a task's id: they are keys, and are repeated in every path."""
PLAN_SUMMARY_BYTES_MAX = 8_192
TASK_TITLE_BYTES_MAX = 1_024
"""One line; what a worker has to read goes to a path that the title names."""
TASK_BLOCKERS_MAX = 100
TASK_REASON_BYTES_MAX = 4_096
TASK_PROOF_BYTES_MAX = 4_096
"""Of the value of a proof, and of its note. Long output is kept in a file or at a path that the proof names."""
LEASE_SECONDS_DEFAULT = 15 * 60
"""How long a started task is its worker's: long enough for most work, short enough that a dead worker is noticed."""
LEASE_SECONDS_MAX = 24 * 3_600

# --- migrations -----------------------------------------------------------------
MIGRATIONS_MAX = 1_000
"""Migrations that all installed packages register together."""
MIGRATION_CHANGES_MAX = 50
"""Changes that a dry run shows of each step; it counts them all."""

# --- backups and the mark ---------------------------------------------------------
MARK_SECONDS = 1.0
"""Between two high-water marks of a store that is written to without pause; each takes some 2 ms of a thread."""
BACKUPS_KEPT_MAX = 10_000
"""The N of `backup --keep N`."""
BACKUP_PLACES_MAX = 1_000
"""Folders, and files by themselves, that a store was backed up to and that `redact` looks into."""

# --- garbage collection -----------------------------------------------------------
GRACE_SECONDS_DEFAULT = 14 * 24 * 3_600
"""How long what a speculation tried, or a deleted branch held, stays after its end, as git keeps what nothing names."""
GRACE_SECONDS_MAX = 100 * 366 * 24 * 3_600

# --- ids --------------------------------------------------------------------
SHORT_ID_DIGITS = 12
PREFIX_DIGITS_MIN = 6
ANCESTOR_STEPS_MAX = 1_000_000
"""The N of `main~N`."""

# --- transport --------------------------------------------------------------
LINE_BYTES_MAX = 32 * 1_024 * 1_024
"""One JSON-RPC message on stdio, checked before it is parsed."""
PENDING_BYTES_MAX = 256 * 1_024 * 1_024
"""Requests being worked on and replies not yet read by the client, on one stdio connection; more are refused."""
DRAIN_SECONDS_MAX = 35.0
"""How long pending calls may finish once the client is gone: a write may wait LOCK_WAIT_SECONDS_MAX for its turn."""

# --- HTTP ---------------------------------------------------------------------
HTTP_BODY_BYTES_MAX = 16 * 1_024 * 1_024
"""Of one request: COMMIT_BYTES_MAX as JSON, with its escapes and envelope."""
HTTP_DEPTH_MAX = VALUE_DEPTH_MAX + 32
"""Levels of nesting of a request's JSON: a value of VALUE_DEPTH_MAX inside a call inside its envelope."""
HTTP_REQUESTS_PER_SECOND = 1_000
"""Of one token, in the long run: about what one process can answer, so that no token takes all of it for long."""
HTTP_REQUESTS_BURST = 2_000
"""Requests that may come at once after a pause."""
HTTP_RATES_KEPT_MAX = 10_000
"""Tokens and addresses whose rate is remembered; the longest unused is forgotten."""
HTTP_HEAD_SECONDS_MAX = 20.0
"""How long a client may take to send the head of a request, once it is connected or has its last answer."""
HTTP_BODY_SECONDS_MAX = 30.0
"""How long a client may take to send a body."""
HTTP_SEND_SECONDS_MAX = 60.0
"""How long a client may take to read one part of a reply before its connection is closed."""
HTTP_CONNECTIONS_MAX = 1_024
"""Open at once; more are answered 503."""
HTTP_SESSIONS_MAX = 1_024
"""Sessions of the older era's Streamable HTTP, open at once."""
HTTP_SESSIONS_PER_TOKEN_MAX = 128
"""Those of one token: no token takes the sessions of all others."""
HTTP_REQUESTS_OPEN_MAX = 256
"""Requests and streams of one token that are not answered to the end: no token takes the connections of all others."""
TOKENS_MAX = 1_000
TOKENS_FILE_BYTES_MAX = 4 * 1_024 * 1_024
TOKEN_CHECK_SECONDS = 2.0
"""How often it is looked whether the token of an open stream still holds: a revoked one hears nothing after that."""

# --- authorization server -------------------------------------------------------
OAUTH_TOKEN_CHARS_MAX = 8_192
"""Of one JWT: some 2 KB is common, and it is decoded before anybody is known."""
OAUTH_LEEWAY_SECONDS = 30
"""How far the clocks of the issuer and of this server may differ."""
OAUTH_TOKENS_KEPT_MAX = 1_024
"""Verified tokens that are remembered, by their hashes, so that a signature is verified once."""
OAUTH_KEYS_BYTES_MAX = 256 * 1_024
OAUTH_KEYS_MAX = 64
"""Of the issuer's document: issuers have two to ten keys of some 2 KB."""
OAUTH_FETCH_SECONDS_MAX = 5.0
"""How long the issuer may take to send a document."""
OAUTH_FETCH_PAUSE_SECONDS = 30.0
"""Between two fetches at least, whatever key a token names: whoever makes up keys makes no traffic."""
OAUTH_KEYS_FRESH_SECONDS = 600.0
"""After this long keys are fetched again: how long one that the issuer took back still counts."""
OAUTH_KEYS_SECONDS_MAX = 3_600.0
"""After this long without an answer of the issuer its keys count no more."""
OAUTH_CLAIM_ITEMS_MAX = 100
"""Agents, refs or paths that one token names."""

# --- denials ---------------------------------------------------------------------
DENIAL_SECONDS = 60.0
"""The first denial of one verb on one ref in this time is an event; the next event counts those that follow."""
DENIALS_PER_PRINCIPAL_MAX = 10
"""Denials of one principal that are events in that time."""
DENIALS_MAX = 100
"""Denials of all principals of one process that are events in that time: some 30 MB a day, if it never ends."""
DENIED_PRINCIPALS_KEPT_MAX = 1_000
"""Principals whose denials are counted; the one refused longest ago is forgotten, with its count."""
DENIED_TEXT_BYTES_MAX = 256
"""Of a ref, an agent or a path as a denial tells it."""

# --- resources, subscriptions, completion ---------------------------------------
URI_CHARS_MAX = 16_384
"""Of a resource: a ref and a path of PATH_BYTES_MAX, every byte of them percent-encoded."""
SUBSCRIPTIONS_MAX = 256
"""Resources that one connection, or in the newer protocol one listen stream, is subscribed to."""
LISTEN_STREAMS_MAX = 64
"""Listen streams open at one server."""
SUBSCRIPTION_POLL_SECONDS = 0.25
"""How often the log's length is read while anything is subscribed to, 0.1 ms each: writers may be other processes."""
COMPLETIONS_MAX = 100
"""Values of one completion, as the protocol bounds it."""
COMPLETION_SCAN_MAX = 10_000
"""Names behind those values that are counted, some 20 ms; with more the total is left out."""
FOLLOWED_EVENTS_MAX = 256
FOLLOWED_CHANGES_MAX = 1_000
"""Of one look of a follower of a branch; the next goes on there, and what one commit changed stays together."""
UPDATE_ATTEMPTS_MAX = 64
UPDATE_PAUSE_SECONDS_MAX = 0.1
"""A read-modify-write that others keep overtaking pauses for a random time up to this and gives up in the end."""

# --- evidence -------------------------------------------------------------------
CLASSES_MAX = 64
"""Sensitive prefixes of a store, the destroyed ones included: each write looks at all of them."""
REDACT_PINS_MAX = 1_000_000
"""Different values that stay and keep their ids when a value is erased: 32 bytes each in every process that has the
store open. With more the class key stays, and an erased value of few bits can be guessed from its id."""
RECEIPT_IDS_MAX = 10_000
"""Ids of each kind in one receipt; more are in further receipts of the same transaction."""
BUNDLE_BYTES_MAX = 512 * 1_024 * 1_024
"""Of one evidence bundle, made and verified in memory: 9 KB a commit measured with 10,000 leaves and 400 B of prose."""

# --- archives -------------------------------------------------------------------
ARCHIVE_RECORD_BYTES_MAX = 128 * 1_024 * 1_024
"""Of one commit, event or value in the archive of a repository: what importing holds in memory at a time."""
ARCHIVE_MANIFEST_BYTES_MAX = 16 * 1_024 * 1_024
"""Of its manifest, which grows by some 200 bytes with each sealed epoch."""
ARCHIVE_SOURCES_MAX = 100
"""Earlier logs that the first event of an imported one names, the newest first."""

# --- the files of clients -------------------------------------------------------
CLIENT_CONFIG_BYTES_MAX = 32 * 1_024 * 1_024
"""Of a client's file that `install` edits in memory; Claude Code's, which holds its history too, has a few MB."""
