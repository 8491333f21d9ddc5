"""`sis percpu N [NAME]`: the per-CPU variables of one CPU, by name, with their values.

The symbols of section .percpu are the template's; CPU N's copy of each is further on by N's GS base, whichever CPU is
selected. gdb does not find the statics by their names, for each of them shares its own with a type (`per_cpu!`). But
that type stands in the static's: `Variable<NAME, T>`. So the list of such types leads from a symbol's name to T. What
assembly defines there has no type, and is shown as words.

Source: src/arch/x86_64/percpu/mod.rs, src/arch/x86_64/percpu/copies.rs, linker/kernel.ld.
"""

import itertools
import re

import gdb

import machine

# The one variable whose symbol has another name: assembly knows it.
EXPORTED = {"sis::arch::x86_64::percpu::CPU": "cpu_data"}
VARIABLE = "sis::arch::x86_64::percpu::variable::Variable<"
# What is shown of a long value, unless it was asked for by name.
SHORT = 400


def symbols():
    """(name, address of the template's, size) of each variable, in their order. Without crate hashes, as gdb writes them."""
    start, end = machine.linked("__percpu_start"), machine.linked("__percpu_end")
    found = {}
    for name, value, size, _ in machine.Kernel.current().symbols():
        if size and start <= value < end:
            text = gdb.execute(f"info symbol {value:#x}", to_string=True)
            shown = re.match(r"(.*?) in section \.percpu", text)
            found[value] = (re.sub(r"\[[0-9a-f]+\]", "", shown[1]) if shown else name, value, size)
    return [found[value] for value in sorted(found)]


def types():
    """By symbol name: gdb's type of each variable."""
    found = {}
    with machine.language("rust"):
        text = gdb.execute("info variables -q -t percpu::variable::Variable", to_string=True)
        for name in re.findall(rf"{re.escape(VARIABLE)}.*>(?=;)", text):
            path = name.removeprefix(VARIABLE).split(",", 1)[0]
            found[EXPORTED.get(path, path)] = gdb.lookup_type(name)
    return found


def inside(value):
    """The value inside wrappers of one field: cells, atomics, newtypes."""
    while value.type.strip_typedefs().code == gdb.TYPE_CODE_STRUCT:
        fields = [field for field in value.type.strip_typedefs().fields() if field.type.sizeof]
        if len(fields) != 1 or not fields[0].name:
            break
        value = value[fields[0].name]
    return value


def runs(texts):
    """Texts with a comma between them, equal neighbours once with their number."""
    grouped = [(text, len(list(group))) for text, group in itertools.groupby(texts)]
    return ", ".join(text if count == 1 else f"{count} x {text}" for text, count in grouped)


def render(value):
    """A value in one line: structures by their fields, without the wrappers around each; large numbers in hexadecimal."""
    value = inside(value)
    kind = value.type.strip_typedefs()
    if kind.code == gdb.TYPE_CODE_UNION:
        # MaybeUninit: what may be there is its last field.
        return render(value[kind.fields()[-1].name])
    if kind.code == gdb.TYPE_CODE_STRUCT:
        if not kind.fields():
            return kind.name.rsplit("::", 1)[-1]
        return "{" + ", ".join(f"{field.name}: {render(value[field.name])}" for field in kind.fields() if field.name and field.type.sizeof) + "}"
    if kind.code == gdb.TYPE_CODE_ARRAY:
        low, high = kind.range()
        return f"[{runs(render(value[index]) for index in range(low, high + 1))}]"
    if kind.code in (gdb.TYPE_CODE_INT, gdb.TYPE_CODE_PTR):
        # Python's gdb makes no numbers of more than eight bytes.
        wide = kind.sizeof > 8 and int.from_bytes(machine.virtual(int(value.address), kind.sizeof), "little", signed=kind.name.startswith("i"))
        number = wide if kind.sizeof > 8 else int(value)
        return str(number) if number < 1 << 32 else f"{number:#x}"
    return re.sub(r"\s*\n\s*", " ", value.format_string())


def words(address, size):
    """Memory without a type."""
    data = machine.virtual(address, size)
    return " ".join(f"{machine.number(data, at, 8):#x}" for at in range(0, size, 8))


def show(address, size, kind, in_full):
    """One variable's value, in one line."""
    if kind is None:
        text = words(address, size)
    else:
        with machine.language("rust"):
            text = render(gdb.Value(address).cast(kind.pointer()).dereference())
    return text if in_full or len(text) <= SHORT else text[:SHORT] + " ..."


class PerCpu(gdb.Command):
    """Show the per-CPU variables of one CPU: sis percpu N, or sis percpu N NAME for those whose path has NAME, in full."""

    def __init__(self):
        super().__init__("sis percpu", gdb.COMMAND_DATA)

    def invoke(self, argument, _from_tty):
        machine.long_mode()
        wanted = re.fullmatch(r"(\d+)(?:\s+(\S+))?", argument.strip())
        if not wanted:
            machine.fail("sis percpu N [NAME]: the number of a CPU is wanted")
        cpu, name = int(wanted[1]), wanted[2]
        bases = machine.static("sis::arch::x86_64::percpu::copies::BASES")
        last = bases.type.strip_typedefs().range()[1]
        base = int(inside(bases[cpu])) & (1 << 64) - 1 if cpu <= last else 0
        if not base:
            machine.fail(f"CPU {cpu} has no per-CPU variables: it was never started, or is not there")
        kernel = machine.Kernel.current()
        if not hasattr(kernel, "per_cpu"):
            # gdb takes seconds to look through a debug build's variables.
            kernel.per_cpu = symbols(), types()
        known = kernel.per_cpu[1]
        chosen = [row for row in kernel.per_cpu[0] if name is None or name in row[0]]
        if not chosen:
            machine.fail(f"no per-CPU variable has {name} in its name")
        print(f"cpu {cpu}, GS base {base:#x}:")
        for path, template, size in chosen:
            address = (template + base) & (1 << 64) - 1
            print(f"  {address:#x}  {path} = {show(address, size, known.get(path), name is not None)}")


PerCpu()
