;; The smallest useful module: marks every request with a header, leaves answers as they are.
;; Built by `deno task plugin-examples` into stamp.wasm.
(module
  (memory (export "memory") 1)

  ;; What it answers to every request: 36 bytes at address 16.
  (data (i32.const 16) "{\22set_headers\22:{\22x-stamped\22:\22wasm\22}}")
  (global $answer_len i32 (i32.const 36))

  ;; Length of the result of the last call.
  (global $result_len (mut i32) (i32.const 0))

  ;; Dispa makes one call at a time and gives its input back before the next one: one place at 1024 is enough.
  ;; 0 says that there is no memory for it.
  (func (export "alloc") (param $len i32) (result i32)
    (local $pages i32)
    ;; pages that 1024 + len bytes need, beyond those there are
    (local.set $pages
      (i32.sub
        (i32.shr_u (i32.add (local.get $len) (i32.const 66559)) (i32.const 16))
        (memory.size)))
    (if (i32.gt_s (local.get $pages) (i32.const 0))
      (then
        (if (i32.eq (memory.grow (local.get $pages)) (i32.const -1))
          (then (return (i32.const 0))))))
    (i32.const 1024))

  (func (export "dealloc") (param $ptr i32) (param $len i32))

  (func (export "dispa_on_request") (param $ptr i32) (param $len i32) (result i32)
    (global.set $result_len (global.get $answer_len))
    (i32.const 16))

  ;; A result of no length means: go on as it is.
  (func (export "dispa_on_response") (param $ptr i32) (param $len i32) (result i32)
    (global.set $result_len (i32.const 0))
    (i32.const 0))

  (func (export "dispa_get_result_len") (result i32)
    (global.get $result_len)))
