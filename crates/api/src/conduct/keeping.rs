// SPDX-License-Identifier: EUPL-1.2
//! Writes meetings into the store, and forgets those that nobody has opened for long. What changes often is written once for several
//! changes; the last word counts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parvis_store::{MeetingRow, Store, StoreError, StoredMeeting};
use tokio::time::Instant;

use super::{Known, Meeting, Meetings, lock, millis, now_ms};
use crate::rooms::Rooms;
use crate::tenant::RoomKey;

/// How long to wait before what the store could not take is written again.
const RETRY: Duration = Duration::from_secs(5);
/// How often it is seen which meetings nobody needs any more.
const SWEEP: Duration = Duration::from_secs(3_600);
/// How often it is seen whether there still is a server.
const LOOK: Duration = Duration::from_secs(60);

impl Meetings {
    /// Something of a meeting is to be written.
    pub(super) fn mark(&self, key: &RoomKey) {
        lock(&self.unwritten).keys.insert(key.clone());
        self.rung.notify_one();
    }

    /// Waits until all is written, or for so long.
    pub(crate) async fn written(&self, patience: Duration) {
        let all = async {
            while !lock(&self.unwritten).is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!("not all that was decided in meetings is in the database");
        }
    }

    /// Takes meetings in as they are in the store.
    pub(crate) fn take(&self, stored: Vec<MeetingRow>) {
        let mut table = self.table();
        for (tenant, room, meeting) in stored {
            let key = RoomKey::new(&tenant, &room);
            let meeting = meeting.map_err(|error| error.to_string());
            let meeting = meeting.and_then(|stored| {
                serde_json::from_value::<Meeting>(stored.record).map_err(|error| error.to_string())
            });
            let known = match meeting {
                Ok(meeting) => Known::Meeting(Arc::new(meeting)),
                Err(error) => {
                    tracing::error!(%tenant, error, "the record of a meeting can't be read: its room stays shut");
                    Known::Broken
                }
            };
            table.insert(key, known);
        }
    }

    /// Forgets meetings that were not opened for so long; those that are open now stay.
    fn sweep(&self, keep: Duration, is_open: impl Fn(&RoomKey) -> bool) {
        let before = now_ms().saturating_sub(millis(keep));
        let old: Vec<RoomKey> = self
            .table()
            .iter()
            .filter(|(_, known)| match known {
                Known::Meeting(meeting) => meeting.used_ms.max(meeting.created_ms) < before,
                Known::Broken => false,
            })
            .map(|(key, _)| key.clone())
            .collect();
        for key in old.into_iter().filter(|key| !is_open(key)) {
            self.table().remove(&key);
            self.mark(&key);
        }
    }

    /// Writes one meeting as it is now, or takes it out.
    async fn write(&self, store: &Store, key: &RoomKey) -> Result<(), StoreError> {
        match self.get(key) {
            Some(Known::Meeting(meeting)) => {
                let record = serde_json::to_value(&*meeting);
                let record = record.map_err(|error| StoreError::Refused(error.to_string()))?;
                store.put_meeting(&key.tenant, &StoredMeeting { room: key.name.clone(), record }).await
            }
            Some(Known::Broken) => Ok(()),
            None => match store.delete_meeting(&key.tenant, &key.name).await {
                Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
                // It is gone all the same.
                Err(StoreError::Corrupt(_)) => Ok(()),
                Err(error) => Err(error),
            },
        }
    }
}

impl Rooms {
    /// Takes up the meetings that the store keeps. What of them can't be read stays shut; when the store can't be read at all, that is the
    /// error, and nobody is to be let in.
    pub(crate) async fn recover_meetings(&self) -> Result<(), StoreError> {
        let Some(store) = self.store.get() else { return Ok(()) };
        self.meetings.take(store.meetings().await?);
        Ok(())
    }

    /// Writes what changes, for as long as there is a server. It is not held while nothing is to be done.
    pub(crate) async fn keep_meetings(rooms: std::sync::Weak<Rooms>, store: Store) {
        let mut sweep_at = Instant::now() + SWEEP;
        let Some(rung) = rooms.upgrade().map(|rooms| Arc::clone(&rooms.meetings.rung)) else { return };
        loop {
            let Some(rooms) = rooms.upgrade() else { return };
            let meetings = &rooms.meetings;
            let next = lock(&meetings.unwritten).next();
            if let Some(key) = next {
                let written = meetings.write(&store, &key).await;
                let again = written.as_ref().is_err_and(StoreError::is_transient);
                lock(&meetings.unwritten).done(again.then_some(key));
                match written {
                    Ok(()) => continue,
                    Err(error) if again => tracing::warn!(%error, "a meeting is not in the database yet"),
                    Err(error) => tracing::error!(%error, "a meeting would not outlive a restart"),
                }
                drop(rooms);
                tokio::time::sleep(RETRY).await;
                continue;
            }
            if Instant::now() >= sweep_at {
                sweep_at = Instant::now() + SWEEP;
                let keep = rooms.live().config.keep_meetings;
                meetings.sweep(keep, |key| rooms.participants(key).is_some());
                continue;
            }
            drop(rooms);
            // Whether the server is still there is seen now and then, too.
            let _ = tokio::time::timeout(LOOK, rung.notified()).await;
        }
    }
}

/// Meetings that are in memory otherwise than in the store.
#[derive(Default)]
pub(super) struct Unwritten {
    keys: BTreeSet<RoomKey>,
    /// One of them is being written.
    writing: bool,
}

impl Unwritten {
    fn is_empty(&self) -> bool {
        self.keys.is_empty() && !self.writing
    }

    /// The next one to be written. What changes of it from now on is written once more.
    fn next(&mut self) -> Option<RoomKey> {
        let key = self.keys.pop_first();
        self.writing = key.is_some();
        key
    }

    /// It was written, or is to be tried again.
    fn done(&mut self, again: Option<RoomKey>) {
        self.writing = false;
        self.keys.extend(again);
    }
}

#[cfg(test)]
mod tests {
    use parvis_store::TenantId;

    use super::super::TooMany;
    use super::*;

    fn key(name: &str) -> RoomKey {
        RoomKey::new(&TenantId::default(), name)
    }

    fn meeting(used_ms: u64) -> Meeting {
        Meeting {
            title: "Council".to_owned(),
            e2ee: false,
            host: "hash".to_owned(),
            salt: "salt".to_owned(),
            password: None,
            record: Default::default(),
            created_ms: 1,
            used_ms,
        }
    }

    #[test]
    fn what_changes_while_it_is_written_is_written_again() {
        let mut unwritten = Unwritten::default();
        unwritten.keys.insert(key("a"));
        assert_eq!(unwritten.next(), Some(key("a")));
        assert!(!unwritten.is_empty());
        unwritten.keys.insert(key("a"));
        unwritten.done(None);
        assert_eq!(unwritten.next(), Some(key("a")));
        unwritten.done(Some(key("a")));
        assert_eq!(unwritten.next(), Some(key("a")), "what the store could not take is tried again");
        unwritten.done(None);
        assert!(unwritten.is_empty());
    }

    #[test]
    fn row_42_a_room_whose_record_cannot_be_read_stays_shut() {
        let meetings = Meetings::default();
        let stored = |room: &str, record| (TenantId::default(), room.to_owned(), record);
        let record = |record| Ok(StoredMeeting { room: String::new(), record });
        let mut newer = serde_json::to_value(meeting(2)).unwrap();
        newer["curfew"] = true.into();
        meetings.take(vec![
            stored("whole", record(serde_json::to_value(meeting(2)).unwrap())),
            stored("newer", record(newer)),
            stored("corrupt", Err(StoreError::Corrupt("sealed with another key".to_owned()))),
        ]);
        assert_eq!(meetings.meeting(&key("whole")).as_deref(), Some(&meeting(2)));
        for broken in ["newer", "corrupt"] {
            assert!(matches!(meetings.get(&key(broken)), Some(Known::Broken)), "{broken}");
        }
    }

    #[test]
    fn meetings_that_nobody_opens_any_more_are_forgotten_but_never_an_open_one() {
        let meetings = Meetings::default();
        let now = now_ms();
        for (room, used_ms) in [("old", now - 10_000), ("open", now - 10_000), ("new", now)] {
            meetings.add(&key(room), meeting(used_ms), 10).unwrap();
        }
        meetings.sweep(Duration::from_secs(5), |room| room.name == "open");
        let there = |room| meetings.get(&key(room)).is_some();
        assert_eq!((there("old"), there("open"), there("new")), (false, true, true));
    }

    #[test]
    fn a_full_table_gives_up_what_nobody_ever_came_to_and_else_takes_no_more() {
        let meetings = Meetings::default();
        meetings.add(&key("used"), meeting(1), 2).unwrap();
        meetings.add(&key("unused"), meeting(0), 2).unwrap();
        meetings.add(&key("third"), meeting(1), 2).unwrap();
        assert!(meetings.get(&key("unused")).is_none() && meetings.get(&key("used")).is_some());
        assert_eq!(meetings.add(&key("fourth"), meeting(0), 2), Err(TooMany));
        assert!(meetings.get(&key("fourth")).is_none());
    }
}
