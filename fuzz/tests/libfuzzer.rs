//! The function that libFuzzer calls with each input (LLVM: `LLVMFuzzerTestOneInput`). `main` is libFuzzer's own.
//!
//! One program for all targets, so that only one has to be linked; `FUZZ_TARGET` says which is meant.
#![no_main]
#![expect(unsafe_code, reason = "the interface of libFuzzer is C's")]

use std::sync::LazyLock;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let target = fuzz::TARGETS.iter().find(|target| target.name == name);
    target.unwrap_or_else(|| panic!("FUZZ_TARGET is no target: `{name}`")).run
});

/// A panic cannot leave it: the process aborts, which is what libFuzzer takes for a find.
#[unsafe(no_mangle)]
extern "C" fn LLVMFuzzerTestOneInput(data: *const u8, size: usize) -> i32 {
    let input = if size == 0 {
        &[]
    } else {
        // SAFETY: libFuzzer passes `size` bytes that stay as they are until this returns.
        unsafe { std::slice::from_raw_parts(data, size) }
    };
    TARGET(input);
    0
}
