;; Every way to trap, one for each size of the input, after something was done.
(module
  (memory (export "memory") 1)
  (type $none (func))
  (table 2 funcref)
  (elem (i32.const 1) $main)
  (func $main (export "main") (param $size i32) (param i32 i32) (result i32)
    (memory.fill (i32.const 0) (i32.const 1) (i32.const 100))
    (block $5 (block $4 (block $3 (block $2 (block $1 (block $0
      (br_table $0 $1 $2 $3 $4 $5 (local.get $size)))
      (unreachable))
      (drop (i32.div_s (i32.const 5) (i32.load (i32.const 200)))))
      (drop (i64.load (i32.const 0x7ffffff9))))
      (call_indirect (type $none) (i32.const 0)))
      (call_indirect (type $none) (i32.const 1)))
    (drop (i32.trunc_f64_s (f64.const 1e300)))
    (i32.const 1)))
