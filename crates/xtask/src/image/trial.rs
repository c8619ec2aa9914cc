// SPDX-License-Identifier: EUPL-1.2
//! The image in a virtual machine, without acceleration: from power to a call that a published SDK makes through it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use super::folder;
use super::tools::Tools;
use crate::sh::{Error, Result, process, root, say};
use crate::{e2e, setup};

/// How long it may take until pages are served: a real machine boots in a fraction.
const BOOT: Duration = Duration::from_secs(400);
/// Ports of this machine that lead into the virtual one.
const HTTP: u16 = 27880;
const MEDIA: u16 = 7944;

/// Ends the machine with the trial.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Boots a copy of the image and calls through it.
pub(super) fn run(tools: &Tools, image: &Path) -> Result {
    let disk = folder().join("disk.raw");
    std::fs::copy(image, &disk)?;
    process("truncate", ["--size=6G".as_ref(), disk.as_os_str()]).run()?;
    let credentials = folder().join("credentials");
    std::fs::create_dir_all(&credentials)?;
    std::fs::write(credentials.join("parvis.toml"), configuration())?;
    std::fs::write(credentials.join("parvis.main.secret"), SECRET)?;
    std::fs::write(folder().join("boot"), script())?;
    let start = Instant::now();
    let _machine = Machine(tools.start(&["bash", "/w/boot"])?);
    until_served(start)?;
    let served = start.elapsed();
    say(&format!("served after {:.0} s", served.as_secs_f64()));
    setup::npm(e2e::FOLDER)?;
    process("node", ["--test", "--test-reporter=spec", "appliance/image.test.mjs"])
        .within(root().join(e2e::FOLDER))
        .with("PARVIS_PYTHON", setup::python()?)
        .with("PARVIS_IMAGE", format!("http://127.0.0.1:{HTTP}"))
        .with("PARVIS_IMAGE_SECRET", SECRET)
        .run()?;
    let called = start.elapsed();
    say(&format!("called after {:.0} s", called.as_secs_f64()));
    std::fs::write(root().join("docs/measurements/appliance.md"), page(image, served, called)?)?;
    Ok(())
}

/// The page that says what was seen.
fn page(image: &Path, served: Duration, called: Duration) -> Result<String> {
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
    Ok(format!(
        "# The image in a virtual machine\n\nWritten by `cargo xtask image --test`. {}, commit {}; {}, load average {} at the end.\n\n\
         QEMU without acceleration, two processors, 2 GiB, UEFI without Secure Boot, a software TPM; the first boot, in which slot B and the encrypted `/var` are made.\n\n\
         | | seen | to reach |\n|---|---|---|\n| from power until `/readyz` is served | {:.0} s | |\n\
         | from power until two of the published Python SDK see and hear each other through it | {:.0} s | 150 s |\n\
         | the disk's file, by `zstd -10` | {} MB | 350 MB |\n",
        said("date", &["+%-d %B %Y"])?,
        said("git", &["describe", "--always", "--dirty"])?,
        said("uname", &["-srm"])?,
        load.join(" "),
        served.as_secs_f64(),
        called.as_secs_f64(),
        packed / 1_000_000,
    ))
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The machine's network translates addresses: what is offered is where this machine forwards from.
fn configuration() -> String {
    format!(
        "[http]\nlisten = \"[::]:443\"\n[media]\nnode_ip = [\"127.0.0.1\"]\nudp_ports = \"{MEDIA}-{}\"\nshards = 1\ntcp = false\n\
         [data]\ndirectory = \"/var/lib/parvis\"\n[[keys]]\nname = \"main\"\nsecret_file = \"parvis.main.secret\"\n",
        MEDIA + 1
    )
}

/// Firmware, a software TPM, the disk, a network that leads nowhere, credentials, and what the machine says in a file.
fn script() -> String {
    format!(
        r#"set -euo pipefail
cp /usr/share/OVMF/OVMF_VARS_4M.fd /w/vars.fd
rm -rf /w/tpm && mkdir -p /w/tpm
swtpm socket --tpm2 --tpmstate dir=/w/tpm --ctrl type=unixio,path=/run/tpm.sock --flags startup-clear --terminate --daemon
credential() {{ echo "type=11,value=io.systemd.credential.binary:$1=$(base64 -w0 "/w/credentials/$1")"; }}
exec qemu-system-x86_64 -accel tcg,thread=multi -cpu max,la57=off -smp 2 -m 2048 -machine q35,smm=off \
  -drive if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd -drive if=pflash,format=raw,unit=1,file=/w/vars.fd \
  -chardev socket,id=tpm,path=/run/tpm.sock -tpmdev emulator,id=tpm0,chardev=tpm -device tpm-tis,tpmdev=tpm0 \
  -nographic -nodefaults -serial file:/w/serial.log -uuid 6a1e2d3c-5b7f-4c8e-9d10-2f3e4a5b6c7d \
  -drive if=virtio,format=raw,file=/w/disk.raw -device virtio-rng-pci \
  -netdev user,id=n0,hostfwd=tcp:127.0.0.1:{HTTP}-:443,hostfwd=udp:127.0.0.1:{MEDIA}-:{MEDIA} \
  -device virtio-net-pci,netdev=n0,romfile= \
  -smbios "$(credential parvis.toml)" -smbios "$(credential parvis.main.secret)"
"#
    )
}

fn until_served(start: Instant) -> Result {
    while start.elapsed() < BOOT {
        if answers() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    let said = std::fs::read(folder().join("serial.log")).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let last: Vec<&str> = said.lines().rev().take(40).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    Err(Error::new(format!(
        "no page after {} s; the machine said last:\n{}",
        BOOT.as_secs(),
        last.join("\n")
    )))
}

fn answers() -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", HTTP))?;
        stream.set_read_timeout(Some(Duration::from_secs(3)))?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\nHost: parvis\r\n\r\n")?;
        let mut answer = [0; 15];
        stream.read_exact(&mut answer)?;
        Ok(answer.starts_with(b"HTTP/1.0 200") || answer.starts_with(b"HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}
