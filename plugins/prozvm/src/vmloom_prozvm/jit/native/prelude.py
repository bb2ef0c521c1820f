"""Functions that generated code calls, as LLVM IR: encodings, powers, slots of the state and transactions.

Those that return an i64 for "done" give 0 where the interpreter is to do the instruction; they have changed nothing
then.
"""

from __future__ import annotations

from typing import Final

from . import layout as at

_NEED: Final = f"""
define internal i64 @need(ptr %m, i64 %what, i64 %which) noinline {{
  %place = getelementptr i64, ptr %m, i64 {at.NEED}
  %ask = load ptr, ptr %place
  %high = shl i64 %which, {at.WHAT_BITS}
  %need = or i64 %high, %what
  %answer = call i64 %ask(i64 %need)
  ret i64 %answer
}}

define internal i64 @slow_read(ptr %m, ptr %slot, i64 %number) noinline {{
  %kind = load i64, ptr %slot
  %asked = icmp eq i64 %kind, {at.UNSET}
  br i1 %asked, label %ask, label %no
ask:
  %answer = call i64 @need(ptr %m, i64 {at.READ}, i64 %number)
  %now = load i64, ptr %slot
  %less = sub i64 %now, 1
  %good = icmp ult i64 %less, 3
  %result = select i1 %good, i64 %now, i64 0
  ret i64 %result
no:
  ret i64 0
}}
"""

_WRITE: Final = f"""
define internal i64 @write(ptr %m, ptr %slot, i64 %number, i64 %kind, i64 %word) {{
  %open.at = getelementptr i64, ptr %m, i64 {at.OPEN}
  %open = load i64, ptr %open.at
  %free.at = getelementptr i64, ptr %m, i64 {at.WRITABLE}
  %free = load i64, ptr %free.at
  %any = or i64 %open, %free
  %inside = icmp ne i64 %any, 0
  br i1 %inside, label %allowed, label %no
allowed:
  %writable.at = getelementptr i64, ptr %slot, i64 {at.SLOT_WRITABLE}
  %writable = load i64, ptr %writable.at
  %is.writable = icmp ne i64 %writable, 0
  br i1 %is.writable, label %save, label %ask, !prof !0
ask:
  %answer = call i64 @need(ptr %m, i64 {at.WRITE}, i64 %number)
  %good = icmp ne i64 %answer, 0
  br i1 %good, label %save, label %no
save:
  %stamp.at = getelementptr i64, ptr %m, i64 {at.STAMP}
  %stamp = load i64, ptr %stamp.at
  %saved.at = getelementptr i64, ptr %slot, i64 {at.SLOT_STAMP}
  %saved = load i64, ptr %saved.at
  %is.saved = icmp eq i64 %saved, %stamp
  %outside = icmp eq i64 %open, 0
  %skip = or i1 %is.saved, %outside
  %dirty.at = getelementptr i64, ptr %slot, i64 {at.SLOT_DIRTY}
  %dirty = load i64, ptr %dirty.at
  %word.at = getelementptr i64, ptr %slot, i64 {at.SLOT_WORD}
  br i1 %skip, label %set, label %keep
keep:
  %undone.at = getelementptr i64, ptr %m, i64 {at.UNDONE}
  %undone = load i64, ptr %undone.at
  %room = icmp ult i64 %undone, {at.UNDO_ROOM}
  br i1 %room, label %note, label %no, !prof !0
note:
  %log.at = getelementptr i64, ptr %m, i64 {at.UNDO}
  %log = load ptr, ptr %log.at
  %offset = mul i64 %undone, {at.UNDO_ENTRY}
  %entry = getelementptr i64, ptr %log, i64 %offset
  store i64 %number, ptr %entry
  %old.kind = load i64, ptr %slot
  %entry.1 = getelementptr i64, ptr %entry, i64 1
  store i64 %old.kind, ptr %entry.1
  %old.word = load i64, ptr %word.at
  %entry.2 = getelementptr i64, ptr %entry, i64 2
  store i64 %old.word, ptr %entry.2
  %entry.3 = getelementptr i64, ptr %entry, i64 3
  store i64 %dirty, ptr %entry.3
  %more = add i64 %undone, 1
  store i64 %more, ptr %undone.at
  store i64 %stamp, ptr %saved.at
  br label %set
set:
  %clean = icmp eq i64 %dirty, 0
  br i1 %clean, label %first, label %done
first:
  %order.at = getelementptr i64, ptr %m, i64 {at.ORDER}
  %order = load i64, ptr %order.at
  %later = add i64 %order, 1
  store i64 %later, ptr %order.at
  %place.at = getelementptr i64, ptr %slot, i64 {at.SLOT_ORDER}
  store i64 %order, ptr %place.at
  store i64 1, ptr %dirty.at
  br label %done
done:
  store i64 %kind, ptr %slot
  store i64 %word, ptr %word.at
  ret i64 1
no:
  ret i64 0
}}
"""

_TRANSACTIONS: Final = f"""
define internal i64 @begin(ptr %m) {{
  %open.at = getelementptr i64, ptr %m, i64 {at.OPEN}
  %open = load i64, ptr %open.at
  %room = icmp ult i64 %open, {at.MARKS_ROOM}
  br i1 %room, label %yes, label %no, !prof !0
yes:
  %marks.at = getelementptr i64, ptr %m, i64 {at.MARKS}
  %marks = load ptr, ptr %marks.at
  %offset = mul i64 %open, {at.MARK}
  %mark = getelementptr i64, ptr %marks, i64 %offset
  %undone.at = getelementptr i64, ptr %m, i64 {at.UNDONE}
  %undone = load i64, ptr %undone.at
  store i64 %undone, ptr %mark
  %appended.at = getelementptr i64, ptr %m, i64 {at.APPENDED}
  %appended = load i64, ptr %appended.at
  %mark.1 = getelementptr i64, ptr %mark, i64 1
  store i64 %appended, ptr %mark.1
  %stamp.at = getelementptr i64, ptr %m, i64 {at.STAMP}
  %stamp = load i64, ptr %stamp.at
  %mark.2 = getelementptr i64, ptr %mark, i64 2
  store i64 %stamp, ptr %mark.2
  %stamps.at = getelementptr i64, ptr %m, i64 {at.STAMPS}
  %stamps = load i64, ptr %stamps.at
  %next = add i64 %stamps, 1
  store i64 %next, ptr %stamps.at
  store i64 %next, ptr %stamp.at
  %deeper = add i64 %open, 1
  store i64 %deeper, ptr %open.at
  ret i64 1
no:
  ret i64 0
}}

define internal i64 @commit(ptr %m) {{
  %open.at = getelementptr i64, ptr %m, i64 {at.OPEN}
  %open = load i64, ptr %open.at
  %none = icmp eq i64 %open, 0
  br i1 %none, label %no, label %yes
yes:
  %less = sub i64 %open, 1
  store i64 %less, ptr %open.at
  %marks.at = getelementptr i64, ptr %m, i64 {at.MARKS}
  %marks = load ptr, ptr %marks.at
  %offset = mul i64 %less, {at.MARK}
  %mark = getelementptr i64, ptr %marks, i64 %offset
  %mark.2 = getelementptr i64, ptr %mark, i64 2
  %outer = load i64, ptr %mark.2
  %stamp.at = getelementptr i64, ptr %m, i64 {at.STAMP}
  store i64 %outer, ptr %stamp.at
  %last = icmp eq i64 %less, 0
  %undone.at = getelementptr i64, ptr %m, i64 {at.UNDONE}
  %undone = load i64, ptr %undone.at
  %kept = select i1 %last, i64 0, i64 %undone
  store i64 %kept, ptr %undone.at
  ret i64 1
no:
  ret i64 0
}}

define internal i64 @revert(ptr %m) {{
  %open.at = getelementptr i64, ptr %m, i64 {at.OPEN}
  %open = load i64, ptr %open.at
  %none = icmp eq i64 %open, 0
  br i1 %none, label %no, label %yes
yes:
  %less = sub i64 %open, 1
  store i64 %less, ptr %open.at
  %marks.at = getelementptr i64, ptr %m, i64 {at.MARKS}
  %marks = load ptr, ptr %marks.at
  %offset = mul i64 %less, {at.MARK}
  %mark = getelementptr i64, ptr %marks, i64 %offset
  %first = load i64, ptr %mark
  %mark.1 = getelementptr i64, ptr %mark, i64 1
  %entries = load i64, ptr %mark.1
  %appended.at = getelementptr i64, ptr %m, i64 {at.APPENDED}
  store i64 %entries, ptr %appended.at
  %mark.2 = getelementptr i64, ptr %mark, i64 2
  %outer = load i64, ptr %mark.2
  %stamp.at = getelementptr i64, ptr %m, i64 {at.STAMP}
  store i64 %outer, ptr %stamp.at
  %undone.at = getelementptr i64, ptr %m, i64 {at.UNDONE}
  %undone = load i64, ptr %undone.at
  store i64 %first, ptr %undone.at
  %log.at = getelementptr i64, ptr %m, i64 {at.UNDO}
  %log = load ptr, ptr %log.at
  %slots.at = getelementptr i64, ptr %m, i64 {at.SLOTS}
  %slots = load ptr, ptr %slots.at
  br label %head
head:
  %left = phi i64 [%undone, %yes], [%number, %back]
  %over = icmp ule i64 %left, %first
  br i1 %over, label %done, label %back
back:
  %number = sub i64 %left, 1
  %entry.offset = mul i64 %number, {at.UNDO_ENTRY}
  %entry = getelementptr i64, ptr %log, i64 %entry.offset
  %slot.number = load i64, ptr %entry
  %slot.offset = mul i64 %slot.number, {at.SLOT}
  %slot = getelementptr i64, ptr %slots, i64 %slot.offset
  %entry.1 = getelementptr i64, ptr %entry, i64 1
  %kind = load i64, ptr %entry.1
  store i64 %kind, ptr %slot
  %entry.2 = getelementptr i64, ptr %entry, i64 2
  %word = load i64, ptr %entry.2
  %word.at = getelementptr i64, ptr %slot, i64 {at.SLOT_WORD}
  store i64 %word, ptr %word.at
  %entry.3 = getelementptr i64, ptr %entry, i64 3
  %dirty = load i64, ptr %entry.3
  %dirty.at = getelementptr i64, ptr %slot, i64 {at.SLOT_DIRTY}
  store i64 %dirty, ptr %dirty.at
  br label %head
done:
  ret i64 1
no:
  ret i64 0
}}
"""

_LEDGER: Final = f"""
define internal ptr @append(ptr %m, i64 %check) {{
  %checked.at = getelementptr i64, ptr %m, i64 {at.CHECKED}
  %checked = load ptr, ptr %checked.at
  %flag.at = getelementptr i64, ptr %checked, i64 %check
  %flag = load i64, ptr %flag.at
  %known = icmp ne i64 %flag, 0
  br i1 %known, label %good, label %ask, !prof !0
ask:
  %answer = call i64 @need(ptr %m, i64 {at.APPEND}, i64 %check)
  %allowed = icmp ne i64 %answer, 0
  br i1 %allowed, label %good, label %no
good:
  %appended.at = getelementptr i64, ptr %m, i64 {at.APPENDED}
  %appended = load i64, ptr %appended.at
  %room = icmp ult i64 %appended, {at.LEDGER_ROOM}
  br i1 %room, label %yes, label %no, !prof !0
yes:
  %more = add i64 %appended, 1
  store i64 %more, ptr %appended.at
  %ledger.at = getelementptr i64, ptr %m, i64 {at.LEDGER}
  %ledger = load ptr, ptr %ledger.at
  %offset = mul i64 %appended, {at.CELL}
  %cell = getelementptr i64, ptr %ledger, i64 %offset
  ret ptr %cell
no:
  ret ptr null
}}
"""

_POWER: Final = """
define internal {i64, i1} @power(i64 %base, i64 %exponent) {
  %negative = icmp slt i64 %exponent, 0
  br i1 %negative, label %no, label %head
head:
  %b = phi i64 [%base, %0], [%square, %next]
  %e = phi i64 [%exponent, %0], [%half, %next]
  %r = phi i64 [1, %0], [%result, %next]
  %bit = and i64 %e, 1
  %odd = icmp ne i64 %bit, 0
  br i1 %odd, label %multiply, label %halve
multiply:
  %pair = call {i64, i1} @llvm.smul.with.overflow.i64(i64 %r, i64 %b)
  %product = extractvalue {i64, i1} %pair, 0
  %wrong = extractvalue {i64, i1} %pair, 1
  br i1 %wrong, label %no, label %halve
halve:
  %result = phi i64 [%r, %head], [%product, %multiply]
  %half = lshr i64 %e, 1
  %end = icmp eq i64 %half, 0
  br i1 %end, label %done, label %again
again:
  %pair.2 = call {i64, i1} @llvm.smul.with.overflow.i64(i64 %b, i64 %b)
  %square = extractvalue {i64, i1} %pair.2, 0
  %wrong.2 = extractvalue {i64, i1} %pair.2, 1
  br i1 %wrong.2, label %no, label %next
next:
  br label %head
done:
  %good = insertvalue {i64, i1} {i64 poison, i1 false}, i64 %result, 0
  ret {i64, i1} %good
no:
  ret {i64, i1} {i64 0, i1 true}
}
"""

_ENCODING: Final = """
@digits = private unnamed_addr constant [16 x i8] c"0123456789abcdef", align 1

define internal ptr @put_integer(ptr %p, i64 %v) {
  %sign = ashr i64 %v, 63
  %n = xor i64 %v, %sign
  %major = and i64 %sign, 32
  %second = getelementptr i8, ptr %p, i64 1
  %tiny = icmp ult i64 %n, 24
  br i1 %tiny, label %one, label %more.1
one:
  %head.1 = or i64 %major, %n
  %byte.1 = trunc i64 %head.1 to i8
  store i8 %byte.1, ptr %p
  ret ptr %second
more.1:
  %is.2 = icmp ult i64 %n, 256
  br i1 %is.2, label %two, label %more.2
two:
  %head.2 = or i64 %major, 24
  %byte.2 = trunc i64 %head.2 to i8
  store i8 %byte.2, ptr %p
  %body.2 = trunc i64 %n to i8
  store i8 %body.2, ptr %second
  %end.2 = getelementptr i8, ptr %p, i64 2
  ret ptr %end.2
more.2:
  %is.3 = icmp ult i64 %n, 65536
  br i1 %is.3, label %three, label %more.3
three:
  %head.3 = or i64 %major, 25
  %byte.3 = trunc i64 %head.3 to i8
  store i8 %byte.3, ptr %p
  %low.3 = trunc i64 %n to i16
  %body.3 = call i16 @llvm.bswap.i16(i16 %low.3)
  store i16 %body.3, ptr %second, align 1
  %end.3 = getelementptr i8, ptr %p, i64 3
  ret ptr %end.3
more.3:
  %is.5 = icmp ult i64 %n, 4294967296
  br i1 %is.5, label %five, label %nine
five:
  %head.5 = or i64 %major, 26
  %byte.5 = trunc i64 %head.5 to i8
  store i8 %byte.5, ptr %p
  %low.5 = trunc i64 %n to i32
  %body.5 = call i32 @llvm.bswap.i32(i32 %low.5)
  store i32 %body.5, ptr %second, align 1
  %end.5 = getelementptr i8, ptr %p, i64 5
  ret ptr %end.5
nine:
  %head.9 = or i64 %major, 27
  %byte.9 = trunc i64 %head.9 to i8
  store i8 %byte.9, ptr %p
  %body.9 = call i64 @llvm.bswap.i64(i64 %n)
  store i64 %body.9, ptr %second, align 1
  %end.9 = getelementptr i8, ptr %p, i64 9
  ret ptr %end.9
}

define internal ptr @put_digest(ptr %p, i64 %w0, i64 %w1, i64 %w2, i64 %w3) {
  store i16 16504, ptr %p, align 1
  %first = getelementptr i8, ptr %p, i64 2
  %place.1 = getelementptr i8, ptr %first, i64 16
  %place.2 = getelementptr i8, ptr %first, i64 32
  %place.3 = getelementptr i8, ptr %first, i64 48
  %end = getelementptr i8, ptr %first, i64 64
  call void @put_hex(ptr %first, i64 %w0)
  call void @put_hex(ptr %place.1, i64 %w1)
  call void @put_hex(ptr %place.2, i64 %w2)
  call void @put_hex(ptr %place.3, i64 %w3)
  ret ptr %end
}

define internal void @put_hex(ptr %p, i64 %word) {
  br label %head
head:
  %rest = phi i64 [%word, %0], [%next, %head]
  %i = phi i64 [0, %0], [%i.next, %head]
  %high.4 = lshr i64 %rest, 4
  %high = and i64 %high.4, 15
  %low = and i64 %rest, 15
  %high.at = getelementptr i8, ptr @digits, i64 %high
  %low.at = getelementptr i8, ptr @digits, i64 %low
  %high.digit = load i8, ptr %high.at
  %low.digit = load i8, ptr %low.at
  %place = getelementptr i8, ptr %p, i64 %i
  store i8 %high.digit, ptr %place
  %place.1 = getelementptr i8, ptr %place, i64 1
  store i8 %low.digit, ptr %place.1
  %next = lshr i64 %rest, 8
  %i.next = add i64 %i, 2
  %over = icmp eq i64 %i.next, 16
  br i1 %over, label %done, label %head
done:
  ret void
}
"""

_DECLARATIONS: Final = "\n".join(
    (
        *(f"declare {{i64, i1}} @llvm.{name}.with.overflow.i64(i64, i64)" for name in ("sadd", "ssub", "smul")),
        *(f"declare i{bits} @llvm.bswap.i{bits}(i{bits})" for bits in (16, 32, 64)),
        "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)",
        '!0 = !{!"branch_weights", i32 2000, i32 1}',
    )
)

PRELUDE: Final = "".join((_DECLARATIONS, _NEED, _WRITE, _TRANSACTIONS, _LEDGER, _POWER, _ENCODING))
"""All of it; what a program does not use, LLVM drops."""
