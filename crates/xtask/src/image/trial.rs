// SPDX-License-Identifier: EUPL-1.2
//! The image in a virtual machine: from power to a call that a published SDK makes through it, and what may happen to it later.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use clap::ValueEnum;

use super::build::Wanted;
use super::machine::{Boot, HTTP, MEDIA, Machine, answers};
use super::tools::Tools;
use super::{Options, VERSION, built, folder, keys, updates};
use crate::sh::{Error, Result, process, root, say};
use crate::{e2e, setup};

/// How long it may take until pages are served: a real machine boots in a fraction.
const BOOT: Duration = Duration::from_secs(900);
/// How long until an update that was found is in the other slot and has started.
const UPDATE: Duration = Duration::from_secs(2400);
/// Where updates are offered.
const OFFERED: u16 = 27990;
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const DISK: &str = "disk.raw";

/// What is tried, in this order. Some need what the ones before them left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Step {
    /// A new disk starts once, a call goes through, strangers' units do not run, a forged update is refused.
    First,
    /// It fetches the next version, starts it and keeps it.
    Update,
    /// It fetches a version whose server does not start, and goes back.
    Worse,
    /// An unsigned image is not started.
    Unsigned,
    /// A block of the root is not as it was built.
    Flipped,
    /// A machine without a TPM says so and goes off.
    NoTpm,
}

/// Ends a server of updates with the step.
struct Offer(Child);

impl Drop for Offer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Does them all, or those that were asked for.
pub(super) fn run(tools: &Tools, image: &Path, options: &Options) -> Result {
    let mut rows = Vec::new();
    for step in Step::value_variants() {
        if !options.step.is_empty() && !options.step.contains(step) {
            continue;
        }
        say(&format!("trial: {step:?}"));
        match step {
            Step::First => first(tools, image, &mut rows)?,
            Step::Update => update(tools, options, &mut rows)?,
            Step::Worse => worse(tools, options, &mut rows)?,
            Step::Unsigned => unsigned(tools, image, &mut rows)?,
            Step::Flipped => flipped(tools, image, &mut rows)?,
            Step::NoTpm => no_tpm(tools, image, &mut rows)?,
        }
    }
    if options.step.is_empty() {
        std::fs::write(root().join("docs/measurements/appliance.md"), page(image, &rows)?)?;
    }
    Ok(())
}

/// A copy of the image on a disk with room.
fn disk(image: &Path, name: &str) -> Result {
    let to = folder().join(name);
    std::fs::copy(image, &to)?;
    process("truncate", ["--size=6G".as_ref(), to.as_os_str()]).run()
}

fn boot<'a>(log: &'a str, more: &[(&'a str, &str)]) -> Boot<'a> {
    let mut credentials = vec![("parvis.toml", configuration()), ("parvis.main.secret", SECRET.to_owned())];
    credentials.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    Boot { disk: DISK, variables: "vars.fd", secure: true, tpm: Some("tpm"), credentials, log }
}

fn offer(tools: &Tools, of: &str) -> Result<Offer> {
    let (port, folder) = (OFFERED.to_string(), format!("/w/{of}"));
    let command = ["python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory", &folder, &port];
    Ok(Offer(tools.start(&command)?))
}

/// What it says has to have this, and nothing else than that.
fn says(machine: &Machine, has: &[&str], has_not: &[&str]) -> Result {
    let said = machine.said();
    for text in has {
        if !said.contains(text) {
            return Err(Error::new(format!("it did not say “{text}”")));
        }
    }
    match has_not.iter().find(|text| said.contains(**text)) {
        Some(text) => Err(Error::new(format!("it said “{text}”"))),
        None => Ok(()),
    }
}

/// How often a kernel started.
fn starts(said: &str) -> usize {
    said.matches("] Linux version ").count()
}

/// How often this version did.
fn starts_of(said: &str, version: &str) -> usize {
    said.lines()
        .filter(|line| line.trim_end().ends_with(&format!("parvis: version {version} starts")))
        .count()
}

fn first(tools: &Tools, image: &Path, rows: &mut Vec<Row>) -> Result {
    disk(image, DISK)?;
    let _ = std::fs::remove_dir_all(folder().join("tpm"));
    keys::firmware(tools, "/w/vars.fd")?;
    // A list with one line more than what was signed.
    let forged = "rm -rf /w/forged && cp -r /w/out/updates /w/forged && echo >> /w/forged/SHA256SUMS";
    tools.run(&["bash", "-c", forged])?;
    let _offer = offer(tools, "forged")?;
    let url = format!("http://10.0.2.2:{OFFERED}");
    let stranger = "[Service]\nType=oneshot\nStandardOutput=journal+console\nExecStart=/bin/echo STRANGER\n";
    let machine = Machine::start(
        tools,
        &boot(
            "first.log",
            &[
                ("update.url", &url),
                ("systemd.extra-unit.stranger.service", stranger),
                ("systemd.unit-dropin.multi-user.target", "[Unit]\nWants=stranger.service\n"),
            ],
        ),
    )?;
    machine.until_served(BOOT)?;
    rows.push(Row::new("from power until `/readyz` is served, the first boot of a new disk", &machine));
    setup::npm(e2e::FOLDER)?;
    process("node", ["--test", "--test-reporter=spec", "appliance/image.test.mjs"])
        .within(root().join(e2e::FOLDER))
        .with("PARVIS_PYTHON", setup::python()?)
        .with("PARVIS_IMAGE", format!("http://127.0.0.1:{HTTP}"))
        .with("PARVIS_IMAGE_SECRET", SECRET)
        .run()?;
    rows.push(Row::new(
        "until two of the published Python SDK see and hear each other (to reach: 150 s)",
        &machine,
    ));
    machine
        .until("a forged update refused", BOOT, |said| said.contains("parvis: no update: it was refused"))?;
    says(
        &machine,
        &[
            "the recovery key of /var, shown this once",
            "not taken from the hypervisor: systemd.extra-unit.stranger.service",
            "not taken from the hypervisor: systemd.unit-dropin.multi-user.target",
            "ignature verification failed",
        ],
        &["STRANGER", "Failed to start chrony.service", "Failed to start systemd-tpm2-setup.service"],
    )?;
    let often = starts(&machine.said());
    if often == 1 { Ok(()) } else { Err(Error::new(format!("it started {often} times, and not once"))) }
}

fn update(tools: &Tools, options: &Options, rows: &mut Vec<Row>) -> Result {
    let next = format!("{VERSION}.1");
    let wanted = Wanted { name: "next", version: &next, ..Wanted::first(options.debug) };
    let image = built(tools, &wanted, options.built)?;
    updates::lay_out(tools, &image, &next)?;
    let _offer = offer(tools, "next/updates")?;
    let url = format!("http://10.0.2.2:{OFFERED}");
    let given = [("update.url", url.as_str()), ("update.reboot", "yes")];
    let mut machine = Machine::start(tools, &boot("update.log", &given))?;
    machine.until("in the next version", UPDATE, |said| starts_of(said, &next) == 1)?;
    machine.until_served(BOOT)?;
    rows.push(Row::new("an update is fetched, checked, written, started and serves", &machine));
    machine.until("kept", BOOT, |said| said.contains("parvis: this version stays"))?;
    says(&machine, &[&format!("parvis: version {VERSION} starts")], &["the recovery key of /var"])?;
    off(&mut machine)?;
    entries(tools, &[&format!("parvis_{next}.efi")])
}

fn worse(tools: &Tools, options: &Options, rows: &mut Vec<Row>) -> Result {
    let (good, worse) = (format!("{VERSION}.1"), format!("{VERSION}.2"));
    let wanted = Wanted { name: "worse", version: &worse, broken: true, ..Wanted::first(options.debug) };
    let image = built(tools, &wanted, options.built)?;
    updates::lay_out(tools, &image, &worse)?;
    let _offer = offer(tools, "worse/updates")?;
    let url = format!("http://10.0.2.2:{OFFERED}");
    let given = [("update.url", url.as_str()), ("update.reboot", "yes")];
    let mut machine = Machine::start(tools, &boot("worse.log", &given))?;
    machine.until("back", UPDATE, |said| starts_of(said, &worse) == 2 && starts_of(said, &good) == 2)?;
    machine.until_served(BOOT)?;
    rows.push(Row::new(
        "an update whose server does not start is tried twice, and the one before serves",
        &machine,
    ));
    off(&mut machine)?;
    entries(tools, &[&format!("parvis_{good}.efi"), &format!("parvis_{worse}+0-2.efi")])
}

/// Without its plug: what it wrote to the boot partition a moment ago is there.
fn off(machine: &mut Machine) -> Result {
    std::thread::sleep(Duration::from_secs(60));
    machine.pull()
}

/// Which images the boot partition has.
fn entries(tools: &Tools, wanted: &[&str]) -> Result {
    let at = 512 * updates::part(tools, &folder().join(DISK), "esp")?.start;
    let said = tools.output(&["mdir", "-b", "-i", &format!("/w/{DISK}@@{at}"), "::/EFI/Linux"])?;
    match wanted.iter().find(|name| !said.contains(&format!("/{name}"))) {
        Some(missing) => Err(Error::new(format!("no {missing} in the boot partition, which has:\n{said}"))),
        None => Ok(()),
    }
}

fn unsigned(tools: &Tools, image: &Path, rows: &mut Vec<Row>) -> Result {
    disk(image, "unsigned.raw")?;
    keys::firmware(tools, "/w/unsigned.fd")?;
    let at = 512 * updates::part(tools, &folder().join("unsigned.raw"), "esp")?.start;
    let script = format!(
        "set -e; cp /w/out/parvis_{VERSION}.efi /w/unsigned.efi; sbattach --remove /w/unsigned.efi; \
         mcopy -o -i /w/unsigned.raw@@{at} /w/unsigned.efi ::/EFI/Linux/parvis_{VERSION}.efi"
    );
    tools.run(&["bash", "-c", &script])?;
    let machine = Machine::start(
        tools,
        &Boot { disk: "unsigned.raw", variables: "unsigned.fd", tpm: None, ..boot("unsigned.log", &[]) },
    )?;
    machine.until("an unsigned image refused", BOOT, |said| {
        said.contains("Access Denied")
            || said.contains("Access denied")
            || said.contains("Security Violation")
            || said.contains("Security violation")
    })?;
    rows.push(Row::new("an unsigned image under Secure Boot is refused", &machine));
    says(&machine, &[], &["Linux version"])
}

fn flipped(tools: &Tools, image: &Path, rows: &mut Vec<Row>) -> Result {
    disk(image, "flipped.raw")?;
    keys::firmware(tools, "/w/flipped.fd")?;
    let at = 512 * updates::part(tools, &folder().join("flipped.raw"), &format!("parvis_{VERSION}"))?.start;
    flip(&OpenOptions::new().write(true).open(folder().join("flipped.raw"))?, at)?;
    let machine = Machine::start(
        tools,
        &Boot { disk: "flipped.raw", variables: "flipped.fd", tpm: None, ..boot("flipped.log", &[]) },
    )?;
    machine.until("panicked and started again", BOOT, |said| starts(said) == 2)?;
    rows.push(Row::new("blocks of the root are not as built: the kernel panics and starts again", &machine));
    says(&machine, &["Kernel panic - not syncing: dm-verity device corrupted"], &[])
}

/// Five blocks in each of the first 200 MB: some of them are read at every start.
fn flip(mut disk: &File, start: u64) -> Result {
    for block in 1..1000_u64 {
        disk.seek(SeekFrom::Start(start + block * 200 * 1024 + 17))?;
        disk.write_all(b"flipped")?;
    }
    Ok(())
}

fn no_tpm(tools: &Tools, image: &Path, rows: &mut Vec<Row>) -> Result {
    disk(image, "no-tpm.raw")?;
    keys::firmware(tools, "/w/no-tpm.fd")?;
    let mut machine = Machine::start(
        tools,
        &Boot { disk: "no-tpm.raw", variables: "no-tpm.fd", tpm: None, ..boot("no-tpm.log", &[]) },
    )?;
    machine.until_off(BOOT)?;
    rows.push(Row::new("a machine without a TPM says so and goes off", &machine));
    says(&machine, &["parvis: no TPM, so that nothing holds the key of /var"], &[])?;
    if answers() { Err(Error::new("something still serves")) } else { Ok(()) }
}

/// What was seen, and after how long.
struct Row(&'static str, Duration);

impl Row {
    fn new(what: &'static str, machine: &Machine) -> Row {
        Row(what, machine.elapsed())
    }
}

/// The page that says what was seen.
fn page(image: &Path, rows: &[Row]) -> Result<String> {
    let said = |program: &str, arguments: &[&str]| {
        let output = process(program, arguments).output();
        output.map(|text| text.trim().to_owned()).ok_or_else(|| Error::new(format!("{program} says nothing")))
    };
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let load: Vec<&str> = load.split(' ').take(3).collect();
    let packed = folder().join("parvis.raw.zst");
    let (from, to) = (image.to_string_lossy(), packed.to_string_lossy());
    setup::archives()?;
    process("zstd", ["-q", "-f", "-10", "-T0", &from, "-o", &to]).run()?;
    let packed = std::fs::metadata(packed)?.len();
    let rows: Vec<String> =
        rows.iter().map(|Row(what, after)| format!("| {what} | {:.0} s |", after.as_secs_f64())).collect();
    Ok(format!(
        "# The image in a virtual machine\n\nWritten by `cargo xtask image --test`. {}, commit {}; {}, load average {} at the end.\n\n\
         QEMU without acceleration, two processors, 2 GiB, UEFI with Secure Boot and keys of the trial's own, a software TPM.\n\n\
         | | after |\n|---|---|\n{}\n\nThe disk's file, by `zstd -10`: {} MB (to reach: 350 MB).\n",
        said("date", &["+%-d %B %Y"])?,
        said("git", &["describe", "--always", "--dirty"])?,
        said("uname", &["-srm"])?,
        load.join(" "),
        rows.join("\n"),
        packed / 1_000_000,
    ))
}

/// The machine's network translates addresses: what is offered is where this machine forwards from.
fn configuration() -> String {
    format!(
        "[http]\nlisten = \"[::]:443\"\n[media]\nnode_ip = [\"127.0.0.1\"]\nudp_ports = \"{MEDIA}-{}\"\nshards = 1\ntcp = false\n\
         [data]\ndirectory = \"/var/lib/parvis\"\n[[keys]]\nname = \"main\"\nsecret_file = \"parvis.main.secret\"\n",
        MEDIA + 1
    )
}
