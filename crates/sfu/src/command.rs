// SPDX-License-Identifier: EUPL-1.2
//! What the control side asks of a forwarder. A command never fails by itself: its outcome is an event.

use bytes::Bytes;
use parvis_peer::sdp::{EncoderPreference, MediaKind};
use parvis_rtp::Rid;

use crate::{ForwarderId, OutletSpec, PeerId, RoomId, SubscriptionId, TrackId};

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Prepare a peer connection. Its room comes to be with its first peer and is gone after its last.
    CreatePeer {
        /// Where it belongs.
        room: RoomId,
        /// Its name.
        peer: PeerId,
        /// Who offers, and what for.
        role: PeerRole,
    },
    /// Open an outlet to a media worker. From then on it is a peer that only receives: it is subscribed to tracks, and closed,
    /// as any other. It needs no description and is connected at once.
    CreateOutlet {
        /// Whose tracks it receives.
        room: RoomId,
        /// Its name among the peers.
        peer: PeerId,
        /// Where it leads.
        outlet: Box<OutletSpec>,
    },
    /// A media worker lacks packets of a subscription of its outlet, or, where none are named, a key frame to go on with.
    RepairOutlet {
        /// Which.
        subscription: SubscriptionId,
        /// Sequence numbers of the packets that did not come.
        lost: Vec<u16>,
    },
    /// End a peer connection with its publications and subscriptions, or an outlet.
    ClosePeer {
        /// Which.
        peer: PeerId,
    },
    /// The client's description. An offer is answered by [`crate::Event::LocalDescription`].
    RemoteDescription {
        /// Whose.
        peer: PeerId,
        /// What it says.
        description: Description,
    },
    /// Offer anew with fresh ICE credentials ([`PeerRole::Subscriber`] only; other roles restart by the client's offer).
    RestartIce {
        /// Which.
        peer: PeerId,
    },
    /// A candidate of the client's. It is checked and otherwise ignored: the server never dials.
    RemoteCandidate {
        /// Whose.
        peer: PeerId,
        /// The candidate attribute, `candidate:…`.
        candidate: String,
    },
    /// Expect a track: the media section whose msid names `cid` carries it, or whose mid does if it has no msid.
    Publish {
        /// The peer that sends it.
        peer: PeerId,
        /// Its name.
        track: TrackId,
        /// What is known of it.
        spec: TrackSpec,
    },
    /// Forget a track and all its subscriptions.
    Unpublish {
        /// Which.
        track: TrackId,
    },
    /// Stop or go on forwarding a track, at once.
    SetMuted {
        /// Which.
        track: TrackId,
        /// Whether it is silent.
        muted: bool,
    },
    /// Forward a track to a peer of the same room.
    Subscribe {
        /// Its name.
        subscription: SubscriptionId,
        /// To whom.
        peer: PeerId,
        /// What.
        track: TrackId,
        /// The stream id that the client sees in msid.
        stream_id: String,
        /// The track id that the client sees in msid.
        track_label: String,
    },
    /// Stop forwarding.
    Unsubscribe {
        /// Which.
        subscription: SubscriptionId,
    },
    /// Send another track under a subscription that is there: the same picture in another codec. The client sees one
    /// track go on; what it gets begins with the next key frame.
    SwitchTrack {
        /// Which.
        subscription: SubscriptionId,
        /// What from now on, of the same kind and room.
        track: TrackId,
    },
    /// Say what the subscriber shows of a track.
    ConfigureSubscription {
        /// Which.
        subscription: SubscriptionId,
        /// What it wants.
        settings: SubscriptionSettings,
    },
    /// Let another forwarder's part of the room have a track that is published here. It takes effect when that one
    /// is told to [`Command::Import`] it, whichever comes first.
    Export {
        /// Which.
        track: TrackId,
        /// Whose part.
        to: ForwarderId,
    },
    /// Stop letting it have the track.
    Unexport {
        /// Which.
        track: TrackId,
        /// Whose part.
        to: ForwarderId,
    },
    /// Fetch a track of another forwarder's part of the room, so that peers here can subscribe to it. A track that was
    /// imported is never exported again.
    Import {
        /// The room; peers of it are here.
        room: RoomId,
        /// Which.
        track: TrackId,
        /// From whose part.
        from: ForwarderId,
    },
    /// Forget an imported track and all its subscriptions here.
    Unimport {
        /// Which.
        track: TrackId,
    },
    /// Say what a bridge joins: a track of a room here, and what it is in another room, here or on another forwarder. Between
    /// [`Command::Export`] and [`Command::Import`] the bridge's name then stands for the far end.
    OpenBridge {
        /// Its name, the same at both ends.
        bridge: ForwarderId,
        /// What it joins here.
        near: (RoomId, TrackId),
        /// What that is at the far end.
        far: (RoomId, TrackId),
        /// Where the far end is; `None` for here.
        at: Option<ForwarderId>,
    },
    /// Forget one end of a bridge.
    CloseBridge {
        /// Its name.
        bridge: ForwarderId,
        /// What it joins here.
        near: (RoomId, TrackId),
    },
    /// Have a track of another room in this one: subscriptions to it open bridges. For [`crate::Spread`]; it reaches no
    /// forwarder.
    Adopt {
        /// Its name here.
        track: TrackId,
        /// Where it is published …
        at: ForwarderId,
        /// … in which room …
        room: RoomId,
        /// … and by which name.
        of: TrackId,
    },
    /// Send a message on one of the peer's data channels. A lossy message that finds its channel full is dropped.
    /// [`crate::Event::DataTaken`] tells how a reliable channel drains.
    SendData {
        /// To whom.
        peer: PeerId,
        /// On which channel.
        channel: DataChannel,
        /// What.
        payload: Bytes,
    },
    /// Take no more of what the client sends on its reliable channel, or take it again. Meanwhile the client's own buffers
    /// fill, and nothing is lost.
    HoldData {
        /// Whose.
        peer: PeerId,
        /// Whether nothing more is taken.
        held: bool,
    },
    /// Ask a peer to show pictures neither sooner nor later than so after they were taken.
    SetPlayoutDelay {
        /// Whom.
        peer: PeerId,
        /// The bounds.
        delay: parvis_rtp::PlayoutDelay,
    },
    /// Name only candidates of this protocol. Said before [`Command::CreatePeer`]. For tests of clients.
    OfferOnly {
        /// Whom.
        peer: PeerId,
        /// The protocol.
        protocol: parvis_peer::Protocol,
    },
    /// Send no more than so many bits per second, whatever the path carries. For tests of clients.
    LimitBandwidth {
        /// To whom.
        peer: PeerId,
        /// The limit; `None` for that of the configuration.
        bits_per_second: Option<u64>,
    },
}

/// Who offers on a peer connection, and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerRole {
    /// The client offers and publishes (`/rtc`). It opens the data channels that it sends on.
    Publisher,
    /// We offer; the client receives (`/rtc`). We open the data channels that it receives on.
    Subscriber,
    /// The client offers; both ways in one connection (`/rtc/v1`). It opens the data channels, used both ways.
    Single,
}

/// A session description on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Offer, answer or rollback.
    pub kind: DescriptionKind,
    /// The SDP; empty for a rollback.
    pub sdp: String,
    /// The offer's number; its answer bears the same, so that a stale answer is known. 0 when the client sends none.
    pub id: u32,
}

/// Which kind of session description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DescriptionKind {
    /// An offer.
    Offer,
    /// An answer.
    Answer,
    /// Take the last offer back.
    Rollback,
}

/// What is known of a track before its first packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackSpec {
    /// The client's id for it: the track id in its msid, or else its section's mid.
    pub cid: String,
    /// Audio or video.
    pub kind: MediaKind,
    /// A screen, or its sound: it goes before cameras, and is heard however many speak.
    pub screen_share: bool,
    /// Whether it starts muted.
    pub muted: bool,
    /// How it is to be sent, where the codec and its form are ours to choose.
    pub encoder: EncoderPreference,
    /// Its layers, lowest first; empty for audio.
    pub layers: Vec<LayerSpec>,
}

/// One layer of a video track as announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerSpec {
    /// Its place: low, medium, high.
    pub quality: Quality,
    /// Its RID with simulcast; `None` with SVC or a single stream.
    pub rid: Option<Rid>,
    /// Width in pixels; 0 when unknown.
    pub width: u32,
    /// Height in pixels; 0 when unknown.
    pub height: u32,
    /// Target in bits per second; 0 when unknown.
    pub bitrate: u32,
}

/// A layer's place among the layers of its track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quality {
    /// The smallest.
    Low,
    /// The middle one.
    Medium,
    /// The largest.
    High,
}

/// What a subscriber shows of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriptionSettings {
    /// Whether it is shown at all.
    pub enabled: bool,
    /// Shown size in pixels (width, height): a layer beyond it is a waste.
    pub size: Option<(u32, u32)>,
    /// The highest layer wanted.
    pub quality: Option<Quality>,
    /// The highest frame rate wanted.
    pub fps: Option<u32>,
    /// The subscriber's own order of tracks; higher goes first. 0 leaves it to us. Above 0, sound is heard however many are
    /// louder.
    pub priority: u32,
}

impl SubscriptionSettings {
    /// The highest of a track's layers (lowest first) that is of use for what is shown; `None` for none at all. A size
    /// that wasn't announced is no bound.
    pub fn highest_layer(&self, layers: &[LayerSpec]) -> Option<usize> {
        let last = layers.len().checked_sub(1).filter(|_| self.enabled)?;
        let by_quality = match self.quality {
            None | Some(Quality::High) => last,
            // The name counts, where layers have one each: two layers may be low and high, or low and medium.
            Some(wanted) => layers.iter().rposition(|layer| layer.quality <= wanted).unwrap_or(0),
        };
        let by_size = self.size.and_then(|(width, height)| {
            // The smallest layer that is as large as what is shown.
            layers.iter().position(|layer| {
                layer.width > 0 && layer.height > 0 && (layer.width >= width || layer.height >= height)
            })
        });
        Some(by_quality.min(by_size.unwrap_or(last)))
    }
}

impl Default for SubscriptionSettings {
    fn default() -> Self {
        SubscriptionSettings { enabled: true, size: None, quality: None, fps: None, priority: 0 }
    }
}

/// A data channel by its purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DataChannel {
    /// `_reliable`: ordered, until it arrives.
    Reliable,
    /// `_lossy`: unordered, sent once.
    Lossy,
    /// `_data_track`: unordered, sent once; data tracks.
    DataTrack,
}

impl DataChannel {
    /// Every purpose.
    pub const ALL: [DataChannel; 3] = [DataChannel::Reliable, DataChannel::Lossy, DataChannel::DataTrack];

    /// Its label in DCEP.
    pub fn label(self) -> &'static str {
        match self {
            DataChannel::Reliable => "_reliable",
            DataChannel::Lossy => "_lossy",
            DataChannel::DataTrack => "_data_track",
        }
    }
}
