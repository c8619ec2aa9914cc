// SPDX-License-Identifier: EUPL-1.2
//! What people say to being recorded. Where a room asks, [`parvis_meeting`] keeps from recorders whatever belongs to somebody who has
//! not agreed; here answers are taken, and told to those who record, since an answer is evidence. An answer counts for one
//! stay: whoever comes anew is asked anew, for the same identity may be somebody else.

use std::time::Instant;

use parvis_meeting::ParticipantId;

use super::control::Reply;
use super::{ControlError, RecordingNews, Room};

/// What an answer costs: with each change of it files of every recording end and begin.
const ANSWER_COST: u32 = 50;

impl Room {
    /// How it stands with someone's consent; after its answer, if it gives one.
    pub(super) fn consent(
        &mut self,
        now: Instant,
        identity: &str,
        answer: Option<bool>,
    ) -> Result<Reply, ControlError> {
        let id = self.find(identity)?;
        // Whoever floods with them leaves, as by any other request.
        if answer.is_some() && !self.charge(now, id, ANSWER_COST) {
            return Err(ControlError::NoParticipant(identity.to_owned()));
        }
        if let Some(given) = answer
            && self.meeting.answer_consent(now, id, given)?
        {
            tracing::info!(room = %self.sid, %identity, given, "an answer to being recorded");
            self.tell_recorders_of_consent(id);
        }
        let given = self.meeting.participant(id).and_then(|participant| participant.consent);
        let given = given.map(|consent| consent.given);
        Ok(Reply::Consent { asked: self.meeting.asks_consent(), given })
    }

    /// Someone's answer, for a recording's evidence.
    pub(super) fn consent_news(&self, id: ParticipantId) -> Option<RecordingNews> {
        let consent = self.meeting.participant(id)?.consent?;
        let participant_sid = self.sessions.get(&id)?.sid.to_string();
        Some(RecordingNews::Consent { participant_sid, given: consent.given, at: consent.at })
    }

    fn tell_recorders_of_consent(&mut self, id: ParticipantId) {
        let Some(news) = self.consent_news(id) else { return };
        let recorders: Vec<ParticipantId> = self.recorders.iter().copied().collect();
        for recorder in recorders {
            self.tell_recorder(recorder, news.clone());
        }
    }
}
