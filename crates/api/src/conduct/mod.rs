// SPDX-License-Identifier: EUPL-1.2
//! Meetings that people made a room for: who has the host key, which password there is, and how each stood when it was last open. All of
//! it is in memory, so that nobody at the door waits for the store; [`keeping`] writes it there. [`secrets`] makes and compares what opens
//! doors, [`door`] brings people to a room's door, [`breakouts`] are rooms that a meeting has besides.
//!
//! **A room whose record is there and can't be read stays shut:** whatever it said, it was a rule for who may come in.

mod breakouts;
mod door;
mod keeping;
mod secrets;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parvis_meeting::assembly::{Assembly, Facts, Founding, Record};
use parvis_signal::Conduct;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, Semaphore};

use crate::config::ApiConfig;
use crate::limit::Throttle;
use crate::rooms::Rooms;
use crate::tenant::RoomKey;

pub(crate) use breakouts::Parent;
pub(crate) use door::{AtDoor, Comer, Seated, seat_of};
pub(crate) use secrets::{HostKey, PasswordHash, new_secret};

/// A meeting that nobody has come to yet gives its place to a new one after this, where all places are taken.
const UNUSED: Duration = Duration::from_secs(600);

/// A meeting as it is kept. A record with a key that we don't know is refused: a rule that is overlooked would be a door that stands open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Meeting {
    pub(crate) title: String,
    pub(crate) e2ee: bool,
    /// The hash of the host key.
    pub(crate) host: String,
    /// With what addresses are hashed before they come near the meeting.
    pub(crate) salt: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<PasswordHash>,
    /// How the meeting stands.
    pub(crate) record: Record,
    pub(crate) created_ms: u64,
    /// When its room was last opened; 0 if never.
    pub(crate) used_ms: u64,
}

/// What is known of a room.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    /// A meeting.
    Meeting(Arc<Meeting>),
    /// One whose record can't be read.
    Broken,
}

/// The meetings, by their rooms.
pub(crate) struct Meetings {
    by_key: Mutex<HashMap<RoomKey, Known>>,
    /// Passwords of rooms that nobody made a meeting of, as long as they are open.
    passing: Mutex<HashMap<RoomKey, PasswordHash>>,
    /// Rooms that meetings have besides.
    breakouts: Mutex<breakouts::Breakouts>,
    /// Which word on a room's password was the last: hashing takes a while, and two may be under way.
    passwords: Mutex<HashMap<RoomKey, u64>>,
    /// What is to be written.
    unwritten: Mutex<keeping::Unwritten>,
    /// Rung when there is something.
    rung: Arc<Notify>,
    /// Passwords hashed at one time, in all: each takes a core for as long as [`secrets`] says.
    hashing: Semaphore,
    /// Tries of passwords, by address.
    pub(crate) tries: Throttle,
    /// With what addresses are hashed that come to rooms without a record.
    pepper: [u8; 32],
}

/// Why no meeting is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server keeps as many meetings as it takes: raise meeting.max, or try again later")]
pub(crate) struct TooMany;

impl Default for Meetings {
    fn default() -> Self {
        /// Two cores' worth of work at most goes into telling right passwords from wrong ones.
        const HASHED_AT_ONCE: usize = 2;
        Meetings {
            by_key: Mutex::default(),
            passing: Mutex::default(),
            breakouts: Mutex::default(),
            passwords: Mutex::default(),
            unwritten: Mutex::default(),
            rung: Arc::default(),
            hashing: Semaphore::new(HASHED_AT_ONCE),
            tries: Throttle::default(),
            pepper: rand::random(),
        }
    }
}

impl Meetings {
    /// What is known of a room.
    pub(crate) fn get(&self, key: &RoomKey) -> Option<Known> {
        self.table().get(key).cloned()
    }

    /// The meeting of a room, if it is one that can be read.
    pub(crate) fn meeting(&self, key: &RoomKey) -> Option<Arc<Meeting>> {
        match self.get(key)? {
            Known::Meeting(meeting) => Some(meeting),
            Known::Broken => None,
        }
    }

    /// Whether a room is only for those who have its key.
    pub(crate) fn is_e2ee(&self, key: &RoomKey) -> bool {
        self.meeting(key).is_some_and(|meeting| meeting.e2ee) || self.is_e2ee_breakout(key)
    }

    /// Keeps a new meeting.
    pub(crate) fn add(&self, key: &RoomKey, meeting: Meeting, max: usize) -> Result<(), TooMany> {
        let mut table = self.table();
        if table.len() >= max {
            let stale = now_ms().saturating_sub(millis(UNUSED));
            let unused = table.iter().filter_map(|(key, known)| match known {
                Known::Meeting(meeting) if meeting.used_ms == 0 && meeting.created_ms < stale => {
                    Some((meeting.created_ms, key.clone()))
                }
                _ => None,
            });
            let (_, oldest) = unused.min_by_key(|(created_ms, _)| *created_ms).ok_or(TooMany)?;
            table.remove(&oldest);
            self.mark(&oldest);
        }
        table.insert(key.clone(), Known::Meeting(Arc::new(meeting)));
        drop(table);
        self.mark(key);
        Ok(())
    }

    /// How a meeting stands is something else. Rooms that nobody made a meeting of keep nothing.
    pub(crate) fn keep(&self, key: &RoomKey, record: Record) {
        self.change(key, |meeting| meeting.record = record);
    }

    fn change(&self, key: &RoomKey, change: impl FnOnce(&mut Meeting)) {
        if let Some(Known::Meeting(meeting)) = self.table().get_mut(key) {
            change(Arc::make_mut(meeting));
        } else {
            return;
        }
        self.mark(key);
    }

    /// How a room is conducted that comes to be.
    pub(crate) fn open(&self, key: &RoomKey, config: &ApiConfig) -> Conduct {
        self.change(key, |meeting| meeting.used_ms = now_ms());
        self.conduct(key, config)
    }

    fn conduct(&self, key: &RoomKey, config: &ApiConfig) -> Conduct {
        if let Some(conduct) = self.conduct_breakout(key, &config.room.assembly) {
            return conduct;
        }
        let (limits, policy) = (Arc::clone(&config.room.assembly), config.room.policy.clone());
        match self.meeting(key) {
            Some(meeting) => Conduct {
                limits,
                founding: Founding { title: meeting.title.clone(), e2ee: meeting.e2ee, owned: true },
                policy,
                record: Some(meeting.record.clone()),
            },
            None => Conduct { limits, founding: Founding::default(), policy, record: None },
        }
    }

    /// A room has ended: what was its alone goes with it.
    pub(crate) fn closed(&self, key: &RoomKey) {
        lock(&self.passing).remove(key);
        lock(&self.passwords).remove(key);
    }

    /// What may be known of a room that is not open.
    pub(crate) fn facts(&self, key: &RoomKey, config: &ApiConfig) -> Facts {
        let Conduct { limits, founding, policy, record } = self.conduct(key, config);
        let assembly = match record {
            Some(record) => Assembly::restore(limits, founding, record),
            None => Assembly::new(limits, founding, policy),
        };
        assembly.facts()
    }

    /// The password of a room, if there is one.
    pub(crate) fn password(&self, key: &RoomKey) -> Option<PasswordHash> {
        match self.meeting(key) {
            Some(meeting) => meeting.password.clone(),
            None => lock(&self.passing).get(key).cloned(),
        }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<RoomKey, Known>> {
        lock(&self.by_key)
    }
}

impl Rooms {
    /// A room has another password, or none. Until the new one is hashed nobody comes in by one.
    pub(crate) fn set_password(self: &Arc<Self>, key: &RoomKey, password: Option<String>) {
        let meetings = &self.meetings;
        let word = {
            let mut words = lock(&meetings.passwords);
            let word = words.entry(key.clone()).or_default();
            *word += 1;
            *word
        };
        meetings.put_password(key, None);
        let Some(password) = password else { return };
        let (rooms, key) = (Arc::clone(self), key.clone());
        tokio::spawn(async move {
            let meetings = &rooms.meetings;
            // Otherwise another one was said meanwhile, or the room is over: what nobody needs any more takes no core.
            let is_last = || lock(&meetings.passwords).get(&key) == Some(&word);
            let hash = meetings.hash_if(password, is_last).await;
            if is_last() {
                meetings.put_password(&key, hash);
            }
        });
    }
}

impl Meetings {
    fn put_password(&self, key: &RoomKey, password: Option<PasswordHash>) {
        if self.meeting(key).is_some() {
            return self.change(key, |meeting| meeting.password = password);
        }
        let mut passing = lock(&self.passing);
        match password {
            Some(password) => passing.insert(key.clone(), password),
            None => passing.remove(key),
        };
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in these short sections panics half way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a wall clock shows.
pub(crate) fn now_ms() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
