"""JSONPath (RFC 9535) over a value, with bounded work and RE2 patterns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

from jsonpath import JSONPath, JSONPathEnvironment, JSONPathMatch, NodeList
from jsonpath.exceptions import JSONPathError
from jsonpath.filter import UNDEFINED, BaseExpression, RelativeFilterQuery, RootFilterQuery
from jsonpath.function_extensions import ExpressionType, FilterFunction
from jsonpath.parse import Parser
from jsonpath.selectors import FilterContext
from jsonpath.stream import TokenStream
from jsonpath.token import TOKEN_LG, TOKEN_SELF

from asg_mcp.core.limits import JSONPATH_STEPS_MAX, QUERY_TEXT_BYTES_MAX, VALUE_DEPTH_MAX
from asg_mcp.core.paths import Tokens
from asg_mcp.errors import InvalidArgument, InvalidInput, LimitExceeded
from asg_mcp.repo.patterns import Span, compile_pattern

_HINT = "mode jsonpath takes RFC 9535, such as $.users[?@.age > 30].name or $..status; mode text takes plain text."
_CHILDREN = 4
"""Children of a container that are looked at in one step."""
_STEP_CHARS = 256
"""Characters of text that are compared or searched as one step."""


class Meter:
    """Counts the steps of one evaluation: nodes visited, values compared, text searched."""

    def __init__(self) -> None:
        self._left = JSONPATH_STEPS_MAX

    def take(self, steps: int = 1) -> None:
        """Raises LimitExceeded when there are no steps left."""
        self._left -= steps
        if self._left < 0:
            raise LimitExceeded(
                f"The JSONPath takes more than {JSONPATH_STEPS_MAX} steps",
                hint="Give a prefix, or use fewer of .. and of nested filters.",
                limit="JSONPATH_STEPS_MAX",
                max=JSONPATH_STEPS_MAX,
            )

    def visit(self, value: object) -> None:
        """Take the steps of one node: whoever comes to a container looks at its children, chosen or not."""
        self.take(1 + len(value) // _CHILDREN if isinstance(value, dict | list) else 1)


class _Match(JSONPathMatch):
    """A node; making one is a step. The normalized path as text is not made: `parts` says the same."""

    __slots__ = ()

    def new_child(self, obj: object, key: int | str) -> _Match:
        context = self.filter_context()
        context["meter"].visit(obj)
        return _Match(filter_context=context, obj=obj, parent=self, parts=(*self.parts, key), path="", root=self.root)

    def add_child(self, *children: JSONPathMatch) -> None:
        """Nothing: nobody reads the children, and keeping them would keep every node in memory."""


class _Query(JSONPath):
    """A query whose nodes are ours, and whose `$` is the whole document inside nested filters too."""

    def finditer(self, data: Any, *, filter_context: Mapping[str, Any] | None = None) -> Iterable[JSONPathMatch]:
        assert filter_context is not None, "BUG: evaluation has a context"
        root = filter_context["root"]
        filter_context["meter"].visit(data)
        nodes: Iterable[JSONPathMatch] = [
            _Match(filter_context=filter_context, obj=data, parent=None, path="", parts=(), root=root)
        ]
        for segment in self.segments:
            nodes = segment.resolve(nodes)
        return nodes


class _Relative(RelativeFilterQuery):
    """A query from the current node; `@` alone is there whatever its value, false and 0 included."""

    __slots__ = ()

    def evaluate(self, context: FilterContext) -> NodeList:
        current: Any = context.current
        return NodeList(self.path.finditer(current, filter_context=context.extra_context))


class _Parser(Parser):
    """Makes the queries inside filters of the two classes above."""

    def parse_absolute_query(self, stream: TokenStream) -> BaseExpression:
        stream.next()
        return RootFilterQuery(_Query(env=self.env, segments=self.parse_query(stream)))

    def parse_relative_query(self, stream: TokenStream) -> BaseExpression:
        stream.eat(TOKEN_SELF)
        return _Relative(_Query(env=self.env, segments=self.parse_query(stream)))


class _Pattern(FilterFunction):
    """The functions match and search. As RFC 9535 has it, a bad pattern matches nothing."""

    arg_types: ClassVar = [ExpressionType.VALUE, ExpressionType.VALUE]
    return_type = ExpressionType.LOGICAL

    def __init__(self, meter: Meter, *, whole: bool) -> None:
        self._meter = meter
        self._whole = whole
        self._compiled: dict[str, Callable[[str], Span | None] | None] = {}

    def __call__(self, value: object, pattern: object) -> bool:
        if not isinstance(value, str) or not isinstance(pattern, str):
            return False
        self._meter.take(1 + len(value) // _STEP_CHARS)
        if pattern not in self._compiled:
            self._compiled[pattern] = self._compile(pattern)
        search = self._compiled[pattern]
        return search is not None and search(value) is not None

    def _compile(self, pattern: str) -> Callable[[str], Span | None] | None:
        self._meter.take(_STEP_CHARS)
        text = _from_iregexp(pattern)
        try:
            return compile_pattern(rf"\A(?:{text})\z" if self._whole else text)
        except InvalidInput:
            return None


def _from_iregexp(pattern: str) -> str:
    """RFC 9485 in RE2's words: a dot is any character but line feed and carriage return."""
    parts = []
    escaped = in_class = False
    for char in pattern:
        dot = char == "." and not escaped and not in_class
        parts.append(r"[^\n\r]" if dot else char)
        if not escaped:
            in_class = char == "[" or (in_class and char != "]")
        escaped = char == "\\" and not escaped
    return "".join(parts)


class _Environment(JSONPathEnvironment):
    """Strict RFC 9535, for one evaluation."""

    max_recursion_depth = VALUE_DEPTH_MAX + 2
    parser_class = _Parser

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        super().__init__(strict=True)

    def setup_function_extensions(self) -> None:
        super().setup_function_extensions()
        self.function_extensions["match"] = _Pattern(self.meter, whole=True)
        self.function_extensions["search"] = _Pattern(self.meter, whole=False)

    def is_truthy(self, obj: object) -> bool:
        self.meter.take()
        return super().is_truthy(obj)

    def compare(self, left: object, operator: str, right: object) -> bool:
        if operator in ("&&", "||"):
            return super().compare(left, operator, right)
        left, right = _single(left), _single(right)
        if operator in ("==", "!="):
            return self._same(left, right) is (operator == "==")
        if operator in ("<=", ">=") and self._same(left, right):
            return True
        if isinstance(left, bool) or isinstance(right, bool):
            return False
        return super().compare(left, operator[0], right)

    def _same(self, left: object, right: object) -> bool:
        if isinstance(left, dict) and isinstance(right, dict):
            self.meter.take(1 + len(left))
            return left.keys() == right.keys() and all(self._same(left[key], right[key]) for key in left)
        if isinstance(left, list) and isinstance(right, list):
            self.meter.take(1 + len(left))
            return len(left) == len(right) and all(map(self._same, left, right))
        if isinstance(left, str) and isinstance(right, str):
            self.meter.take(1 + min(len(left), len(right)) // _STEP_CHARS)
        if isinstance(left, bool) or isinstance(right, bool):
            return left is right
        return bool(left == right)


def _single(value: object) -> object:
    """What a singular query gives: its value, or the special Nothing."""
    if isinstance(value, NodeList):
        return value[0].obj if len(value) == 1 else UNDEFINED
    return value


class Expression:
    """A compiled JSONPath. Raises InvalidArgument with the position of the fault, and LimitExceeded for a long one."""

    def __init__(self, text: str) -> None:
        size = len(text.encode(errors="surrogatepass"))
        if size > QUERY_TEXT_BYTES_MAX:
            raise LimitExceeded(
                f"The JSONPath has {size} bytes; at most {QUERY_TEXT_BYTES_MAX} are allowed",
                hint="Give a prefix, and a shorter expression below it.",
                limit="QUERY_TEXT_BYTES_MAX",
                max=QUERY_TEXT_BYTES_MAX,
            )
        self._meter = Meter()
        environment = _Environment(self._meter)
        try:
            for token in environment.lexer.tokenize(text):
                if token.kind == TOKEN_LG:
                    raise _invalid(text, "<> is no operator of RFC 9535; use !=", token.index)
            compiled = environment.compile(text)
            assert isinstance(compiled, JSONPath), "BUG: RFC 9535 has no unions of queries"
            self._query = _Query(env=environment, segments=compiled.segments)
        except JSONPathError as error:
            index = None if error.token is None else error.token.index
            raise _invalid(text, str(error.message), index) from None
        except (RecursionError, ValueError, OverflowError) as error:
            raise _invalid(text, str(error), None) from None

    def nodes(self, value: Any) -> Iterator[tuple[Tokens, Any]]:
        """(path below the value, value there) of each node that is selected, in the order that RFC 9535 gives them.

        Raises LimitExceeded when that takes more than JSONPATH_STEPS_MAX steps.
        """
        try:
            for match in self._query.finditer(value, filter_context={"meter": self._meter, "root": value}):
                yield tuple(str(part) for part in match.parts), match.obj
        except RecursionError:
            raise LimitExceeded(
                "The JSONPath nests too deeply for this state", hint="Give a prefix, or use fewer segments."
            ) from None


def _invalid(text: str, problem: str, index: int | None) -> InvalidArgument:
    at = "" if index is None else f" at character {index}"
    details = {} if index is None else {"position": index}
    return InvalidArgument(f"{text!r} is not a JSONPath{at}: {problem}", hint=_HINT, **details)
