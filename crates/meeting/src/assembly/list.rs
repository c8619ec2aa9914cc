// SPDX-License-Identifier: EUPL-1.2
//! The list of features, and how each is spoken to without knowing which it is.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Member, parse};
use crate::features::{
    Attendance, Breakouts, Chat, CommandError, Context, Feature, Hands, Polls, Reactions, Viewers,
};

/// All features, in the order in which their keys stand in a state. A new one has its line here.
pub(super) fn features() -> Vec<Slot> {
    vec![
        Slot::shown::<Chat>("chat"),
        Slot::shown::<Hands>("hand"),
        Slot::shown::<Polls>("poll"),
        Slot::shown::<Breakouts>("breakout"),
        Slot::silent::<Reactions>("reaction"),
        Slot::silent::<Attendance>("attendance"),
        Slot::silent::<Viewers>("viewers"),
    ]
}

/// One feature's place in a meeting.
#[derive(Debug)]
pub(super) struct Slot {
    /// What its commands begin with, before the dot.
    pub(super) word: &'static str,
    /// Its key in a state; none for a feature of which nothing is shown.
    pub(super) key: Option<&'static str>,
    pub(super) feature: Box<dyn AnyFeature>,
}

impl Slot {
    fn shown<F: Feature + Default + Debug + Send + Sync + 'static>(word: &'static str) -> Slot {
        Slot { key: Some(F::KEY), ..Slot::silent::<F>(word) }
    }

    fn silent<F: Feature + Default + Debug + Send + Sync + 'static>(word: &'static str) -> Slot {
        Slot { word, key: None, feature: Box::new(F::default()) }
    }
}

/// A [`Feature`] whose commands come, and whose views go, as JSON.
pub(super) trait AnyFeature: Debug + Send + Sync {
    fn entered(&mut self, context: &mut Context<'_>, member: &Member);
    fn connected(&mut self, context: &mut Context<'_>, member: &Member);
    fn left(&mut self, context: &mut Context<'_>, identity: &str);
    fn altered(&mut self, context: &mut Context<'_>, member: &Member);
    fn spoke(&mut self, identity: &str, time: Duration);
    fn command(
        &mut self,
        context: &mut Context<'_>,
        actor: &Member,
        command: Value,
    ) -> Result<Value, CommandError>;
    fn view(&self, viewer: &Member, whole: bool) -> String;
    fn view_class(&self, viewer: &Member) -> Option<u64>;
    fn patched(&mut self);
    fn poll_timeout(&self) -> Option<Instant>;
    fn handle_timeout(&mut self, context: &mut Context<'_>);
}

impl<F: Feature + Debug + Send + Sync> AnyFeature for F {
    fn entered(&mut self, context: &mut Context<'_>, member: &Member) {
        Feature::entered(self, context, member);
    }

    fn connected(&mut self, context: &mut Context<'_>, member: &Member) {
        Feature::connected(self, context, member);
    }

    fn left(&mut self, context: &mut Context<'_>, identity: &str) {
        Feature::left(self, context, identity);
    }

    fn altered(&mut self, context: &mut Context<'_>, member: &Member) {
        Feature::altered(self, context, member);
    }

    fn spoke(&mut self, identity: &str, time: Duration) {
        Feature::spoke(self, identity, time);
    }

    fn command(
        &mut self,
        context: &mut Context<'_>,
        actor: &Member,
        command: Value,
    ) -> Result<Value, CommandError> {
        Feature::command(self, context, actor, parse::known(command)?)
    }

    fn view(&self, viewer: &Member, whole: bool) -> String {
        if whole {
            super::state::json(&Feature::view(self, viewer))
        } else {
            super::state::json(&self.patch(viewer))
        }
    }

    fn view_class(&self, viewer: &Member) -> Option<u64> {
        Feature::view_class(self, viewer)
    }

    fn patched(&mut self) {
        Feature::patched(self);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Feature::poll_timeout(self)
    }

    fn handle_timeout(&mut self, context: &mut Context<'_>) {
        Feature::handle_timeout(self, context);
    }
}
