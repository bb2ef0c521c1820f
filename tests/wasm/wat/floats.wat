;; Floats, among them NaNs whose bits machines disagree about, and conversions that saturate.
(module
  (import "env" "finish" (func $finish (param i32 i32)))
  (memory (export "memory") 1)
  (func $f (param $x f64) (param $y f64) (result f64)
    (f64.add
      (f64.mul (f64.sqrt (local.get $x)) (local.get $y))
      (f64.div (f64.sub (local.get $x) (local.get $y)) (f64.nearest (local.get $y)))))
  (func (export "main") (param $size i32) (param i32 i32) (result i32) (local $x f64) (local $n i32)
    (local.set $x (f64.convert_i32_u (i32.add (local.get $size) (i32.const 3))))
    (loop $again
      (local.set $x (call $f (local.get $x) (f64.convert_i32_s (i32.sub (local.get $n) (i32.const 20)))))
      (f64.store (i32.shl (local.get $n) (i32.const 3)) (local.get $x))
      (f32.store offset=512 (i32.shl (local.get $n) (i32.const 2)) (f32.demote_f64 (local.get $x)))
      (i64.store offset=1024 (i32.shl (local.get $n) (i32.const 3)) (i64.trunc_sat_f64_s (local.get $x)))
      (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 60))))
    (f64.store offset=2048 (i32.const 0) (f64.div (f64.const -0) (f64.const 0)))
    (f32.store offset=2056 (i32.const 0) (f32.min (f32.const nan:0x200001) (f32.const 1)))
    (call $finish (i32.const 0) (i32.const 2060))
    (i32.const 1)))
