"""PTX as text -> instructions."""

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Fault(Exception):
    """The program did what a GPU would not survive, or what the executor does not know."""


# each is itself alone, which makes it a quick key
operand = dataclass(frozen=True, eq=False, slots=True)


@operand
class Register:
    name: str
    bits: int  # 1 for a predicate


@operand
class Special:
    """%tid.x and the like."""

    name: str


@operand
class Immediate:
    """An integer, or the bits of a floating-point number."""

    value: int


@operand
class Symbol:
    """The address of a variable in shared memory, or a parameter's name."""

    name: str


@operand
class Memory:
    base: object  # Register, Symbol or Immediate
    offset: int


class Instruction(NamedTuple):
    name: str  # "add"
    modifiers: tuple[str, ...]  # ("rn", "f32")
    operands: tuple  # of the above; a tuple where several registers stand in braces
    predicate: Register | None
    negated: bool
    text: str

    @property
    def type(self):
        return self.modifiers[-1]


SPECIAL = re.compile(r"%(tid|ntid|ctaid|nctaid|laneid|warpid)\b")
STATEMENT = re.compile(r"(?:@(!?)(%?\w+)\s+)?([\w.:]+)\s*(.*)$", re.DOTALL)
SPACED = re.compile(r"\.loc\b|\.file\b|\.section\b")
SINK = Register("_", 0)


def bits_of(type_):
    """Bits of "f32", "b64", "pred", "bf16x2", ..."""
    if type_ == "pred":
        return 1
    match = re.fullmatch(r"(?:bf|tf|[usbf])(\d+)(?:x(\d))?", type_)
    if not match:
        raise Fault(f"unknown type {type_}")
    return int(match[1]) * int(match[2] or 1)


class Program:
    """A kernel: ``name``, ``threads`` of a CTA, ``parameters`` (type, name) in their order,
    ``code``, ``labels`` (indices into it) and ``shared`` (offsets of variables in shared memory,
    ``shared_bytes`` together; what a launch asks for begins behind them)."""

    def __init__(self, text):
        text = "\n".join(
            line.split("//")[0] for line in text.splitlines() if not SPACED.match(line.strip())
        )
        entry = re.search(r"\.entry\s+(\w+)\s*\(", text)
        if not entry:
            raise Fault("no .entry")
        head, body = _block(text, entry.end())
        self.name = entry[1]
        self.parameters = re.findall(r"\.param\s+\.(\w+)[^,)]*?(\w+_param_\d+)", head)
        threads = re.search(r"\.(?:reqntid|maxntid)\s+(\d+)", head)
        self.threads = int(threads[1]) if threads else None
        self.shared, self.shared_bytes, self._dynamic = {}, 0, []
        self._registers = {}
        for declaration in re.findall(r"\.shared[^;{]*", text[: entry.start()] + body):
            self._declare_shared(declaration)
        self.shared_bytes = (self.shared_bytes + 1023) // 1024 * 1024
        self.shared |= dict.fromkeys(self._dynamic, self.shared_bytes)
        self.code, self.labels = [], {}
        for statement in body.split(";"):
            self._add(statement.strip())

    def _declare_shared(self, text):
        match = re.search(r"\.align\s+(\d+)\s+\.b8\s+(\w+)\[(\d*)\]", text)
        if not match:
            return
        align, name, size = int(match[1]), match[2], match[3]
        if not size:
            self._dynamic.append(name)
            return
        self.shared_bytes = (self.shared_bytes + align - 1) // align * align
        self.shared[name] = self.shared_bytes
        self.shared_bytes += int(size)

    def _add(self, statement):
        while statement:
            label = re.match(r"(\$?\w+):\s*", statement)
            if label and "::" not in statement[: label.end() + 1]:
                self.labels[label[1]] = len(self.code)
                statement = statement[label.end() :]
            elif statement[0] in "{}":  # a scope of its own; names are unique enough without it
                statement = statement[1:].strip()
            else:
                break
        if not statement:
            return
        if statement.startswith("."):
            self._declare_registers(statement)
            return
        negated, predicate, opcode, rest = STATEMENT.match(statement).groups()
        name, *modifiers = re.split(r"\.(?!:)", opcode)
        operands = tuple(self._operand(part) for part in _split(rest))
        predicate = predicate and self._operand(predicate)
        text = " ".join(statement.split())
        self.code.append(
            Instruction(name, tuple(modifiers), operands, predicate, bool(negated), text)
        )

    def _declare_registers(self, statement):
        match = re.match(r"\.reg\s+\.(\w+)\s+(.*)$", statement, re.DOTALL)
        if not match:
            return
        bits = bits_of(match[1])
        for name in match[2].split(","):
            self._registers[re.sub(r"<\d+>", "<>", name.strip())] = bits

    def _operand(self, text):
        text = text.strip()
        if text == "_":
            return SINK
        if text[0] == "{":
            return tuple(self._operand(part) for part in _split(text[1:-1]))
        if text[0] == "[":
            base, offset = re.fullmatch(
                r"([%\w$]+)(?:\+(-?\w+))?", re.sub(r"\s", "", text[1:-1])
            ).groups()
            return Memory(self._operand(base), int(offset or "0", 0))
        if "|" in text:
            return tuple(self._operand(part) for part in text.split("|"))
        if SPECIAL.match(text):
            return Special(text[1:])
        bits = self._registers.get(text) or self._registers.get(re.sub(r"\d+$", "<>", text))
        if bits:
            return Register(text, bits)
        if re.match(r"0[fd]", text):
            return Immediate(int(text[2:], 16))
        if re.match(r"-?\d", text):
            return Immediate(int(text.rstrip("U"), 0))
        if re.fullmatch(r"[\w$]+", text):
            return Symbol(text)
        raise Fault(f"operand {text!r}")


def _block(text, start):
    """What stands before the first brace after ``start``, and what stands in it."""
    begin = text.index("{", start)
    depth = 0
    for end in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if depth == 0:
            return text[start:begin], text[begin + 1 : end]
    raise Fault("a brace is not closed")


def _split(text):
    """Parts between commas that lie in no braces."""
    parts, depth, now = [], 0, ""
    for character in text:
        depth += (character in "{[") - (character in "}]")
        if character == "," and depth == 0:
            parts.append(now)
            now = ""
        else:
            now += character
    return [part for part in [*parts, now] if part.strip()]


UNSIGNED = {1: np.bool_, 8: np.uint8, 16: np.uint16, 32: np.uint32, 64: np.uint64}
SIGNED = {8: np.int8, 16: np.int16, 32: np.int32, 64: np.int64}
