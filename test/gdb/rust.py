"""Rust's and the kernel's containers as they lie in memory: vectors, options, locks, counted references.

What each is made of is asked of the debug information; here stand the names of its fields alone.

Source: src/fs/refs.rs (Ref, Slot), src/sync (locks), the standard library's Vec, NonNull and UnsafeCell.
"""

import gdb

import machine


def first_of(value, codes):
    """The first thing of one of gdb's kinds inside wrappers, by way of each one's first field that has a size."""
    while value.type.strip_typedefs().code not in codes:
        fields = [field for field in value.type.strip_typedefs().fields() if field.type.sizeof]
        value = value[fields[0].name]
    return value


def pointer(value):
    """The pointer in a NonNull, an atomic, a Ref or a Slot, as gdb has it."""
    return first_of(value, (gdb.TYPE_CODE_PTR,))


def address(value):
    """The same as a number."""
    return int(pointer(value)) & (1 << 64) - 1


def counted(value):
    """What a Ref or a Slot refers to."""
    return pointer(value).dereference()["value"]


def guarded(value):
    """What a lock guards."""
    return value["data"]["value"]


def part(value):
    """What a Part has."""
    while value.type.strip_typedefs().name.partition("<")[0].rpartition("::")[2] in ("Part", "UnsafeCell", "ManuallyDrop", "MaybeDangling"):
        value = value[value.type.strip_typedefs().fields()[0].name]
    return value


def variant(value):
    """(name, content) of an enum's value; the content of `Some(x)` and its like is x."""
    name = value.type.fields()[-1].name
    content = value[name]
    names = [field.name for field in content.type.fields()] if content.type.code == gdb.TYPE_CODE_STRUCT else []
    return name, content["__0"] if names == ["__0"] else content


def some(value):
    """What is in an Option, or None."""
    name, content = variant(value)
    return content if name == "Some" else None


def vector(value):
    """(pointer to the first, how many) of a Vec."""
    with machine.language("rust"):
        kind = value.type.template_argument(0).pointer()
        raw = machine.find_struct(value["buf"], ("ptr", "cap"))
        return gdb.Value(address(raw["ptr"])).cast(kind), int(value["len"])


def elements(value):
    """Those of a Vec."""
    first, count = vector(value)
    return (first[index] for index in range(count))


def words(value):
    """The numbers of a Vec of words of eight bytes, of whatever type, read at once."""
    first, count = vector(value)
    data = machine.virtual(int(first) & (1 << 64) - 1, 8 * count) if count else b""
    return [machine.number(data, at) for at in range(0, 8 * count, 8)]


def at(where, name):
    """The value of a type of the kernel's at an address."""
    with machine.language("rust"):
        return gdb.Value(where).cast(machine.kernel_type(name).pointer()).dereference()
