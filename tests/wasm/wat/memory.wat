;; Bulk instructions, growth up to the limit and beyond, and segments that are dropped.
(module
  (import "env" "finish" (func $finish (param i32 i32)))
  (import "env" "keccak256" (func $keccak256 (param i32 i32 i32)))
  (memory (export "memory") 1 40)
  (data $text "a text that is copied")
  (data (i32.const 4096) "\01\02\03\04")
  (func (export "main") (param $size i32) (param i32 i32) (result i32) (local $n i32)
    (memory.init $text (i32.const 100) (i32.const 2) (i32.const 12))
    (data.drop $text)
    (memory.fill (i32.const 200) (i32.const 7) (i32.const 1001))
    (memory.copy (i32.const 60000) (i32.const 100) (i32.const 4321))
    (loop $again
      (i32.store offset=8192 (i32.shl (local.get $n) (i32.const 2)) (memory.grow (local.get $n)))
      (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 12))))
    (i32.store (i32.const 16) (memory.size))
    (call $keccak256 (i32.const 0) (i32.const 65536) (i32.const 32))
    (call $finish (i32.const 0) (i32.const 64))
    (i32.const 1)))
