"""What gdb does for a guest of pibed's; it runs in gdb, with gdb's Python and nothing else.

`attach(FILE)` reads what is known of the guest from a file that `pibed.debug.session` has written,
and connects to it. Then modules and programs have their symbols as soon as the guest has them: a
module before its first instruction, a program when it is executed. Where the kernel dies gdb stops.
"""

from __future__ import annotations

import contextlib
import json

import gdb
import gdb.unwinder

# In the order of the kernel's struct pt_regs, see arch/arm/include/uapi/asm/ptrace.h of Linux.
_SAVED = [*(f"r{number}" for number in range(13)), "sp", "lr", "pc", "cpsr"]

# Where an exception enters the kernel, from itself and from programs: all registers were pushed.
# See svc_entry and usr_entry in arch/arm/kernel/entry-armv.S of Linux.
_ENTRIES = tuple(
    f"__{kind}_{side}" for side in ("svc", "usr") for kind in ("dabt", "pabt", "und", "irq")
)

# Where a system call returns to: two arguments lie below the registers. See vector_swi in
# arch/arm/kernel/entry-common.S of Linux.
_CALL, _CALL_ARGUMENTS = "ret_fast_syscall", 8

_NOWHERE = 0xFFFFF000

# Of the processor state: the code is Thumb's.
_THUMB = 1 << 5

# Where the kernel dies: `die` of every oops and BUG, `panic` of all else.
_DEATHS = ("die", "panic")


def attach(path):
    """Connects gdb to the guest that a file describes, and goes to where the file says."""
    with open(path, encoding="utf-8") as file:
        guest = json.load(file)
    files = Files(guest)
    followers = [Modules(files), *([] if files.has_all_programs else [Programs(files)])]
    gdb.unwinder.register_unwinder(None, Exceptions())
    InProgram(files)
    gdb.events.breakpoint_created.connect(files.confine)
    gdb.events.breakpoint_modified.connect(files.confine)
    gdb.execute(f"target remote {guest['address']}", to_string=True)
    # With several CPUs QEMU may not tell that one has done its step if others run meanwhile.
    gdb.execute("set scheduler-locking step")
    files.add_loaded()
    deaths = [Death(name) for name in _DEATHS]
    gdb.events.stop.connect(lambda event: show_death(event, deaths, files))
    PowerOff()
    if guest["start"] is not None:
        # Each stop is felt by the guest, so until then there are as few as can be.
        for each in followers:
            each.enabled = False
        Start(guest["start"])
        print(guest["start"]["what"])
        gdb.execute("continue")
        for each in followers:
            each.enabled = True
        files.add_loaded()


class Files:
    """The files with the guest's symbols, and which of them gdb has, at which addresses."""

    def __init__(self, guest):
        self.modules = guest["modules"]
        self.programs = guest["programs"]
        self.user_end = guest["user_end"]
        self.loaded = {}
        only = list(self.programs.values())
        if len(only) == 1 and only[0]["fixed"]:
            self.add_program(only[0], 0)
        self.has_all_programs = not only or "" in self.loaded

    def add_module(self, name, addresses):
        """Gives a module's symbols the addresses of its sections."""
        if name not in self.modules or self.loaded.get(name) == addresses:
            return
        self.remove(name)
        # What the kernel does not load would be where a null pointer points to.
        placed = {".modinfo": _NOWHERE} | addresses
        words = [f"-s {section} {address:#x}" for section, address in placed.items()]
        gdb.execute(
            f"add-symbol-file {quoted(self.modules[name])} {' '.join(words)}", to_string=True
        )
        self.loaded[name] = addresses
        print(f"{name}: loaded, its code is at {addresses.get('.text', 0):#x}")

    def add_loaded(self):
        """Gives gdb the symbols of modules that are loaded already."""
        from linux.modules import module_list  # the kernel's own

        with contextlib.suppress(gdb.error):  # no kernel runs yet
            for module in module_list():
                self.add_module(module["name"].string(), sections(module))

    def add_program(self, program, offset):
        """Gives gdb the symbols of the program that is executed, in the place of another's."""
        if self.loaded.get("") == (program["file"], offset):
            return
        self.remove("")
        gdb.execute(f"add-symbol-file {quoted(program['file'])} -o {offset:#x}", to_string=True)
        self.loaded[""] = (program["file"], offset)

    def remove(self, name):
        """Takes symbols away."""
        known = self.loaded.pop(name, None)
        if known is not None:
            path = self.modules[name] if name else known[0]
            gdb.execute(f"remove-symbol-file {quoted(path)}", to_string=True)

    def is_in_module(self, frame):
        """Whether a frame is of a module."""
        function = frame.function()
        return function is not None and function.symtab.objfile.filename in self.modules.values()

    def confine(self, breakpoint):
        """Has a breakpoint in a program hold in that program alone.

        All programs have the same addresses, and QEMU does not know which one is running.
        """
        if breakpoint.type != gdb.BP_BREAKPOINT or not breakpoint.is_valid():
            return
        if breakpoint.condition is None and breakpoint.visible and not breakpoint.pending:
            places = [each.address for each in getattr(breakpoint, "locations", ())]
            if places and all(each < self.user_end for each in places):
                breakpoint.condition = "$in_program()"


class InProgram(gdb.Function):
    """$in_program(): whether what runs is the program whose symbols gdb has."""

    def __init__(self, files):
        super().__init__("in_program")
        self._files = files

    def invoke(self):
        known = self._files.loaded.get("")
        if known is None:
            return False
        pc = int(gdb.parse_and_eval("(unsigned long)$pc"))
        if pc >= self._files.user_end:
            return False
        program = next(each for each in self._files.programs.values() if each["file"] == known[0])
        return runs_code_of(program, pc, known[1])


def runs_code_of(program, pc, offset, length=32):
    """Whether the guest has the code of a program at an address."""
    for address, extent, position in program["segments"]:
        left = address + extent - (pc - offset)
        if 0 < left <= extent:
            with open(program["code"], "rb") as file:
                file.seek(position + pc - offset - address)
                wanted = file.read(min(length, left))
            return has_memory(pc, wanted)
    return False


def has_memory(address, wanted):
    """Whether these bytes are what the guest has at an address."""
    try:
        return bytes(gdb.selected_inferior().read_memory(address, len(wanted))) == wanted
    except gdb.MemoryError:
        return False


class Modules(gdb.Breakpoint):
    """Follows the kernel as it loads modules.

    Their sections have addresses by then, and nothing of them has run.
    """

    def __init__(self, files):
        super().__init__("do_init_module", internal=True)
        self._files = files

    def stop(self):
        module = gdb.parse_and_eval("mod")
        self._files.add_module(module["name"].string(), sections(module))
        return False


def sections(module):
    """The addresses of a module's sections by their names."""
    attributes = module["sect_attrs"]
    each = (attributes["attrs"][number] for number in range(int(attributes["nsections"])))
    return {one["battr"]["attr"]["name"].string(): int(one["address"]) for one in each}


class Programs(gdb.Breakpoint):
    """Follows the kernel as it executes programs: they are mapped by then, and have not run."""

    def __init__(self, files):
        super().__init__("finalize_exec", internal=True)
        self._files = files

    def stop(self):
        name = gdb.parse_and_eval("bprm->filename").string().rpartition("/")[2]
        program = self._files.programs.get(name)
        if program is not None:
            offset = 0
            if not program["fixed"]:
                begin = int(current()["mm"]["start_code"])
                offset = begin - min(address for address, _, _ in program["segments"])
            self._files.add_program(program, offset)
        return False


def current():
    """The task that the selected CPU runs."""
    cpu = gdb.selected_thread().num - 1
    offset = int(gdb.parse_and_eval(f"__per_cpu_offset[{cpu}]"))
    place = int(gdb.parse_and_eval("(unsigned long)&runqueues")) + offset
    queue = gdb.lookup_type("struct rq").pointer()
    return gdb.Value(place & 0xFFFFFFFF).cast(queue)["curr"]


class Start(gdb.Breakpoint):
    """Stops where a command of the plan begins: the agent has marked it for the n-th time.

    What stops is the kernel as it executes the shell behind the mark, since from a program the
    kernel's memory cannot be read.
    """

    def __init__(self, start):
        super().__init__(f"*{start['address']:#x}", internal=True)
        self._code = bytes.fromhex(start["code"])
        self._left = start["count"]
        self._shell = gdb.Breakpoint("begin_new_exec", internal=True, temporary=True)
        self._shell.enabled = False

    def stop(self):
        # Other programs have the same addresses.
        if not has_memory(int(gdb.parse_and_eval("(unsigned long)$pc")), self._code):
            return False
        self._left -= 1
        if not self._left:
            self.enabled = False
            self._shell.enabled = True
        return False


class PowerOff(gdb.Breakpoint):
    """Stops where the guest powers off: what it leaves behind is still there to be looked at."""

    def __init__(self):
        super().__init__("machine_power_off", internal=True)

    def stop(self):
        self.enabled = False
        print("the guest has done its work and powers off")
        return True


class Death(gdb.Breakpoint):
    """Stops where the kernel dies."""

    def __init__(self, name):
        super().__init__(name, internal=True)
        self.name = name


def show_death(event, deaths, files):
    """Selects the frame in which the kernel met its end, and says so."""
    if getattr(event, "breakpoint", None) not in deaths:
        return
    # An oops panics as well, of which there is nothing more to see.
    for each in deaths:
        each.enabled = False
    frame = culprit = gdb.newest_frame()
    while frame is not None:
        inner, frame = frame, frame.older()
        if frame is not None and files.is_in_module(frame):
            culprit = frame
            break
        if culprit.level() == 0 and inner.name() in _ENTRIES and frame is not None:
            culprit = frame
    culprit.select()
    print("the kernel dies here; up and down show the functions that led to it:")
    gdb.execute("frame")


class Exceptions(gdb.unwinder.Unwinder):
    """Unwinds the kernel's entry by an exception, which debugging information says nothing of."""

    def __init__(self):
        super().__init__("pibed: exceptions of the kernel")
        self._entries = [_extent(name) for name in _ENTRIES]
        self._call, _ = _extent(_CALL)

    def __call__(self, pending):
        pc, sp = (int(pending.read_register(each)) & 0xFFFFFFFF for each in ("pc", "sp"))
        is_call = pc == self._call
        if not (is_call or any(begin <= pc < end for begin, end in self._entries)):
            return None
        place = sp + _CALL_ARGUMENTS if is_call else sp
        word = gdb.lookup_type("unsigned int")
        unwound = pending.create_unwind_info(
            FrameId(gdb.Value(sp).cast(word), gdb.Value(pc).cast(word))
        )
        registers = gdb.Value(place).cast(word.pointer())
        saved = {name: registers[number] for number, name in enumerate(_SAVED)}
        if not is_call:
            # gdb looks for the line before the place to which a frame returns, and takes this one
            # for such a place: so it is told of the instruction behind the one of the exception.
            length = 2 if int(saved["cpsr"]) & _THUMB else 4
            saved["pc"] = (saved["pc"] + length).cast(word)
        for name, value in saved.items():
            unwound.add_saved_register(name, value)
        return unwound


class FrameId:
    """What tells a frame from others."""

    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


def _extent(name):
    """Begin and end of a function in assembly."""
    begin = int(gdb.parse_and_eval(f"(unsigned long)&{name}"))
    end = begin
    while gdb.execute(f"info symbol {end:#x}", to_string=True).split()[0] == name:
        end += 4
    return begin, end


def quoted(path):
    """A path as a word of gdb's command line."""
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
