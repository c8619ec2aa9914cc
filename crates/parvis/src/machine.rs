// SPDX-License-Identifier: EUPL-1.2
//! What the metrics page says of the machine: room on its disks, and which server this is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::sys::statvfs::statvfs;
use parvis_api::{Sample, Source};

/// What the server writes, by the name that the figures bear. The paths themselves are nobody's business.
pub(crate) type Directories = BTreeMap<&'static str, PathBuf>;

/// The server's version, and the room where it writes.
pub(crate) fn figures(directories: Directories) -> Source {
    Arc::new(move || {
        let mut samples = vec![Sample {
            name: "parvis_build_info".to_owned(),
            help: "Always 1; its labels say which server this is.",
            counter: false,
            labels: vec![("version", env!("CARGO_PKG_VERSION").to_owned())],
            value: 1.0,
        }];
        for (name, path) in &directories {
            let Some((free, size)) = room(path) else { continue };
            let sample = |metric: &str, help, value| Sample {
                name: metric.to_owned(),
                help,
                counter: false,
                labels: vec![("directory", (*name).to_owned())],
                value,
            };
            samples.extend([
                sample("parvis_disk_free_bytes", "Room left for the server where it writes.", free),
                sample("parvis_disk_size_bytes", "Size of the file system where the server writes.", size),
            ]);
        }
        samples
    })
}

/// Bytes free for who is not root, and in all, of the file system of a directory that may not be there yet.
fn room(path: &Path) -> Option<(f64, f64)> {
    let there = path.ancestors().find(|path| path.exists())?;
    let stat = statvfs(there).ok()?;
    let bytes = |blocks: u64| (blocks as f64) * (stat.fragment_size() as f64);
    Some((bytes(stat.blocks_available()), bytes(stat.blocks())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_told_of_a_directory_that_is_yet_to_be_made() {
        let home = std::env::temp_dir().join(format!("parvis-machine-{:016x}", rand::random::<u64>()));
        let source = figures(Directories::from([("recordings", home.join("not/yet"))]));
        let samples = source();
        let value = |name: &str| {
            let sample = samples.iter().find(|sample| sample.name == name).unwrap();
            assert!(sample.labels.iter().all(|(_, value)| !value.contains('/')), "{sample:?}");
            sample.value
        };
        assert!(value("parvis_disk_free_bytes") > 0.0);
        assert!(value("parvis_disk_size_bytes") >= value("parvis_disk_free_bytes"));
        assert_eq!(value("parvis_build_info"), 1.0);
    }
}
