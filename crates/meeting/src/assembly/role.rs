// SPDX-License-Identifier: EUPL-1.2
//! Who one is in a meeting, and what one may do in it.

use serde::{Deserialize, Serialize};

use super::{ChatPolicy, Policy, SharePolicy};
use crate::TrackSource;

/// What somebody is in a meeting, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees and hears; is counted, not listed.
    Viewer,
    /// Takes part.
    Speaker,
    /// Conducts.
    Moderator,
    /// Whose meeting it is.
    Owner,
}

impl Role {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Speaker => "speaker",
            Role::Moderator => "moderator",
            Role::Owner => "owner",
        }
    }

    /// Whether it conducts.
    pub fn is_moderator(self) -> bool {
        self >= Role::Moderator
    }
}

/// What somebody may do now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Rights {
    /// Send a camera's picture.
    pub camera: bool,
    /// Send a microphone's sound. Whether it may sound is `unmute`.
    pub microphone: bool,
    /// Share a screen.
    pub screen: bool,
    /// Write to others.
    pub chat: bool,
    /// Send files.
    pub files: bool,
    /// Turn one's own microphone on.
    pub unmute: bool,
}

/// What a moderator decided for one person; what is `None` is as the role and the policy have it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RightsChange {
    /// See [`Rights::camera`].
    pub camera: Option<bool>,
    /// See [`Rights::microphone`].
    pub microphone: Option<bool>,
    /// See [`Rights::screen`].
    pub screen: Option<bool>,
    /// See [`Rights::chat`].
    pub chat: Option<bool>,
    /// See [`Rights::files`].
    pub files: Option<bool>,
    /// See [`Rights::unmute`].
    pub unmute: Option<bool>,
}

impl RightsChange {
    /// One that leaves nothing as role and policy have it.
    pub(super) fn exactly(rights: Rights) -> RightsChange {
        let Rights { camera, microphone, screen, chat, files, unmute } = rights;
        RightsChange {
            camera: Some(camera),
            microphone: Some(microphone),
            screen: Some(screen),
            chat: Some(chat),
            files: Some(files),
            unmute: Some(unmute),
        }
    }

    /// This with what `later` says besides.
    pub(super) fn and(self, later: RightsChange) -> RightsChange {
        RightsChange {
            camera: later.camera.or(self.camera),
            microphone: later.microphone.or(self.microphone),
            screen: later.screen.or(self.screen),
            chat: later.chat.or(self.chat),
            files: later.files.or(self.files),
            unmute: later.unmute.or(self.unmute),
        }
    }
}

impl Rights {
    /// What the role has by itself in a meeting of that policy.
    pub fn of(role: Role, policy: &Policy) -> Rights {
        Rights::with(role, policy, RightsChange::default())
    }

    /// The most that anybody of that role can be given: what a viewer can't have, a moderator gives by another role.
    pub fn most(role: Role, policy: &Policy) -> Rights {
        let speaks = role >= Role::Speaker;
        let chat = policy.chat != ChatPolicy::Off;
        Rights {
            camera: speaks,
            microphone: speaks,
            screen: speaks,
            chat,
            files: chat && policy.files,
            unmute: speaks,
        }
    }

    /// What the role has, with what was decided for the person, as far as the role can have it.
    pub(super) fn with(role: Role, policy: &Policy, change: RightsChange) -> Rights {
        let most = Rights::most(role, policy);
        let conducts = role.is_moderator();
        let right = |decided: Option<bool>, own: bool, most: bool| decided.unwrap_or(own) && most;
        let microphone = right(change.microphone, true, most.microphone);
        let chat = right(change.chat, conducts || policy.chat == ChatPolicy::All, most.chat);
        Rights {
            camera: right(change.camera, true, most.camera),
            microphone,
            screen: right(change.screen, conducts || policy.share == SharePolicy::All, most.screen),
            chat,
            files: chat && right(change.files, role >= Role::Speaker, most.files),
            unmute: microphone && right(change.unmute, conducts || policy.self_unmute, most.unmute),
        }
    }

    /// Whether none of these is more than `other` has.
    pub fn within(self, other: Rights) -> bool {
        let all = |r: Rights| [r.camera, r.microphone, r.screen, r.chat, r.files, r.unmute];
        all(self).into_iter().zip(all(other)).all(|(own, most)| !own || most)
    }

    /// Whether something of that source may be seen or heard.
    pub fn may_sound(self, source: Source) -> bool {
        match source {
            Source::Microphone => self.microphone && self.unmute,
            Source::Camera => self.camera,
            Source::Screen => self.screen,
        }
    }
}

/// What a person can be asked to turn on, and what a moderator turns off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A microphone.
    Microphone,
    /// A camera.
    Camera,
    /// A screen, with its sound.
    Screen,
}

impl Source {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Source::Microphone => "microphone",
            Source::Camera => "camera",
            Source::Screen => "screen",
        }
    }

    /// What a track of that source counts as; nothing for one that doesn't say what it is.
    pub fn of(source: TrackSource) -> Option<Source> {
        match source {
            TrackSource::Unknown => None,
            TrackSource::Camera => Some(Source::Camera),
            TrackSource::Microphone => Some(Source::Microphone),
            TrackSource::ScreenShare | TrackSource::ScreenShareAudio => Some(Source::Screen),
        }
    }
}
