;; The Loom token in WebAssembly's own text form: an ERC-20 with Solidity's interface and storage layout.
;;
;; Output is left in the eight bytes that `main` is given. Words are 32 bytes, big-endian, and passed by where they are.
;; Every call gets a new instance, so at its start memory is what the data segments say, and zeros.
(module
  (import "env" "storage_load" (func $storage_load (param $key i32) (param $value i32)))
  (import "env" "storage_store" (func $storage_store (param $key i32) (param $value i32)))
  (import "env" "caller" (func $caller (param $address i32)))
  (import "env" "value" (func $value (param $amount i32)))
  (import "env" "emit" (func $emit (param $topics i32) (param $count i32) (param $data i32) (param $length i32)))
  (import "env" "keccak256" (func $keccak256 (param $data i32) (param $length i32) (param $digest i32)))

  (memory (export "memory") 1)

  ;; Memory:
  ;;      0   total supply    storage, in the order in which Solidity would declare it
  ;;     32   balance of
  ;;     64   allowance
  ;;     96   initialized
  ;;    128   the hash of Transfer(address,address,uint256)
  ;;    160   the hash of Approval(address,address,uint256)
  ;;    192   one
  ;;    224   eighteen
  ;;    256   texts, each behind its length in a byte
  ;;    512   the caller, as a word
  ;;    544   where the sender's balance is
  ;;    576   where the receiver's balance or the allowance is
  ;;    608   the value there
  ;;    640   a mapping's key and place, to be hashed
  ;;    704   topics of an event
  ;;    800   a text as Solidity encodes it: selector of errors, 32, length, text
  ;;   1024   input
  (data (i32.const 63) "\01")
  (data (i32.const 95) "\02")
  (data (i32.const 127) "\03")
  (data (i32.const 128)
    "\dd\f2\52\ad\1b\e2\c8\9b\69\c2\b0\68\fc\37\8d\aa"
    "\95\2b\a7\f1\63\c4\a1\16\28\f5\5a\4d\f5\23\b3\ef")
  (data (i32.const 160)
    "\8c\5b\e1\e5\eb\ec\7d\5b\d1\4f\71\42\7d\1e\84\f3"
    "\dd\03\14\c0\f7\b2\29\1e\5b\20\0a\c8\c7\c3\b9\25")
  (data (i32.const 223) "\01")
  (data (i32.const 255) "\12")
  (data (i32.const 256) "\04Loom")
  (data (i32.const 261) "\04LOOM")
  (data (i32.const 266) "\13already initialized")
  (data (i32.const 286) "\12transfer to nobody")
  (data (i32.const 305) "\14insufficient balance")
  (data (i32.const 326) "\16insufficient allowance")
  (data (i32.const 349) "\10balance overflow")
  (data (i32.const 800) "\08\c3\79\a0")
  (data (i32.const 835) "\20")

  ;; The address of the eight bytes: where the output is, and how long.
  (global $output (mut i32) (i32.const 0))

  ;; Where the host puts `size` bytes of input: more than the page holds goes into new ones.
  (func $allocate (export "allocate") (param $size i32) (result i32)
    (local $page i32)
    (if (i32.le_u (local.get $size) (i32.const 64512))
      (then (return (i32.const 1024))))
    (local.set $page
      (memory.grow
        (i32.add
          (i32.shr_u (local.get $size) (i32.const 16))
          (i32.ne (i32.and (local.get $size) (i32.const 65535)) (i32.const 0)))))
    (if (i32.eq (local.get $page) (i32.const -1))
      (then (unreachable)))
    (i32.shl (local.get $page) (i32.const 16)))

  ;; How functions end: 1 is success, 0 is revert.

  (func $answer (param $data i32) (param $length i32) (result i32)
    (i32.store (global.get $output) (local.get $data))
    (i32.store offset=4 (global.get $output) (local.get $length))
    (i32.const 1))

  (func $answer_word (param $word i32) (result i32)
    (call $answer (local.get $word) (i32.const 32)))

  ;; Encode a text behind the selector of errors, which is part of the output if the call fails.
  (func $put_text (param $text i32)
    (i32.store8 (i32.const 867) (i32.load8_u (local.get $text)))
    (memory.copy
      (i32.const 868)
      (i32.add (local.get $text) (i32.const 1))
      (i32.load8_u (local.get $text))))

  (func $answer_text (param $text i32) (result i32)
    (call $put_text (local.get $text))
    (call $answer (i32.const 804) (i32.const 96)))

  ;; Revert as Solidity does: Error(string).
  (func $fail (param $text i32) (result i32)
    (call $put_text (local.get $text))
    (i32.eqz (call $answer (i32.const 800) (i32.const 100))))

  ;; Words.

  (func $copy (param $target i32) (param $source i32)
    (memory.copy (local.get $target) (local.get $source) (i32.const 32)))

  (func $is_zero (param $word i32) (result i32)
    (i64.eqz
      (i64.or
        (i64.or (i64.load align=1 (local.get $word)) (i64.load offset=8 align=1 (local.get $word)))
        (i64.or (i64.load offset=16 align=1 (local.get $word)) (i64.load offset=24 align=1 (local.get $word))))))

  (func $is_address (param $word i32) (result i32)
    (i64.eqz
      (i64.or (i64.load align=1 (local.get $word)) (i64.load32_u offset=8 align=1 (local.get $word)))))

  ;; Add `amount` to `word`; whether that is too much for a word.
  (func $add (param $word i32) (param $amount i32) (result i32)
    (local $at i32) (local $sum i32)
    (local.set $at (i32.const 31))
    (loop $bytes
      (local.set $sum
        (i32.add
          (i32.shr_u (local.get $sum) (i32.const 8))
          (i32.add
            (i32.load8_u (i32.add (local.get $word) (local.get $at)))
            (i32.load8_u (i32.add (local.get $amount) (local.get $at))))))
      (i32.store8 (i32.add (local.get $word) (local.get $at)) (local.get $sum))
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (br_if $bytes (i32.ge_s (local.get $at) (i32.const 0))))
    (i32.shr_u (local.get $sum) (i32.const 8)))

  ;; Subtract `amount` from `word`; whether it was less.
  (func $subtract (param $word i32) (param $amount i32) (result i32)
    (local $at i32) (local $difference i32)
    (local.set $at (i32.const 31))
    (loop $bytes
      (local.set $difference
        (i32.sub
          (i32.sub
            (i32.load8_u (i32.add (local.get $word) (local.get $at)))
            (i32.load8_u (i32.add (local.get $amount) (local.get $at))))
          (i32.shr_u (local.get $difference) (i32.const 31))))
      (i32.store8 (i32.add (local.get $word) (local.get $at)) (local.get $difference))
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (br_if $bytes (i32.ge_s (local.get $at) (i32.const 0))))
    (i32.shr_u (local.get $difference) (i32.const 31)))

  ;; Put at `slot` where Solidity keeps `mapping[key]`. `mapping` and `slot` may be the same.
  (func $find (param $mapping i32) (param $key i32) (param $slot i32)
    (call $copy (i32.const 640) (local.get $key))
    (call $copy (i32.const 672) (local.get $mapping))
    (call $keccak256 (i32.const 640) (i32.const 64) (local.get $slot)))

  ;; Put at 576 where the allowance is.
  (func $find_allowance (param $owner i32) (param $spender i32)
    (call $find (i32.const 64) (local.get $owner) (i32.const 576))
    (call $find (i32.const 576) (local.get $spender) (i32.const 576)))

  (func $answer_slot (param $slot i32) (result i32)
    (call $storage_load (local.get $slot) (i32.const 608))
    (call $answer_word (i32.const 608)))

  (func $tell (param $event i32) (param $first i32) (param $second i32) (param $amount i32)
    (call $copy (i32.const 704) (local.get $event))
    (call $copy (i32.const 736) (local.get $first))
    (call $copy (i32.const 768) (local.get $second))
    (call $emit (i32.const 704) (i32.const 3) (local.get $amount) (i32.const 32)))

  ;; The token.

  (func $initialize (param $supply i32) (result i32)
    (call $storage_load (i32.const 96) (i32.const 608))
    (if (i32.eqz (call $is_zero (i32.const 608)))
      (then (return (call $fail (i32.const 266)))))
    (call $storage_store (i32.const 96) (i32.const 192))
    (call $storage_store (i32.const 0) (local.get $supply))
    (call $find (i32.const 32) (i32.const 512) (i32.const 544))
    (call $storage_store (i32.const 544) (local.get $supply))
    (call $tell (i32.const 128) (i32.const 0) (i32.const 512) (local.get $supply)) ;; word 0 is zero: from nobody
    (call $answer (i32.const 0) (i32.const 0)))

  (func $move (param $sender i32) (param $receiver i32) (param $amount i32) (result i32)
    (if (call $is_zero (local.get $receiver))
      (then (return (call $fail (i32.const 286)))))
    (call $find (i32.const 32) (local.get $sender) (i32.const 544))
    (call $storage_load (i32.const 544) (i32.const 608))
    (if (call $subtract (i32.const 608) (local.get $amount))
      (then (return (call $fail (i32.const 305)))))
    (call $storage_store (i32.const 544) (i32.const 608))
    (call $find (i32.const 32) (local.get $receiver) (i32.const 576))
    (call $storage_load (i32.const 576) (i32.const 608)) ;; after the sender's is written: they may be the same
    (if (call $add (i32.const 608) (local.get $amount))
      (then (return (call $fail (i32.const 349)))))
    (call $storage_store (i32.const 576) (i32.const 608))
    (call $tell (i32.const 128) (local.get $sender) (local.get $receiver) (local.get $amount))
    (call $answer_word (i32.const 192)))

  (func $move_from (param $sender i32) (param $receiver i32) (param $amount i32) (result i32)
    (call $find_allowance (local.get $sender) (i32.const 512))
    (call $storage_load (i32.const 576) (i32.const 608))
    (if (call $subtract (i32.const 608) (local.get $amount))
      (then (return (call $fail (i32.const 326)))))
    (call $storage_store (i32.const 576) (i32.const 608))
    (call $move (local.get $sender) (local.get $receiver) (local.get $amount)))

  (func $approve (param $spender i32) (param $amount i32) (result i32)
    (call $find_allowance (i32.const 512) (local.get $spender))
    (call $storage_store (i32.const 576) (local.get $amount))
    (call $tell (i32.const 160) (i32.const 512) (local.get $spender) (local.get $amount))
    (call $answer_word (i32.const 192)))

  ;; Whether the input has `count` arguments of which the first `addresses` are addresses.
  (func $takes (param $length i32) (param $arguments i32) (param $count i32) (param $addresses i32) (result i32)
    (if (i32.lt_u (local.get $length) (i32.add (i32.const 4) (i32.shl (local.get $count) (i32.const 5))))
      (then (return (i32.const 0))))
    (loop $next
      (if (local.get $addresses)
        (then
          (if (i32.eqz (call $is_address (local.get $arguments)))
            (then (return (i32.const 0))))
          (local.set $arguments (i32.add (local.get $arguments) (i32.const 32)))
          (local.set $addresses (i32.sub (local.get $addresses) (i32.const 1)))
          (br $next))))
    (i32.const 1))

  (func $main (export "main") (param $length i32) (param $input i32) (param $output i32) (result i32)
    (local $selector i32) (local $first i32) (local $second i32) (local $third i32)
    (global.set $output (local.get $output))
    (call $value (i32.const 608))
    (if (i32.or (i32.lt_u (local.get $length) (i32.const 4)) (i32.eqz (call $is_zero (i32.const 608))))
      (then (return (i32.const 0))))
    (call $caller (i32.const 524))
    (local.set $selector (i32.load align=1 (local.get $input))) ;; little-endian: its bytes are the other way round
    (local.set $first (i32.add (local.get $input) (i32.const 4)))
    (local.set $second (i32.add (local.get $input) (i32.const 36)))
    (local.set $third (i32.add (local.get $input) (i32.const 68)))

    (if (i32.eq (local.get $selector) (i32.const 0xbb9c05a9)) ;; transfer(address,uint256)
      (then
        (if (i32.eqz (call $takes (local.get $length) (local.get $first) (i32.const 2) (i32.const 1)))
          (then (return (i32.const 0))))
        (return (call $move (i32.const 512) (local.get $first) (local.get $second)))))
    (if (i32.eq (local.get $selector) (i32.const 0xdd72b823)) ;; transferFrom(address,address,uint256)
      (then
        (if (i32.eqz (call $takes (local.get $length) (local.get $first) (i32.const 3) (i32.const 2)))
          (then (return (i32.const 0))))
        (return (call $move_from (local.get $first) (local.get $second) (local.get $third)))))
    (if (i32.eq (local.get $selector) (i32.const 0xb3a75e09)) ;; approve(address,uint256)
      (then
        (if (i32.eqz (call $takes (local.get $length) (local.get $first) (i32.const 2) (i32.const 1)))
          (then (return (i32.const 0))))
        (return (call $approve (local.get $first) (local.get $second)))))
    (if (i32.eq (local.get $selector) (i32.const 0x3182a070)) ;; balanceOf(address)
      (then
        (if (i32.eqz (call $takes (local.get $length) (local.get $first) (i32.const 1) (i32.const 1)))
          (then (return (i32.const 0))))
        (call $find (i32.const 32) (local.get $first) (i32.const 544))
        (return (call $answer_slot (i32.const 544)))))
    (if (i32.eq (local.get $selector) (i32.const 0x3eed62dd)) ;; allowance(address,address)
      (then
        (if (i32.eqz (call $takes (local.get $length) (local.get $first) (i32.const 2) (i32.const 2)))
          (then (return (i32.const 0))))
        (call $find_allowance (local.get $first) (local.get $second))
        (return (call $answer_slot (i32.const 576)))))
    (if (i32.eq (local.get $selector) (i32.const 0xdd0d1618)) ;; totalSupply()
      (then (return (call $answer_slot (i32.const 0)))))
    (if (i32.eq (local.get $selector) (i32.const 0x03defd06)) ;; name()
      (then (return (call $answer_text (i32.const 256)))))
    (if (i32.eq (local.get $selector) (i32.const 0x419bd895)) ;; symbol()
      (then (return (call $answer_text (i32.const 261)))))
    (if (i32.eq (local.get $selector) (i32.const 0x67e53c31)) ;; decimals()
      (then (return (call $answer_word (i32.const 224)))))
    (if (i32.eq (local.get $selector) (i32.const 0xdf844bfe)) ;; initialize(uint256)
      (then
        (if (i32.eqz (call $takes (local.get $length) (local.get $first) (i32.const 1) (i32.const 0)))
          (then (return (i32.const 0))))
        (return (call $initialize (local.get $first)))))
    (i32.const 0)))
