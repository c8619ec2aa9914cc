// SPDX-License-Identifier: EUPL-1.2
//! A virtual machine without acceleration: firmware, a software TPM, a disk, a network of its own on loopback.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use super::folder;
use super::tools::Tools;
use crate::sh::{Error, Result, say};

/// Ports of this machine that lead into the virtual one.
pub(super) const HTTP: u16 = 27880;
pub(super) const MEDIA: u16 = 7944;
/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);

/// What is started.
pub(super) struct Boot<'a> {
    /// A file in `target/image`.
    pub(super) disk: &'a str,
    /// Firmware's variables, a file there too; `secure` says which firmware.
    pub(super) variables: &'a str,
    pub(super) secure: bool,
    /// The folder of the TPM's state there, if it has one.
    pub(super) tpm: Option<&'a str>,
    /// What the hypervisor gives it.
    pub(super) credentials: Vec<(&'a str, String)>,
    /// The name of the file with what it says.
    pub(super) log: &'a str,
}

/// Ends with the trial.
pub(super) struct Machine {
    child: Child,
    log: PathBuf,
    start: Instant,
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Machine {
    /// Switches it on.
    pub(super) fn start(tools: &Tools, boot: &Boot) -> Result<Machine> {
        let given = folder().join("credentials");
        let _ = std::fs::remove_dir_all(&given);
        std::fs::create_dir_all(&given)?;
        for (name, content) in &boot.credentials {
            std::fs::write(given.join(name), content)?;
        }
        let log = folder().join(boot.log);
        let _ = std::fs::remove_file(&log);
        std::fs::write(folder().join("boot"), script(boot))?;
        let child = tools.start(&["bash", "/w/boot"])?;
        say(&format!("started; it speaks in {}", log.display()));
        Ok(Machine { child, log, start: Instant::now() })
    }

    /// All that it said on its console.
    pub(super) fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Since it was switched on.
    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Waits until `done`, which is shown what it said.
    pub(super) fn until(&self, what: &str, limit: Duration, done: impl Fn(&str) -> bool) -> Result {
        let start = Instant::now();
        while start.elapsed() < limit {
            if done(&self.said()) {
                say(&format!("{what}: after {:.0} s", self.elapsed().as_secs_f64()));
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
        let said = self.said();
        let lines: Vec<&str> = said.lines().collect();
        let last = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default();
        Err(Error::new(format!(
            "not {what} within {} s; it said last:\n{}",
            limit.as_secs(),
            last.join("\n")
        )))
    }

    /// Waits until it serves pages.
    pub(super) fn until_served(&self, limit: Duration) -> Result {
        self.until("served", limit, |_| answers())
    }

    /// Pulls its plug.
    pub(super) fn pull(&mut self) -> Result {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits until it has switched itself off.
    pub(super) fn until_off(&mut self, limit: Duration) -> Result {
        let start = Instant::now();
        while start.elapsed() < limit {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
        Err(Error::new(format!("it is still on after {} s", limit.as_secs())))
    }
}

/// Whether something answers that it is ready.
pub(super) fn answers() -> bool {
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

/// What starts it in the tree of tools.
fn script(boot: &Boot) -> String {
    let Boot { disk, variables, secure, tpm, log, .. } = boot;
    let (code, machine) = if *secure {
        ("OVMF_CODE_4M.secboot.fd", "q35,smm=on -global driver=cfi.pflash01,property=secure,value=on")
    } else {
        ("OVMF_CODE_4M.fd", "q35,smm=off")
    };
    let mut script = String::from("set -euo pipefail\n");
    let mut chip = "";
    if let Some(state) = tpm {
        let _ = writeln!(
            script,
            "mkdir -p /w/{state}\nswtpm socket --tpm2 --tpmstate dir=/w/{state} --ctrl type=unixio,path=/run/tpm.sock \
             --flags startup-clear --terminate --daemon"
        );
        chip = "-chardev socket,id=tpm,path=/run/tpm.sock -tpmdev emulator,id=tpm0,chardev=tpm -device tpm-tis,tpmdev=tpm0";
    }
    let _ = write!(
        script,
        r#"given=()
for each in /w/credentials/*; do
  [ ! -f "$each" ] || given+=(-smbios "type=11,value=io.systemd.credential.binary:$(basename "$each")=$(base64 -w0 "$each")")
done
exec qemu-system-x86_64 -accel tcg,thread=multi -cpu max,la57=off -smp 2 -m 2048 -machine {machine} \
  -drive if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/{code} -drive if=pflash,format=raw,unit=1,file=/w/{variables} \
  {chip} -nographic -nodefaults -serial file:/w/{log} -uuid 6a1e2d3c-5b7f-4c8e-9d10-2f3e4a5b6c7d \
  -drive if=virtio,format=raw,file=/w/{disk} -device virtio-rng-pci \
  -netdev user,id=n0,hostfwd=tcp:127.0.0.1:{HTTP}-:443,hostfwd=udp:127.0.0.1:{MEDIA}-:{MEDIA} \
  -device virtio-net-pci,netdev=n0,romfile= "${{given[@]}}"
"#
    );
    script
}
