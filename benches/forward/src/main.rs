// SPDX-License-Identifier: EUPL-1.2
//! One run of one path, told as one line of JSON. `cargo xtask bench forward` runs them in turn.

use std::io::Write;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use parvis_bench_forward::real::Options;
use parvis_bench_forward::{Error, bare, real};
use serde_json::json;

#[derive(Parser)]
#[command(about = "Measures what forwarding one packet costs, in one run of one path")]
struct Arguments {
    /// Which path.
    #[arg(long)]
    path: Way,
    /// Whether trains leave whole.
    #[arg(long)]
    gso: bool,
    /// How many receive.
    #[arg(long, default_value_t = 200)]
    subscribers: usize,
    /// Frames of eight packets in a second.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    frames: u32,
    /// Seconds before it counts.
    #[arg(long, default_value_t = 12.0)]
    warm_up: f64,
    /// Seconds that count.
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Way {
    /// Nothing but receive, decrypt, rewrite, encrypt, send.
    Bare,
    /// The shard's thread with a forwarder.
    Real,
}

fn main() -> Result<(), Error> {
    let arguments = Arguments::parse();
    let options = Options {
        subscribers: arguments.subscribers,
        gso: arguments.gso,
        frames_per_second: arguments.frames,
        warm_up: Duration::from_secs_f64(arguments.warm_up),
        duration: Duration::from_secs_f64(arguments.seconds),
    };
    let outcome = match arguments.path {
        Way::Bare => bare::run(&options)?,
        Way::Real => real::run(&options)?,
    };
    let nanos = outcome.cpu.as_nanos() as f64 / outcome.forwarded.max(1) as f64;
    let line = json!({
        "nanos_per_packet": nanos,
        "user_nanos_per_packet": nanos * outcome.user_share,
        "forwarded": outcome.forwarded,
        "expected": outcome.expected,
        "cpu_share": outcome.cpu.as_secs_f64() / outcome.wall.as_secs_f64(),
        "estimate": outcome.estimate,
        "send_calls": outcome.send_calls,
        "in_trains": outcome.in_trains,
        "packets_in": outcome.packets_in,
        "turns": outcome.turns,
    });
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}
