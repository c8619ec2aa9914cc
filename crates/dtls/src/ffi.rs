// SPDX-License-Identifier: EUPL-1.2
//! The four BoringSSL functions that `boring` doesn't wrap: the clock and the DTLS timers.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use boring::{
    error::ErrorStack,
    ssl::{SslContextBuilder, SslRef},
};
use foreign_types::ForeignTypeRef;

/// Where BoringSSL's clock stands when an endpoint is made, in seconds: anything but 0, which would be 1970 and
/// which some code takes for "unset".
const EPOCH_SECONDS: u64 = 1 << 30;

thread_local! {
    /// BoringSSL calls the clock without saying for which connection, so the time is set before each call into it.
    static ELAPSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Sets the time that BoringSSL sees on this thread until the next call: `now`, counted from the endpoint's `start`.
pub(crate) fn set_clock(start: Instant, now: Instant) {
    ELAPSED.set(now.saturating_duration_since(start));
}

/// Makes all connections of a context read the time from [`set_clock`].
pub(crate) fn install_clock(context: &mut SslContextBuilder) {
    // SAFETY: the pointer is that of a live, exclusively borrowed context, and `current_time` is a function with the
    // signature that BoringSSL wants, valid for the life of the process, which neither unwinds nor keeps pointers.
    unsafe { boring_sys::SSL_CTX_set_current_time_cb(context.as_ptr(), Some(current_time)) }
}

/// How long a flight waits for its answer before it is sent again the first time (RFC 9147 section 5.8.2).
pub(crate) fn set_first_retransmission(ssl: &mut SslRef, duration: Duration) {
    let milliseconds = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
    // SAFETY: the pointer is that of a live, exclusively borrowed connection; the call stores a number in it.
    unsafe { boring_sys::DTLSv1_set_initial_timeout_duration(ssl.as_ptr(), milliseconds) }
}

/// How long until the next timer of the connection, by the clock last set.
pub(crate) fn time_left(ssl: &SslRef) -> Option<Duration> {
    let mut left = boring_sys::timeval { tv_sec: 0, tv_usec: 0 };
    // SAFETY: the pointer is that of a live connection, which the call only reads; `left` outlives the call.
    let set = unsafe { boring_sys::DTLSv1_get_timeout(ssl.as_ptr(), &mut left) } == 1;
    let seconds = u64::try_from(left.tv_sec).unwrap_or(0);
    let microseconds = u64::try_from(left.tv_usec).unwrap_or(0);
    set.then(|| Duration::from_secs(seconds) + Duration::from_micros(microseconds))
}

/// Lets the connection's timers fire that are due by the clock last set.
pub(crate) fn handle_timeout(ssl: &mut SslRef) -> Result<(), ErrorStack> {
    // SAFETY: the pointer is that of a live, exclusively borrowed connection. The call may write to its BIO, whose
    // Rust side (`boring`'s) catches unwinding.
    match unsafe { boring_sys::DTLSv1_handle_timeout(ssl.as_ptr()) } {
        failed if failed < 0 => Err(ErrorStack::get()),
        _ => Ok(()),
    }
}

extern "C" fn current_time(_ssl: *const boring_sys::SSL, out: *mut boring_sys::timeval) {
    let elapsed = ELAPSED.get();
    // `as` because the fields' widths differ between platforms; both values are small.
    let time = boring_sys::timeval {
        tv_sec: (EPOCH_SECONDS + elapsed.as_secs()) as _,
        tv_usec: elapsed.subsec_micros() as _,
    };
    // SAFETY: BoringSSL passes a valid pointer to a `timeval` of its own, for the time of this call.
    unsafe { out.write(time) }
}
