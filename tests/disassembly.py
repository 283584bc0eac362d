"""What a disassembler's text says of an ARM instruction: its class, and the registers it names."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CONDITIONS = ["eq", "ne", "cs", "cc", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le"]

_LOADS = (
    "ldr ldrb ldrh ldrsb ldrsh ldrd ldrt ldrbt ldrht ldrsbt ldrsht ldrex ldrexb ldrexh ldrexd "
    "ldm ldmia ldmib ldmda ldmdb ldmfd pop swp swpb rfeia rfedb rfeda rfeib pld pldw pli ldc ldcl "
    "ldfs ldfd ldfe ldfp vldr vldmia vldmdb vpop vld1 vld2 vld3 vld4 fldmiax fldmdbx"
)
_STORES = (
    "str strb strh strd strt strbt strht strex strexb strexh strexd stm stmia stmib stmda stmdb "
    "stmfd push srsia srsdb srsda srsib stc stcl stfs stfd stfe stfp vstr vstmia vstmdb vpush "
    "vst1 vst2 vst3 vst4 fstmiax fstmdbx"
)
_MUL_LONG = (
    "umull smull umlal smlal umaal smlalbb smlalbt smlaltb smlaltt smlald smlaldx smlsld smlsldx"
)
_MUL = (
    "mul mla mls smlabb smlabt smlatb smlatt smulbb smulbt smultb smultt smlawb smlawt smulwb "
    "smulwt smlad smladx smlsd smlsdx smuad smuadx smusd smusdx smmla smmlar smmls smmlsr smmul "
    "smmulr usad8 usada8"
)
_SYSTEM = (
    "mcr mrc mcrr mrrc mcr2 mrs msr dmb dsb isb svc cps cpsie cpsid clrex bkpt hvc smc udf eret "
    "setend"
)
_COMPARE = "cmp cmn tst teq"
_ALU = (
    "mov movw movt mvn add addw sub subw rsb rsc adc sbc and orr orn eor bic neg lsl lsr asr ror "
    "rrx adr clz rev rev16 revsh rbit uxtb uxth uxtb16 sxtb sxth sxtb16 uxtab uxtah uxtab16 sxtab "
    "sxtah sxtab16 bfi bfc ubfx sbfx ssat usat ssat16 usat16 pkhbt pkhtb sel qadd qsub qdadd qdsub"
)
_LANES = ["add8", "add16", "sub8", "sub16", "asx", "sax"]
_SETS_GE = [sign + lanes for sign in "su" for lanes in _LANES]
_PARALLEL = [kind + lanes for kind in ("s", "q", "sh", "u", "uq", "uh") for lanes in _LANES]
_BASES: dict[str, str] = {
    **dict.fromkeys(_LOADS.split(), "load"),
    **dict.fromkeys(_STORES.split(), "store"),
    **dict.fromkeys(["b", "bl", "bx", "blx", "bxj", "cbz", "cbnz", "tbb", "tbh"], "branch"),
    **dict.fromkeys(_MUL.split(), "mul"),
    **dict.fromkeys(_MUL_LONG.split(), "mul_long"),
    **dict.fromkeys(("sdiv", "udiv"), "div"),
    **dict.fromkeys(_SYSTEM.split(), "system"),
    **dict.fromkeys(["nop", "yield", "wfe", "wfi", "sev", "sevl", "dbg", "csdb", "esb"], "hint"),
    **dict.fromkeys((*_COMPARE.split(), *_ALU.split(), *_PARALLEL), "alu"),
}
_SETS_FLAGS = {*_ALU.split(), "mul", "mla", "umull", "smull", "umlal", "smlal"}

_VFP: dict[str, str] = {
    "vadd": "fp_add", "vsub": "fp_add", "vcmp": "fp_add", "vcmpe": "fp_add", "vcvt": "fp_add",
    "vcvtr": "fp_add", "vcvtb": "fp_add", "vcvtt": "fp_add", "vmul": "fp_mul", "vnmul": "fp_mul",
    "vmla": "fp_mac", "vmls": "fp_mac", "vnmla": "fp_mac", "vnmls": "fp_mac", "vfma": "fp_mac",
    "vfms": "fp_mac", "vfnma": "fp_mac", "vfnms": "fp_mac", "vdiv": "fp_div", "vsqrt": "fp_div",
    "vmov": "fp_move", "vabs": "fp_move", "vneg": "fp_move", "vmrs": "fp_move", "vmsr": "fp_move",
}  # fmt: skip
_SWAPS = ("vswp", "vtrn", "vuzp", "vzip")
_NAMES = {"sb": "r9", "sl": "r10", "fp": "r11", "ip": "r12", "sp": "r13", "lr": "r14", "pc": "r15"}


@dataclass(frozen=True)
class Line:
    """One line of `objdump -d` that is an instruction, not data."""

    address: int
    word: int  # the first halfword high when it is of T32 and 4 bytes
    length: int  # bytes
    thumb: bool
    mnemonic: str
    operands: str  # without comments and names of symbols
    target: int | None  # of a direct branch


@dataclass(frozen=True)
class Said:
    """What the text says; registers are r0 to r15, d0 to d31, flags and fpscr."""

    kind: str  # a class of timing/insn.h
    writes: frozenset[str]
    named: frozenset[str]  # all registers in the text, and those that it implies


_LINE = re.compile(
    r" *([0-9a-f]+):\t([0-9a-f]{4}(?: [0-9a-f]{4})?|[0-9a-f]{8}) *\t(\S+)(?:\t(.*))?"
)
_ODD = re.compile(r"<illegal|<undefined>|<UNDEFINED>|<UNPREDICTABLE>|<overflow|\?")
_TARGET = re.compile(r"\b([0-9a-f]+) <[^>]*>$")


def parse_line(text: str) -> Line | None:
    """An instruction of objdump's text; None for headings, data, and what no core executes."""
    match = _LINE.fullmatch(text.rstrip())
    if match is None:
        return None
    address, word, mnemonic, operands = match.groups(default="")
    if mnemonic.startswith((".", "@")) or _ODD.search(mnemonic + operands):
        return None
    operands = re.split(r"\s*(?:@|;|//) ", operands)[0]
    target = _TARGET.search(operands)
    return Line(
        address=int(address, 16),
        word=int(word.replace(" ", ""), 16),
        length=2 if len(word) == 4 else 4,
        thumb=len(word) != 8,
        mnemonic=mnemonic,
        operands=operands[: target.start()] if target else operands,
        target=int(target[1], 16) if target else None,
    )


def base_of(mnemonic: str) -> tuple[str, str, str]:
    """The mnemonic without condition and flags' s; that s or nothing; the condition or nothing.

    Raises KeyError for one that is not known here.
    """
    stem = mnemonic.split(".", maxsplit=1)[0]
    if re.fullmatch("it[te]{0,3}", stem):
        return "it", "", ""
    for condition in ("", *_CONDITIONS):
        short = stem.removesuffix(condition)
        if short == stem and condition:
            continue
        if short in _BASES or short in _VFP:
            return short, "", condition
        if short.endswith("s") and short[:-1] in _SETS_FLAGS:
            return short[:-1], "s", condition
    if stem.startswith("v"):
        return stem, "", ""
    raise KeyError(mnemonic)


_REGISTER = re.compile(
    r"\b([rsdq])(\d+)\b(?:\[[^\]]*\])?(?:-[sdq](\d+))?|\b(sb|sl|fp|ip|sp|lr|pc)\b"
)


def registers(text: str) -> list[str]:
    """The registers that a text names, in order, ranges filled in; parts of one are all of it."""
    found: list[str] = []
    for kind, first, last, name in _REGISTER.findall(text):
        if name:
            found.append(_NAMES[name])
            continue
        for n in range(int(first), int(last or first) + 1):
            found += {"r": [f"r{n}"], "d": [f"d{n}"], "s": [f"d{n // 2}"]}.get(
                kind, [f"d{2 * n}", f"d{2 * n + 1}"]
            )
    return found


def _split(operands: str) -> list[str]:
    """Operands, with lists in braces and addresses in brackets left whole."""
    return [part.strip() for part in re.findall(r"(?:\{[^}]*\}|\[[^\]]*\]|[^,{\[])+", operands)]


def _moved(base: str, parts: list[str]) -> list[str]:
    """The registers that a load or store moves."""
    if base.startswith(("pld", "pli", "srs", "rfe", "ldc", "stc", "ldf", "stf")):
        return []
    lists = [part for part in parts if "{" in part]
    if lists:
        return registers(lists[0])
    address = next((n for n, part in enumerate(parts) if "[" in part), len(parts))
    moved = registers(",".join(parts[:address]))
    if base in ("swp", "swpb"):
        return moved[:1]
    pair = 3 if base == "strexd" else 2  # in A32 the second of a pair is not in the text
    if base in ("ldrd", "strd", "ldrexd", "strexd") and len(moved) < pair:
        moved.append(f"r{int(moved[-1][1:]) + 1}")
    return moved


def _transfer(base: str, parts: list[str]) -> tuple[set[str], set[str]]:
    """What a load or store writes, and what it uses beside what it names."""
    moved = _moved(base, parts)
    writes: set[str] = set()
    used = set(moved)
    if base.startswith("strex"):
        writes.add(moved.pop(0))
    if _BASES[base] == "load":
        writes |= set(moved)
    if base in ("push", "pop", "vpush", "vpop"):
        writes.add("r13")
    if base.startswith("srs"):
        used.add("r14")
    if base.startswith("rfe"):
        writes |= {"r15", "flags"}
    if parts[-1].endswith("^") and "r15" in moved:
        writes.add("flags")
    for n, part in enumerate(parts):
        after = part.endswith("]") and n + 1 < len(parts)  # the base is updated behind the access
        if part.endswith("!") or (after and not parts[n + 1].startswith("{")):
            writes.add(registers(part)[0])
    return writes, used


def _system(base: str, parts: list[str]) -> set[str]:
    """What an instruction of the class system writes."""
    if base in ("mrc", "mrrc"):
        return {"flags"} if "APSR" in parts[2] else set(registers(",".join(parts[2:4])))
    if base == "msr":
        return {"flags"} if re.match(r"CPSR_f|APSR_nzcv", parts[0]) else set()
    if base == "eret":
        return {"r15", "flags"}
    return set(registers(parts[0])) if base == "mrs" else set()


def _computed(base: str, flags: str, condition: str, line: Line, parts: list[str]) -> set[str]:
    """What an operation on core registers writes."""
    if base in _COMPARE.split():
        return {"flags"}
    writes = set(registers(",".join(parts[: 2 if _BASES[base] == "mul_long" else 1])))
    # of 16 bits these set the flags outside of IT blocks, which the decoder does not know
    by_it = condition and line.length == 2 and (line.word >> 13 < 2 or line.word >> 10 == 0x10)
    return writes | {"flags"} if flags or by_it or base in _SETS_GE else writes


def _vector(base: str, line: Line, parts: list[str]) -> Said:
    named = set(registers(line.operands))
    writes = set(registers(parts[0]))
    if base in ("vmrs", "vmsr"):
        if "fpscr" not in line.operands:
            return Said("system", frozenset(writes if base == "vmrs" else ()), frozenset(named))
        if "APSR" in parts[0]:
            writes = {"flags"}
    if base in ("vcmp", "vcmpe", "vmsr"):
        writes = {"fpscr"}
    if base == "vmov" and len(parts) > 2 and (len(parts) == 4 or registers(parts[0])[0][0] == "r"):
        writes = set(registers(",".join(parts[:2])))
    if base in ("vswp", "vtrn", "vuzp", "vzip"):
        writes = named
    core = any(re.fullmatch(r"r\d+", register) for register in named)
    single = re.search(r"\bs\d", line.operands) is not None
    kind = "neon"
    if base == "vdup" and core:
        kind = "fp_move"
    elif base in _VFP and (".f64" in line.mnemonic or single or core or base in ("vmrs", "vmsr")):
        kind = _VFP[base]
        if kind == "fp_div":
            kind += "64" if ".f64" in line.mnemonic else "32"
    return Said(kind, frozenset(writes), frozenset(named | writes))


def said_by(line: Line) -> Said:
    """What the text says of an instruction. Raises KeyError for a mnemonic not known here."""
    if line.mnemonic == "nop" and (line.word == 0xE1A00000 or line.word == 0x46C0):
        register = "r0" if line.length == 4 else "r8"  # MOV of a register to itself
        return Said("alu", frozenset({register}), frozenset({register}))
    base, flags, condition = base_of(line.mnemonic)
    parts = _split(line.operands)
    if base == "it":
        return Said("hint", frozenset(), frozenset())
    if base.startswith("v") and base not in _BASES:
        return _vector(base, line, parts)
    kind = _BASES[base]
    named = set(registers(line.operands))
    writes: set[str] = set()
    if kind in ("load", "store"):
        writes, used = _transfer(base, parts)
        named |= used
    elif kind == "branch":
        writes = {"r15", "r14"} if base in ("bl", "blx") else {"r15"}
    elif kind == "system":
        writes = _system(base, parts)
    elif kind != "hint":
        writes = _computed(base, flags, condition, line, parts)
    shifted = re.search(r", (?:lsl|lsr|asr|ror) |, rrx$", line.operands)
    if kind == "alu" and shifted and not base.startswith(("mov", "uxt", "sxt", "ssat", "usat")):
        kind = "shift"
    return Said(kind, frozenset(writes), frozenset(named | writes))
