// SPDX-License-Identifier: EUPL-1.2
//! One client's stay: its socket, its peer connections, what it receives, what it may still ask.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use livekit_protocol as proto;
use parvis_meeting::{ParticipantId, Permissions, TrackId};
use parvis_sfu::{PeerId, SubscriptionId, SubscriptionSettings};

use crate::bucket::Bucket;
use crate::mailbox::Mailbox;
use crate::room::{Cut, Pace, Records};
use crate::{Beside, ConnectionId, Form, JoinParams, RoomConfig, Target};

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: ParticipantId,
    pub(crate) sid: Arc<str>,
    /// Its socket; `None` while it waits for the client to come back, or when it has a resource instead.
    pub(crate) socket: Option<Socket>,
    /// What it has in place of a socket when it came by an offer over HTTP.
    pub(crate) resource: Option<Resource>,
    /// What it records, if it is a recorder; it has neither of both then.
    pub(crate) records: Option<Records>,
    /// When it has waited enough.
    pub(crate) waiting_until: Option<Instant>,
    /// Until when its media connection must be up for the first time.
    pub(crate) join_deadline: Option<Instant>,
    pub(crate) refresh_at: Instant,
    pub(crate) joined_at_ms: i64,
    /// What its token allows elsewhere.
    pub(crate) beside: Beside,
    /// What its token allows here; the meeting may allow less.
    pub(crate) granted: Permissions,
    /// Whether it is one of those who conduct and are conducted.
    pub(crate) takes_part: bool,
    /// From when on that token counts, in seconds of Unix time.
    pub(crate) not_before: u64,
    pub(crate) client: proto::ClientInfo,
    pub(crate) links: Links,
    pub(crate) requests: Bucket,
    pub(crate) reliable_data: Bucket,
    pub(crate) lossy_data: Bucket,
    pub(crate) track_packets: Bucket,
    /// Whether it takes every data track.
    pub(crate) auto_data_tracks: bool,
    pub(crate) subscriptions: BTreeMap<TrackId, SubscriptionId>,
    /// What it shows of each track; kept when the track is unsubscribed and wanted again.
    pub(crate) settings: BTreeMap<TrackId, SubscriptionSettings>,
    pub(crate) mailbox: Mailbox,
    pub(crate) pace: Pace,
    /// The last of its reliable messages, by its own count.
    pub(crate) last_sequence: u32,
    /// Who left while it waited.
    pub(crate) missed: Vec<proto::ParticipantInfo>,
    /// More left than it can be told of.
    pub(crate) missed_too_much: bool,
    /// Its next resume is to be cut.
    pub(crate) cut_resume: Option<Cut>,
    /// The media sections that it was last asked for.
    pub(crate) sections: Option<proto::MediaSectionsRequirement>,
    /// Its client closed its media connection; that it leaves may be said until then.
    pub(crate) closed_due: Option<Instant>,
    /// When it is asked for another offer, if a track that it announced is still in none.
    pub(crate) offer_due: Option<Instant>,
    /// Whether it still has to be told how everyone's connection does.
    pub(crate) qualities_due: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Socket {
    pub(crate) id: ConnectionId,
    /// Whether the client speaks JSON.
    pub(crate) json: bool,
    pub(crate) last_heard: Instant,
}

/// A session that its client reaches by HTTP requests (RFC 9725 section 4).
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) id: ConnectionId,
    /// The offer that it came with, for an ICE restart to be made of.
    pub(crate) offer: String,
    /// Whom it watches, if it doesn't publish.
    pub(crate) watches: Option<Target>,
}

/// The peer connections of a session.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) form: Form,
    /// On which the client publishes; with [`Form::Single`] the only one.
    pub(crate) publisher: Link,
    /// On which it receives, with [`Form::Dual`], from when it may receive.
    pub(crate) subscriber: Option<Link>,
    /// Whether its state is that of `subscriber`.
    pub(crate) subscriber_primary: bool,
}

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) peer: PeerId,
    /// Whether it was up once.
    pub(crate) connected: bool,
    /// Whether the network is there.
    pub(crate) up: bool,
    /// Whether its data channels are open.
    pub(crate) channels_open: bool,
    /// Whether the client ever offered on it.
    pub(crate) offered: bool,
    /// Whether an offer of the client's is without answer.
    pub(crate) offer_pending: bool,
    pub(crate) quality: Option<proto::ConnectionQuality>,
}

impl Link {
    pub(crate) fn new(peer: PeerId) -> Link {
        Link {
            peer,
            connected: false,
            up: false,
            channels_open: false,
            offered: false,
            offer_pending: false,
            quality: None,
        }
    }
}

impl Links {
    /// The one whose state is the participant's, and on which data messages go out.
    pub(crate) fn primary(&self) -> &Link {
        match &self.subscriber {
            Some(subscriber) if self.subscriber_primary => subscriber,
            _ => &self.publisher,
        }
    }

    /// The one on which it receives media.
    pub(crate) fn receiving(&self) -> Option<PeerId> {
        match self.form {
            Form::Single => Some(self.publisher.peer),
            Form::Dual => self.subscriber.as_ref().map(|link| link.peer),
        }
    }

    pub(crate) fn get_mut(&mut self, peer: PeerId) -> Option<&mut Link> {
        if self.publisher.peer == peer {
            return Some(&mut self.publisher);
        }
        self.subscriber.as_mut().filter(|link| link.peer == peer)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Link> + '_ {
        std::iter::once(&self.publisher).chain(&self.subscriber)
    }

    /// The worst of its connections, as far as known.
    pub(crate) fn quality(&self) -> Option<proto::ConnectionQuality> {
        let rank = |quality: &proto::ConnectionQuality| match quality {
            proto::ConnectionQuality::Lost => 0,
            proto::ConnectionQuality::Poor => 1,
            proto::ConnectionQuality::Good => 2,
            proto::ConnectionQuality::Excellent => 3,
        };
        self.iter().filter_map(|link| link.quality).min_by_key(rank)
    }
}

impl Session {
    pub(crate) fn new(
        config: &RoomConfig,
        now: Instant,
        id: ParticipantId,
        sid: Arc<str>,
        params: &JoinParams,
        links: Links,
    ) -> Session {
        Session {
            id,
            sid,
            socket: None,
            resource: None,
            records: None,
            waiting_until: None,
            join_deadline: Some(now + config.join_timeout),
            refresh_at: now + config.token_refresh,
            joined_at_ms: 0,
            beside: Beside::default(),
            granted: Permissions::default(),
            takes_part: false,
            not_before: 0,
            client: params.client.clone(),
            links,
            requests: Bucket::new(config.requests, now),
            reliable_data: Bucket::new(config.reliable_data, now),
            lossy_data: Bucket::new(config.lossy_data, now),
            track_packets: Bucket::new(config.track_packets, now),
            auto_data_tracks: params.auto_data_tracks,
            subscriptions: BTreeMap::new(),
            settings: BTreeMap::new(),
            mailbox: Mailbox::new(config.replay_messages, config.replay_bytes, config.resume_timeout),
            pace: Pace::default(),
            last_sequence: 0,
            missed: Vec::new(),
            missed_too_much: false,
            cut_resume: None,
            sections: None,
            closed_due: None,
            offer_due: None,
            qualities_due: true,
        }
    }

    /// Whether reliable messages can go out.
    pub(crate) fn can_take_data(&self) -> bool {
        let primary = self.links.primary();
        primary.up && primary.channels_open
    }

    /// Whether camera and microphone of one participant may share a media stream on its side. Protocol 10 brought
    /// this; Firefox makes its own track ids and needs ours in the stream id.
    pub(crate) fn can_sync_streams(&self) -> bool {
        self.client.protocol > 9 && !self.client.browser.eq_ignore_ascii_case("firefox")
    }

    /// When something is to be done for it.
    pub(crate) fn deadline(&self, config: &RoomConfig) -> Option<Instant> {
        let idle = self.socket.map(|socket| socket.last_heard + config.idle_timeout);
        let refresh = self.socket.map(|_| self.refresh_at);
        let own = [self.waiting_until, self.join_deadline, self.closed_due, self.offer_due];
        own.into_iter().chain([idle, refresh, self.pace.due()]).flatten().min()
    }
}
