// SPDX-License-Identifier: EUPL-1.2
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| parvis_fuzz::audit::time_stamp(data));
