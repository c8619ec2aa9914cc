// SPDX-License-Identifier: EUPL-1.2
//! What the services that keep records have in common: the store, how it fails, and how lists are cut.

use livekit_protocol::Pagination;
use parvis_store::{Store, StoreError};

use super::Call;
use super::error::{Code, TwirpError};

impl Call {
    /// The store, if the server has one.
    pub(super) fn store(&self) -> Result<&Store, TwirpError> {
        let message = "this server keeps no records: it runs without a database";
        self.rooms.store.get().ok_or_else(|| TwirpError::new(Code::FailedPrecondition, message))
    }
}

impl From<StoreError> for TwirpError {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::NotFound { .. } => Code::NotFound,
            StoreError::Exists { .. } => Code::AlreadyExists,
            StoreError::Full { .. } => Code::ResourceExhausted,
            StoreError::TooLarge { .. } => Code::InvalidArgument,
            _ => {
                // What a database says of itself is for the operator.
                tracing::warn!(%error, "a call of the server APIs failed");
                let (code, message) = if error.is_transient() {
                    (Code::Unavailable, "the database is busy or away: try again in a moment")
                } else {
                    (Code::Internal, "the database failed; the server's log says how")
                };
                return TwirpError::new(code, message);
            }
        };
        TwirpError::new(code, error)
    }
}

/// An id that nobody guesses.
pub(super) fn new_id(prefix: &str) -> String {
    format!("{prefix}{:016x}", rand::random::<u64>())
}

/// The part of a list that was asked for: of those whose ids are beyond one, in the order of their ids, so many.
pub(super) fn page<T>(mut items: Vec<T>, page: Option<&Pagination>, id: impl Fn(&T) -> &str) -> Vec<T> {
    let Some(page) = page else { return items };
    items.sort_by(|a, b| id(a).cmp(id(b)));
    items.retain(|item| id(item) > page.after_id.as_str());
    if let Ok(limit) = usize::try_from(page.limit)
        && limit > 0
    {
        items.truncate(limit);
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_in_pages() {
        let all = || ["c", "a", "b"].map(str::to_owned).to_vec();
        let read = |after: &str, limit| {
            let asked = Pagination { after_id: after.to_owned(), limit };
            page(all(), Some(&asked), |id: &String| id.as_str())
        };
        assert_eq!(page(all(), None, |id: &String| id.as_str()), ["c", "a", "b"]);
        assert_eq!((read("", 2), read("b", 2)), (vec!["a".into(), "b".into()], vec!["c".to_owned()]));
        assert_eq!(read("", 0), ["a", "b", "c"]);
        assert_eq!(read("", -1), ["a", "b", "c"]);
    }
}
