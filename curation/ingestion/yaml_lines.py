"""YAML in which every value knows its file, line and key, so that an error can name all three.

Reads values strictly and says what was expected; what the keys mean is for the caller. Never builds Python objects from tags.
"""

import difflib
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import yaml

from curation.errors import CurationError

Plain = str | int | float | bool
_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool"))


def close_match(word: str, known: Iterable[str]) -> str:
    """`; did you mean x?` when one of `known` is close to `word`, otherwise nothing."""
    found = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f"; did you mean `{found[0]}`?" if found else ""


@dataclass(frozen=True)
class Declared:
    """One value of a YAML file: `key` is its dotted way from the root, `line` (from 1) that of its key."""

    node: yaml.Node
    file: str
    line: int
    key: str = ""

    def error(self, problem: str, fix: str) -> CurationError:
        """The error to raise about this value."""
        where = f"{self.file}:{self.line}: {self.key}" if self.key else f"{self.file}:{self.line}"
        return CurationError(f"{where}: {problem}", fix)

    def entries(self, known: Collection[str] | None = None) -> dict[str, "Declared"]:
        """The values of a mapping by key; CurationError on another shape, a key twice, or a key that is not in `known`."""
        if not isinstance(self.node, yaml.MappingNode):
            expected = "`key: value` lines" + (f" with {', '.join(known)}" if known else "")
            raise self.error("holds no mapping", f"write {expected} below it, indented")
        found: dict[str, Declared] = {}
        for key_node, value_node in self.node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise self.error(f"a key on line {line} is not a plain word", "write keys as plain words")
            name = key_node.value
            value = Declared(value_node, self.file, line, f"{self.key}.{name}" if self.key else name)
            if name in found:
                raise value.error(f"declared twice, first on line {found[name].line}", "keep one of the two")
            if known is not None and name not in known:
                raise value.error(f"unknown key `{name}`{close_match(name, known)}", f"known here: {', '.join(known)}")
            found[name] = value
        return found

    @property
    def is_mapping(self) -> bool:
        """Whether it holds `key: value` pairs."""
        return isinstance(self.node, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        """Whether it is a list, `[a, b]`."""
        return isinstance(self.node, yaml.SequenceNode)

    def says(self, word: str) -> bool:
        """Whether it is that one word."""
        return isinstance(self.node, yaml.ScalarNode) and self.node.value == word

    def items(self) -> list["Declared"]:
        """The values of a list that is not empty."""
        if not isinstance(self.node, yaml.SequenceNode) or not self.node.value:
            raise self.error("is no list of values", "write a list such as [a, b]")
        return [Declared(node, self.file, node.start_mark.line + 1, self.key) for node in self.node.value]

    def word(self) -> str:
        """A scalar exactly as it is written: `yes`, `1` and `007` are the words yes, 1 and 007."""
        if not isinstance(self.node, yaml.ScalarNode) or not self.node.value or self.node.tag.endswith(":null"):
            raise self.error("has no value", "write one word after the colon, in quotes when it has odd characters")
        return str(self.node.value)

    def plain(self) -> Plain:
        """A scalar by YAML's rules: text, whole number, number or true/false."""
        self.word()
        if self.node.tag in _PLAIN_TAGS:
            try:
                value: Plain = yaml.SafeLoader("").construct_object(self.node)
            except ValueError:  # `0b_` looks like a number to YAML and is none
                raise self.error(f"`{self.word()}` is no value", 'put text into quotes: "..."') from None
            return value
        raise self.error(f"`{self.word()}` is neither text nor number nor true/false", 'put text into quotes: "..."')

    def text(self) -> str:
        """A scalar that YAML reads as text."""
        value = self.plain()
        if not isinstance(value, str):
            raise self.error(f"is {value!r}, not text", f'put it into quotes: "{self.word()}"')
        return value

    def number(self) -> float:
        """A finite number."""
        value = self.plain()
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.error(f"`{self.word()}` is not a number", "write a number such as 5 or 0.5")
        return float(value)

    def whole_number(self) -> int:
        """A whole number from 1."""
        value = self.plain()
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.error(f"`{self.word()}` is not a whole number from 1", "write a whole number such as 200")
        return value

    def flag(self) -> bool:
        """true or false."""
        value = self.plain()
        if not isinstance(value, bool):
            raise self.error(f"`{self.word()}` is neither true nor false", "write true or false")
        return value


def read_yaml(text: str, file: str) -> Declared | None:
    """The root of one YAML document, None when it holds nothing; `file` is what errors call it."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise CurationError(
            f"{file}:{line}: not YAML: {error.problem}", "check indentation (spaces only), colons, quotes"
        ) from None
    except yaml.YAMLError as error:
        raise CurationError(f"{file}: not YAML: {error}", "save it as plain UTF-8 text") from None
    return None if node is None else Declared(node, file, node.start_mark.line + 1)
