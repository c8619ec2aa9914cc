// SPDX-License-Identifier: EUPL-1.2
//! What the image runs before anything else, without an image.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sh::root;

/// A folder of the test's own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("parvis-image-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs a script of the image's with these of its paths put elsewhere, and gives what it said.
fn run(folder: &Path, script: &str, elsewhere: &[(&str, &str)]) -> String {
    let text = fs::read_to_string(root().join("appliance/mkosi.extra/usr/lib/parvis").join(script)).unwrap();
    let text = elsewhere.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{script} has no {from}");
        text.replace(from, &folder.join(to).to_string_lossy())
    });
    let output = Command::new("sh").args(["-c", &text]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{script}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// SMBIOS' structure of type 11: a head of five bytes, strings that end with zero, and one zero more.
fn table(folder: &Path, strings: &[&str]) {
    let mut raw = vec![11, 5, 0, 0, u8::try_from(strings.len()).unwrap()];
    for string in strings {
        raw.extend(string.as_bytes());
        raw.push(0);
    }
    raw.push(0);
    let entry = folder.join("entries/11-0");
    fs::create_dir_all(&entry).unwrap();
    fs::write(entry.join("raw"), raw).unwrap();
}

const PATHS: &[(&str, &str)] = &[
    ("/sys/firmware/dmi/entries", "entries"),
    ("/run/credstore", "store"),
    ("/dev/disk/by-partlabel/esp", "no-esp"),
];

fn taken(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder.join("store"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_parvis_is_taken_whole_and_for_root_alone() {
    let folder = Folder::new("taken");
    table(
        &folder.0,
        &[
            "io.systemd.credential.binary:parvis.toml=W2h0dHBdCmE9MQo=",
            "io.systemd.credential:disk.clear=yes",
        ],
    );
    run(&folder.0, "credentials", PATHS);
    assert_eq!(taken(&folder.0), ["disk.clear", "parvis.toml"]);
    assert_eq!(fs::read_to_string(folder.0.join("store/parvis.toml")).unwrap(), "[http]\na=1\n");
    assert_eq!(fs::read_to_string(folder.0.join("store/disk.clear")).unwrap(), "yes");
    let mode = fs::metadata(folder.0.join("store/parvis.toml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn units_and_whatever_else_is_not_parvis_is_not_taken_and_that_is_said() {
    let folder = Folder::new("strangers");
    table(
        &folder.0,
        &[
            "io.systemd.credential.binary:systemd.extra-unit.stranger.service=W1NlcnZpY2VdCg==",
            "io.systemd.credential:passwd.hashed-password.root=x",
            "io.systemd.credential:parvis.../../passwd=x",
            "io.systemd.credential.binary:parvis.bad=!!!",
            "io.systemd.stub.kernel-cmdline-extra=init=/bin/sh",
            "io.systemd.credential:parvis.main.secret=kept",
        ],
    );
    let said = run(&folder.0, "credentials", PATHS);
    assert_eq!(taken(&folder.0), ["parvis.main.secret"]);
    for name in ["systemd.extra-unit.stranger.service", "passwd.hashed-password.root", "parvis.bad"] {
        assert!(said.contains(&format!("not taken from the hypervisor: {name}, which is ")), "{said}");
    }
}

#[test]
fn so_many_are_taken_and_no_more() {
    let folder = Folder::new("many");
    let many: Vec<String> = (0..70).map(|n| format!("io.systemd.credential:parvis.{n}=x")).collect();
    table(&folder.0, &many.iter().map(String::as_str).collect::<Vec<_>>());
    let said = run(&folder.0, "credentials", PATHS);
    assert_eq!(taken(&folder.0).len(), 64);
    assert_eq!(said.matches("as there are more than 64").count(), 6);
}

#[test]
fn the_network_s_servers_of_time_are_handed_on_once_each() {
    let folder = Folder::new("time");
    fs::create_dir_all(folder.0.join("links")).unwrap();
    fs::write(folder.0.join("links/2"), "ADMIN_STATE=configured\nNTP=192.0.2.7 2001:db8::7\n").unwrap();
    fs::write(folder.0.join("links/3"), "NTP=192.0.2.7 $(reboot)\n").unwrap();
    let paths = [
        ("/run/chrony-dhcp", "to"),
        ("/run/systemd/netif/links", "links"),
        // What would be told, is not there.
        ("chronyc reload sources", "told"),
    ];
    fs::write(folder.0.join("told"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(folder.0.join("told"), fs::Permissions::from_mode(0o755)).unwrap();
    run(&folder.0, "time", &paths);
    let sources = fs::read_to_string(folder.0.join("to/network.sources")).unwrap();
    assert_eq!(sources, "server 192.0.2.7 iburst\nserver 2001:db8::7 iburst\n");
}
