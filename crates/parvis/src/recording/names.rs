// SPDX-License-Identifier: EUPL-1.2
//! Names of folders and files of recordings: no name from outside leads anywhere else.

use std::path::{Component, Path, PathBuf};

use parvis_api::TenantId;

/// Characters of a tenant's name that is a folder's name as it is.
const MAX_FOLDER_CHARS: usize = 64;

/// Where a recording lies. `None` for an id that is none of ours.
pub(crate) fn folder(directory: &Path, tenant: &TenantId, egress_id: &str) -> Option<PathBuf> {
    let is_word = |text: &str| {
        !text.is_empty()
            && text.len() <= MAX_FOLDER_CHARS
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    // Whatever else an organisation calls itself: no name of a folder has an equals sign that is none of these.
    let tenant = match tenant.as_str() {
        word if is_word(word) => word.to_owned(),
        other => format!("={}", hex::encode(other)),
    };
    is_word(egress_id).then(|| directory.join(tenant).join(egress_id))
}

/// Whose recordings lie in a folder of this name: the other way round than [`folder`].
pub(super) fn tenant_of(name: &str) -> Option<TenantId> {
    match name.strip_prefix('=') {
        Some(digits) => String::from_utf8(hex::decode(digits).ok()?).ok().map(TenantId::new),
        None => Some(TenantId::new(name)),
    }
}

/// Whether a name is one file's, in no other folder and not hidden.
pub(super) fn is_plain(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let single = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
    single
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_51_no_name_leads_out_of_a_recordings_folder() {
        for name in ["a.mkv.age", "manifest.json", "t-1_2.mkv"] {
            assert!(is_plain(name), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "../a",
            "a/b",
            "/etc/passwd",
            ".hidden",
            "a\\b",
            "a\0b",
            "a b",
            "a\u{2215}b",
            "a/",
            "./a",
        ] {
            assert!(!is_plain(name), "{name:?}");
        }
        let base = Path::new("/kept");
        let of = |tenant: &str, id: &str| folder(base, &TenantId::new(tenant), id);
        assert_eq!(of("default", "EG_1"), Some(PathBuf::from("/kept/default/EG_1")));
        assert_eq!(of("..", "EG_1"), Some(PathBuf::from("/kept/=2e2e/EG_1")));
        assert_eq!(of("a/b", "EG_1"), Some(PathBuf::from("/kept/=612f62/EG_1")));
        for id in ["", "..", "EG_1/../EG_2", "EG.1"] {
            assert_eq!(of("default", id), None, "{id:?}");
        }
        for tenant in ["default", "..", "a/b", "ü"] {
            let folder = of(tenant, "EG_1").unwrap();
            let name = folder.parent().unwrap().file_name().unwrap().to_str().unwrap();
            assert_eq!(tenant_of(name), Some(TenantId::new(tenant)));
        }
    }
}
