// SPDX-License-Identifier: EUPL-1.2
//! `parvis-router`: two network namespaces, joined by the simulation's link model in real time.
//!
//! It makes a TUN device in each namespace, reads IP packets from either, lets `parvis_sim::Link` decide what becomes
//! of each, and writes it into the other when its time has come. The kernels that we measure on have no netem; and so
//! a link means the same here as in the simulation.
//!
//! **The one invariant: the router adds nothing of its own to the model.** A packet leaves when the model says, and
//! how late each really was is counted and told, so that a measurement can be thrown away.
//!
//! Each line on its standard input is a [`wire::Request`] in JSON; each is answered by a line of what was counted.
//! It ends with its input, and the devices with it.
//!
//! `wire` are the lines, `way` is one direction with what it holds, `router` the loop.

mod router;
mod way;
mod wire;

use std::fs::File;
use std::io;
use std::process::ExitCode;

use clap::Parser;
use nix::sched::{CloneFlags, setns};
use parvis_shard::open_tun;

use crate::router::Router;
use crate::wire::Request;

/// A lossy, slow, narrow link between two network namespaces.
#[derive(Parser)]
#[command(name = "parvis-router", version)]
struct Arguments {
    /// One end: the namespace's name, a colon, and the name of the TUN device to make there.
    #[arg(long, value_name = "NAMESPACE:DEVICE")]
    a: End,
    /// The other end.
    #[arg(long, value_name = "NAMESPACE:DEVICE")]
    b: End,
    /// Where all chance comes from: the same packets in the same order meet the same fate.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What the link is like at first; the same form as on standard input.
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = wire::parse)]
    model: Request,
}

#[derive(Debug, Clone)]
struct End {
    namespace: String,
    device: String,
}

impl std::str::FromStr for End {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<End, Self::Err> {
        let (namespace, device) = text.split_once(':').ok_or("write NAMESPACE:DEVICE")?;
        if namespace.is_empty() || namespace.contains('/') || device.is_empty() {
            return Err("write NAMESPACE:DEVICE");
        }
        Ok(End { namespace: namespace.to_owned(), device: device.to_owned() })
    }
}

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("network namespace {name}: {source}; `ip netns add {name}` makes it")]
    Namespace { name: String, source: io::Error },
    #[error(
        "cannot enter network namespace {name}: {source}; the router needs CAP_SYS_ADMIN and CAP_NET_ADMIN"
    )]
    Enter { name: String, source: nix::Error },
    #[error("cannot make TUN device {name}: {source}; the router needs /dev/net/tun and CAP_NET_ADMIN")]
    Device { name: String, source: io::Error },
    #[error("the router stopped: {0}")]
    Stopped(#[from] io::Error),
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Error> {
    let a = make(&arguments.a)?;
    let b = make(&arguments.b)?;
    let mut router = Router::new(a, b, arguments.seed)?;
    router.change(&arguments.model);
    router.run()?;
    Ok(())
}

/// Makes the device of one end. The thread stays in its namespace.
fn make(end: &End) -> Result<File, Error> {
    let name = || end.namespace.clone();
    let namespace = File::open(format!("/var/run/netns/{}", end.namespace))
        .map_err(|source| Error::Namespace { name: name(), source })?;
    setns(namespace, CloneFlags::CLONE_NEWNET).map_err(|source| Error::Enter { name: name(), source })?;
    open_tun(&end.device).map_err(|source| Error::Device { name: end.device.clone(), source })
}

#[expect(clippy::print_stderr, reason = "a command's terminal is where it speaks")]
fn say_error(error: &Error) {
    eprintln!("parvis-router: {error}");
}
