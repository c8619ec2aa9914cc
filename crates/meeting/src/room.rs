// SPDX-License-Identifier: EUPL-1.2
//! The meeting itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::{
    Consent, EndReason, Event, Kind, LeaveReason, Limits, MeetingError, MeetingStats, Participant,
    ParticipantId, Permissions, Profile, ProfileUpdate, State, SubscriptionRules, Track, TrackId,
    TrackSource, text,
};

/// One meeting. See the crate's front page for its invariant.
#[derive(Debug)]
pub struct Room {
    limits: Arc<Limits>,
    created_at: Instant,
    /// Since when nobody is there who would keep the meeting open.
    deserted_since: Option<Instant>,
    /// Whether anybody ever was.
    ever_joined: bool,
    /// Whether somebody waits outside.
    held_open: bool,
    ended: bool,
    /// Whether people are asked before a recorder has their tracks.
    asks_consent: bool,
    next_id: u64,
    participants: BTreeMap<ParticipantId, Participant>,
    identities: BTreeMap<String, ParticipantId>,
    tracks: BTreeMap<TrackId, Track>,
    events: VecDeque<Event>,
    stats: MeetingStats,
}

/// Someone who wants to come in, already checked for the right to do so.
#[derive(Debug, Clone)]
pub struct Admission {
    /// Who it is.
    pub identity: String,
    /// What it shows of itself.
    pub profile: Profile,
    /// What kind of thing it is.
    pub kind: Kind,
    /// What it may do.
    pub permissions: Permissions,
    /// Whether it wants every track that it doesn't refuse.
    pub auto_subscribe: bool,
}

impl Admission {
    /// A person with the usual permissions and nothing else.
    pub fn of(identity: &str) -> Admission {
        Admission {
            identity: identity.to_owned(),
            profile: Profile::default(),
            kind: Kind::Standard,
            permissions: Permissions::default(),
            auto_subscribe: true,
        }
    }
}

impl Room {
    /// An empty meeting.
    pub fn new(limits: Arc<Limits>, now: Instant) -> Room {
        Room {
            limits,
            created_at: now,
            deserted_since: Some(now),
            ever_joined: false,
            held_open: false,
            ended: false,
            asks_consent: false,
            next_id: 1,
            participants: BTreeMap::new(),
            identities: BTreeMap::new(),
            tracks: BTreeMap::new(),
            events: VecDeque::new(),
            stats: MeetingStats::default(),
        }
    }

    /// Lets someone in. Who has the same identity leaves: the newest connection is the one that works.
    pub fn admit(&mut self, now: Instant, admission: Admission) -> Result<ParticipantId, MeetingError> {
        let Admission { identity, profile, kind, permissions, auto_subscribe } = admission;
        let profile =
            self.check_admission(&identity, profile).inspect_err(|_| self.stats.refused_text += 1)?;
        let previous = self.identities.get(&identity).copied();
        if self.ended {
            self.stats.refused_full += 1;
            return Err(MeetingError::Ended);
        }
        if let Some(limit) = self.full_for(kind).filter(|_| previous.is_none()) {
            self.stats.refused_full += 1;
            return Err(MeetingError::Full { limit });
        }
        if let Some(previous) = previous {
            self.stats.replaced += 1;
            self.leave(now, previous, LeaveReason::Replaced);
        }

        let id = ParticipantId(self.next_id());
        self.identities.insert(identity.clone(), id);
        let participant = Participant {
            id,
            identity,
            profile,
            kind,
            permissions,
            state: State::Joining,
            version: 1,
            joined_at: now,
            auto_subscribe,
            consent: None,
            tracks: BTreeSet::new(),
            wishes: BTreeMap::new(),
            barred: BTreeSet::new(),
            subscribed: BTreeSet::new(),
            rules: SubscriptionRules::default(),
        };
        self.participants.insert(id, participant);
        self.stats.admitted += 1;
        self.events.push_back(Event::Joined(id));
        self.events.push_back(Event::RoomChanged);
        self.watch_desertion(now);
        Ok(id)
    }

    /// Puts other limits in force. Whoever is in stays, also beyond a lower number of places.
    pub fn set_limits(&mut self, limits: Arc<Limits>) {
        if self.limits != limits {
            self.limits = limits;
            self.events.push_back(Event::RoomChanged);
        }
    }

    /// Ends a stay. Unknown ids are no error: two causes may end the same stay.
    pub fn leave(&mut self, now: Instant, id: ParticipantId, reason: LeaveReason) {
        let Some(participant) = self.participants.get(&id) else { return };
        for track in participant.subscribed.clone() {
            self.drop_subscription(id, track);
        }
        for track in participant_tracks(&self.participants, id) {
            self.drop_track(track);
        }
        let Some(mut participant) = self.participants.remove(&id) else { return };
        participant.version += 1;
        self.identities.remove(&participant.identity);
        self.events.push_back(Event::Left { participant: Box::new(participant), reason });
        self.events.push_back(Event::RoomChanged);
        self.watch_desertion(now);
    }

    /// Moves a participant on. From [`State::Joined`] it receives what it wants.
    pub fn set_state(&mut self, id: ParticipantId, state: State) {
        let Some(participant) = self.participants.get_mut(&id) else { return };
        if participant.state == state {
            return;
        }
        participant.state = state;
        self.touch(id);
        self.refresh_subscriber(id);
    }

    /// Changes what a participant shows of itself, by its own wish.
    pub fn update_profile(
        &mut self,
        actor: ParticipantId,
        update: ProfileUpdate,
    ) -> Result<(), MeetingError> {
        let participant = self.participants.get(&actor).ok_or(MeetingError::NoParticipant)?;
        if !participant.permissions.can_update_profile {
            return Err(MeetingError::MayNotUpdateProfile);
        }
        self.set_profile(actor, update)
    }

    /// Changes what a participant shows of itself, by the wish of someone who may do that to others.
    pub fn set_profile(&mut self, id: ParticipantId, update: ProfileUpdate) -> Result<(), MeetingError> {
        let participant = self.participants.get(&id).ok_or(MeetingError::NoParticipant)?;
        let mut profile = participant.profile.clone();
        if let Some(name) = update.name {
            profile.name = name;
        }
        if let Some(metadata) = update.metadata {
            profile.metadata = metadata;
        }
        for (key, value) in update.attributes {
            if value.is_empty() {
                profile.attributes.remove(&key);
            } else {
                profile.attributes.insert(key, value);
            }
        }
        let profile = self.check_profile(profile).inspect_err(|_| self.stats.refused_text += 1)?;
        if let Some(participant) = self.participants.get_mut(&id)
            && participant.profile != profile
        {
            participant.profile = profile;
            self.touch(id);
        }
        Ok(())
    }

    /// Changes what a participant may do, at once: what it may no longer publish or receive ends here. Whether it
    /// is seen stays as it was when it came: others can't be made to forget whom they saw.
    pub fn set_permissions(
        &mut self,
        id: ParticipantId,
        permissions: Permissions,
    ) -> Result<(), MeetingError> {
        let participant = self.participants.get_mut(&id).ok_or(MeetingError::NoParticipant)?;
        let permissions = Permissions { hidden: participant.permissions.hidden, ..permissions };
        if participant.permissions == permissions {
            return Ok(());
        }
        participant.permissions = permissions;
        let forbidden: Vec<TrackId> = participant
            .tracks
            .iter()
            .filter(|track| {
                self.tracks.get(track).is_some_and(|track| !participant.permissions.may_publish(track.source))
            })
            .copied()
            .collect();
        for track in forbidden {
            self.drop_track(track);
        }
        self.touch(id);
        self.refresh_subscriber(id);
        self.events.push_back(Event::RoomChanged);
        Ok(())
    }

    /// Has others see a participant, or see it no more. Whatever it publishes, hidden participants' tracks are nobody's. Says
    /// whether that changed anything.
    pub fn set_hidden(&mut self, id: ParticipantId, hidden: bool) -> bool {
        let Some(participant) = self.participants.get_mut(&id) else { return false };
        if std::mem::replace(&mut participant.permissions.hidden, hidden) == hidden {
            return false;
        }
        let tracks: Vec<TrackId> = participant.tracks.iter().copied().collect();
        let everyone: Vec<ParticipantId> = self.participants.keys().copied().collect();
        for track in tracks {
            for subscriber in &everyone {
                self.refresh(*subscriber, track);
            }
        }
        self.touch(id);
        self.events.push_back(Event::RoomChanged);
        true
    }

    /// Keeps a meeting open in which nobody is: somebody waits outside, or will be back. When nobody does any more, it has as long as if the last
    /// one had just left.
    pub fn hold_open(&mut self, now: Instant, held: bool) {
        if self.held_open != held {
            self.held_open = held;
            self.deserted_since = None;
            self.watch_desertion(now);
        }
    }

    /// Takes note of a track. Others hear of it with [`Room::announce`].
    pub fn publish(
        &mut self,
        actor: ParticipantId,
        source: TrackSource,
        muted: bool,
    ) -> Result<TrackId, MeetingError> {
        let participant = self.participants.get(&actor).ok_or(MeetingError::NoParticipant)?;
        if !participant.permissions.may_publish(source) {
            self.stats.refused_tracks += 1;
            return Err(MeetingError::MayNotPublish(source));
        }
        if participant.tracks.len() >= self.limits.tracks_per_participant {
            self.stats.refused_tracks += 1;
            return Err(MeetingError::TooManyTracks { limit: self.limits.tracks_per_participant });
        }
        let id = TrackId(self.next_id());
        if let Some(participant) = self.participants.get_mut(&actor) {
            participant.tracks.insert(id);
        }
        let track =
            Track { id, publisher: actor, source, muted, announced: false, subscribers: BTreeSet::new() };
        self.tracks.insert(id, track);
        Ok(id)
    }

    /// Lets others know of a track.
    pub fn announce(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        if std::mem::replace(&mut track.announced, true) {
            return;
        }
        let publisher = track.publisher;
        self.touch(publisher);
        let everyone: Vec<ParticipantId> = self.participants.keys().copied().collect();
        for subscriber in everyone {
            self.refresh(subscriber, id);
        }
        self.events.push_back(Event::RoomChanged);
    }

    /// A track's description changed in a way that others see.
    pub fn touch_track(&mut self, id: TrackId) {
        if let Some(publisher) =
            self.tracks.get(&id).filter(|track| track.announced).map(|track| track.publisher)
        {
            self.touch(publisher);
        }
    }

    /// Ends a track, whoever decided so.
    pub fn unpublish(&mut self, id: TrackId) {
        if let Some(publisher) = self.drop_track(id) {
            self.touch(publisher);
            self.events.push_back(Event::RoomChanged);
        }
    }

    /// Silences one of the actor's own tracks, or lets it sound again. Says whether that changed anything.
    pub fn set_muted(
        &mut self,
        actor: ParticipantId,
        id: TrackId,
        muted: bool,
    ) -> Result<bool, MeetingError> {
        let track =
            self.tracks.get_mut(&id).filter(|track| track.publisher == actor).ok_or(MeetingError::NoTrack)?;
        let changed = std::mem::replace(&mut track.muted, muted) != muted;
        if changed {
            self.touch_track(id);
        }
        Ok(changed)
    }

    /// Notes whether the actor wants a track; it receives it as far as it may.
    pub fn want(&mut self, actor: ParticipantId, track: TrackId, wanted: bool) -> Result<(), MeetingError> {
        let known = self.tracks.get(&track).filter(|track| track.announced && track.publisher != actor);
        // A hidden publisher's track ids are not for others to know; neither is whether one exists.
        if known.is_none_or(|track| self.participant(track.publisher).is_none_or(|p| p.permissions.hidden)) {
            return Err(MeetingError::NoTrack);
        }
        let participant = self.participants.get_mut(&actor).ok_or(MeetingError::NoParticipant)?;
        participant.wishes.insert(track, wanted);
        self.refresh(actor, track);
        Ok(())
    }

    /// Says whom the actor lets have its tracks.
    pub fn set_rules(&mut self, actor: ParticipantId, rules: SubscriptionRules) -> Result<(), MeetingError> {
        let participant = self.participants.get_mut(&actor).ok_or(MeetingError::NoParticipant)?;
        let before = std::mem::replace(&mut participant.rules, rules);
        let after = participant.rules.clone();
        let tracks: Vec<TrackId> = participant
            .tracks
            .iter()
            .filter(|track| self.tracks.get(track).is_some_and(|track| track.announced))
            .copied()
            .collect();
        let others: Vec<(ParticipantId, String)> = self
            .participants
            .values()
            .filter(|p| p.id != actor)
            .map(|p| (p.id, p.identity.clone()))
            .collect();
        for track in tracks {
            for (subscriber, identity) in &others {
                if before.allow(identity, track) != after.allow(identity, track) {
                    self.refresh(*subscriber, track);
                }
            }
        }
        Ok(())
    }

    /// From now on recorders have nobody's tracks who has not agreed to it. That can't be taken back: people were told so.
    pub fn ask_consent(&mut self) {
        if !std::mem::replace(&mut self.asks_consent, true) {
            self.refresh_recorders();
        }
    }

    /// Whether people are asked before they are recorded.
    pub fn asks_consent(&self) -> bool {
        self.asks_consent
    }

    /// Whether recorders may have what somebody says and writes: where people are asked, whoever has not agreed is left out.
    pub fn may_be_recorded(&self, id: ParticipantId) -> bool {
        let consents = |participant: &Participant| !self.asks_consent || participant.may_be_recorded();
        self.participants.get(&id).is_some_and(consents)
    }

    /// The actor agrees to being recorded, or does so no more. Says whether that is another answer than before.
    pub fn answer_consent(
        &mut self,
        now: Instant,
        actor: ParticipantId,
        given: bool,
    ) -> Result<bool, MeetingError> {
        let participant = self.participants.get_mut(&actor).ok_or(MeetingError::NoParticipant)?;
        if participant.consent.is_some_and(|consent| consent.given == given) {
            return Ok(false);
        }
        participant.consent = Some(Consent { given, at: now });
        self.refresh_recorders();
        Ok(true)
    }

    /// Ends the meeting. Its participants are still there until they are told to leave.
    pub fn end(&mut self, reason: EndReason) {
        if !std::mem::replace(&mut self.ended, true) {
            self.events.push_back(Event::Ended(reason));
        }
    }

    /// When [`Room::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.ended {
            return None;
        }
        [self.desertion_deadline(), self.duration_deadline()].into_iter().flatten().min()
    }

    /// Ends the meeting when its time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.desertion_deadline().is_some_and(|deadline| deadline <= now) {
            self.end(EndReason::Empty);
        } else if self.duration_deadline().is_some_and(|deadline| deadline <= now) {
            self.end(EndReason::TooLong);
        }
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// One participant.
    pub fn participant(&self, id: ParticipantId) -> Option<&Participant> {
        self.participants.get(&id)
    }

    /// The participant of that identity.
    pub fn by_identity(&self, identity: &str) -> Option<&Participant> {
        self.participants.get(self.identities.get(identity)?)
    }

    /// Everyone, hidden ones too, in the order in which they came.
    pub fn participants(&self) -> impl ExactSizeIterator<Item = &Participant> + '_ {
        self.participants.values()
    }

    /// One track.
    pub fn track(&self, id: TrackId) -> Option<&Track> {
        self.tracks.get(&id)
    }

    /// How many take part and are seen.
    pub fn attendance(&self) -> usize {
        self.participants.values().filter(|p| p.counts()).count()
    }

    /// How many of those publish something.
    pub fn publishers(&self) -> usize {
        let announced = |id: &TrackId| self.tracks.get(id).is_some_and(|track| track.announced);
        self.participants.values().filter(|p| p.counts() && p.tracks.iter().any(announced)).count()
    }

    /// Whether a recorder is there.
    pub fn recording(&self) -> bool {
        self.participants.values().any(|p| p.permissions.recorder)
    }

    /// Whether it is over.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// The limits that hold here.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How often limits held.
    pub fn stats(&self) -> MeetingStats {
        self.stats
    }

    /// The limit that keeps one more of this kind out, if one does.
    pub fn full_for(&self, kind: Kind) -> Option<usize> {
        let people =
            || self.participants.values().filter(|participant| participant.kind.keeps_open()).count();
        let seats = self.limits.seats.filter(|seats| kind.keeps_open() && people() >= *seats);
        seats.or_else(|| Some(self.limits.participants).filter(|limit| self.participants.len() >= *limit))
    }

    fn next_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    fn check_admission(&self, identity: &str, profile: Profile) -> Result<Profile, MeetingError> {
        text::check_name("identity", identity, self.limits.identity_chars)?;
        self.check_profile(profile)
    }

    fn check_profile(&self, mut profile: Profile) -> Result<Profile, MeetingError> {
        profile.name = text::clean("name", &profile.name, self.limits.name_chars)?;
        text::check_bytes("metadata", profile.metadata.len(), self.limits.metadata_bytes)?;
        let attributes = text::attributes_bytes(&profile.attributes);
        text::check_bytes("attributes", attributes, self.limits.attributes_bytes)?;
        Ok(profile)
    }

    /// Takes note that what others see of a participant changed, where the meeting itself does not keep it.
    pub fn touch(&mut self, id: ParticipantId) {
        if let Some(participant) = self.participants.get_mut(&id) {
            participant.version += 1;
            self.events.push_back(Event::Updated(id));
        }
    }

    fn drop_track(&mut self, id: TrackId) -> Option<ParticipantId> {
        let track = self.tracks.get(&id)?;
        let publisher = track.publisher;
        for subscriber in track.subscribers.clone() {
            self.drop_subscription(subscriber, id);
        }
        self.tracks.remove(&id);
        if let Some(participant) = self.participants.get_mut(&publisher) {
            participant.tracks.remove(&id);
            for rule in participant.rules.by_identity.values_mut() {
                rule.tracks.remove(&id);
            }
        }
        for participant in self.participants.values_mut() {
            participant.wishes.remove(&id);
            participant.barred.remove(&id);
        }
        self.events.push_back(Event::Unpublished { track: id, publisher });
        Some(publisher)
    }

    fn refresh_recorders(&mut self) {
        let recorders = self.participants.values().filter(|participant| participant.permissions.recorder);
        let recorders: Vec<ParticipantId> = recorders.map(|recorder| recorder.id).collect();
        for recorder in recorders {
            self.refresh_subscriber(recorder);
        }
    }

    fn refresh_subscriber(&mut self, id: ParticipantId) {
        let tracks: Vec<TrackId> = self.tracks.keys().copied().collect();
        for track in tracks {
            self.refresh(id, track);
        }
    }

    /// Restores the crate's invariant for one pair.
    fn refresh(&mut self, subscriber: ParticipantId, track: TrackId) {
        let wanted = self.is_wanted(subscriber, track).unwrap_or(false);
        let allowed = self.is_allowed(subscriber, track).unwrap_or(false);
        self.tell_allowed(subscriber, track, wanted, allowed);
        let due = wanted && allowed;
        let is = self.tracks.get(&track).is_some_and(|track| track.subscribers.contains(&subscriber));
        if due && !is {
            if let Some(track) = self.tracks.get_mut(&track) {
                track.subscribers.insert(subscriber);
            }
            if let Some(participant) = self.participants.get_mut(&subscriber) {
                participant.subscribed.insert(track);
            }
            self.events.push_back(Event::Subscribed { subscriber, track });
        } else if is && !due {
            self.drop_subscription(subscriber, track);
        }
    }

    /// Whoever would have a track that it may not have is told so, once; and again when it may.
    fn tell_allowed(&mut self, subscriber: ParticipantId, track: TrackId, wanted: bool, allowed: bool) {
        let Some(participant) = self.participants.get_mut(&subscriber) else { return };
        let is_news = if allowed {
            participant.barred.remove(&track)
        } else {
            wanted && participant.barred.insert(track)
        };
        if is_news {
            self.events.push_back(Event::SubscriptionAllowed { subscriber, track, allowed });
        }
    }

    /// Whether a track's publisher lets someone have it.
    fn is_allowed(&self, subscriber: ParticipantId, track_id: TrackId) -> Option<bool> {
        let publisher = self.participants.get(&self.tracks.get(&track_id)?.publisher)?;
        let subscriber = self.participants.get(&subscriber)?;
        let consents = !self.asks_consent || !subscriber.permissions.recorder || publisher.may_be_recorded();
        Some(consents && publisher.rules.allow(&subscriber.identity, track_id))
    }

    /// Whether someone is to have a track, as far as its publisher lets it.
    fn is_wanted(&self, subscriber: ParticipantId, track_id: TrackId) -> Option<bool> {
        let track = self.tracks.get(&track_id)?;
        let participant = self.participants.get(&subscriber)?;
        let publisher = self.participants.get(&track.publisher)?;
        let wanted = participant.wishes.get(&track_id).copied().unwrap_or(participant.auto_subscribe);
        Some(
            wanted
                && track.announced
                && subscriber != track.publisher
                && participant.state != State::Joining
                && participant.permissions.can_subscribe
                && !publisher.permissions.hidden,
        )
    }

    fn drop_subscription(&mut self, subscriber: ParticipantId, track: TrackId) {
        let dropped = self.tracks.get_mut(&track).is_some_and(|track| track.subscribers.remove(&subscriber));
        if let Some(participant) = self.participants.get_mut(&subscriber) {
            participant.subscribed.remove(&track);
        }
        if dropped {
            self.events.push_back(Event::Unsubscribed { subscriber, track });
        }
    }

    fn watch_desertion(&mut self, now: Instant) {
        if self.participants.values().any(|p| p.kind.keeps_open()) {
            self.ever_joined = true;
            self.deserted_since = None;
        } else if self.held_open {
            self.deserted_since = None;
        } else if self.deserted_since.is_none() {
            self.deserted_since = Some(now);
        }
    }

    fn desertion_deadline(&self) -> Option<Instant> {
        let timeout =
            if self.ever_joined { self.limits.departure_timeout } else { self.limits.empty_timeout };
        self.deserted_since.and_then(|since| since.checked_add(timeout))
    }

    fn duration_deadline(&self) -> Option<Instant> {
        self.created_at.checked_add(self.limits.max_duration?)
    }
}

fn participant_tracks(
    participants: &BTreeMap<ParticipantId, Participant>,
    id: ParticipantId,
) -> Vec<TrackId> {
    participants.get(&id).map(|participant| participant.tracks.iter().copied().collect()).unwrap_or_default()
}
