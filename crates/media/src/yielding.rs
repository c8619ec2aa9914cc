// SPDX-License-Identifier: EUPL-1.2
//! What a process does that works for a server beside its calls: it takes what they leave of the processors, and doesn't outlive it.

use std::io::{self, Read as _};

/// The lowest priority that there is: about one part in seventy of a core that calls want as well.
const LOWEST: i32 = 19;
/// How one ends whose server is gone. Nobody is left to be told.
const LEFT_ALONE: i32 = 75;

/// Lets everything else go first from now on. Threads that are started afterwards do so as well: call it before there are any.
pub fn yield_to_others() -> io::Result<()> {
    rustix::process::nice(LOWEST)?;
    Ok(())
}

/// Ends this process when its standard input ends: the server holds the other end, and never writes. Starts a thread.
pub fn end_with_input() -> io::Result<()> {
    let watch = || {
        let mut input = io::stdin().lock();
        let mut byte = [0];
        loop {
            match input.read(&mut byte) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(1) => {}
                // What it has written is begun anew.
                Ok(_) | Err(_) => std::process::exit(LEFT_ALONE),
            }
        }
    };
    std::thread::Builder::new().name("lifeline".to_owned()).spawn(watch).map(drop)
}
