// SPDX-License-Identifier: EUPL-1.2
//! Questions with a few answers, put by moderators: named, or secret.
//!
//! **What is kept of a secret poll:** while it is open, each ballot with the identity it came from, in memory only, since without that
//! nobody could change a vote; it is shown to its voter alone. With the poll's closing the ballots are counted and forgotten:
//! from then on not even the server can say who voted what, and `mine` is null. No view of anybody, moderators among
//! them, has more than how many have voted, and, once closed, the counts. Counts come only when a poll is
//! closed, of named ones too, so that nobody votes by what others voted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::refusal::{done, moderators_only, over};
use super::{Audience, CommandError, Context, Feature};
use crate::assembly::{AssemblyLimits, Bound, Member, Role};
use crate::text;

/// The polls of a meeting, oldest first.
#[derive(Debug, Default)]
pub struct Polls {
    polls: Vec<Poll>,
    last: u64,
    /// When all are told how many have voted by now.
    next_count: Option<Instant>,
}

struct Poll {
    id: u64,
    asked: Question,
    by: String,
    /// Of each voter. Those of a secret poll are gone once it is closed.
    ballots: BTreeMap<String, Ballot>,
    result: Option<PollResult>,
}

struct Question {
    question: String,
    options: Vec<String>,
    secret: bool,
    multiple: bool,
}

struct Ballot {
    name: String,
    options: BTreeSet<usize>,
}

/// What came out.
struct PollResult {
    counts: Vec<usize>,
    voted: usize,
}

/// What is asked of the polls.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "do", deny_unknown_fields)]
pub enum PollCommand {
    /// Puts a question.
    #[serde(rename = "poll.open")]
    Open {
        /// What is asked.
        question: String,
        /// What can be answered.
        options: Vec<String>,
        /// Whether nobody learns who voted what.
        secret: bool,
        /// Whether one may choose several.
        multiple: bool,
    },
    /// Votes, or votes anew.
    #[serde(rename = "poll.vote")]
    Vote {
        /// Which poll.
        poll: u64,
        /// The places of the chosen options, from 0.
        options: Vec<usize>,
    },
    /// Ends the vote and counts.
    #[serde(rename = "poll.close")]
    Close {
        /// Which poll.
        poll: u64,
    },
    /// Takes a poll away, and all that was voted.
    #[serde(rename = "poll.remove")]
    Remove {
        /// Which poll.
        poll: u64,
    },
}

/// The polls as one person may see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PollsView {
    /// Oldest first.
    pub polls: Vec<PollView>,
}

/// One poll as one person may see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PollView {
    /// Its number.
    pub id: u64,
    /// What is asked.
    pub question: String,
    /// What can be answered.
    pub options: Vec<String>,
    /// Whether nobody learns who voted what.
    pub secret: bool,
    /// Whether one may choose several.
    pub multiple: bool,
    /// Whether one can vote.
    pub open: bool,
    /// How many chose each option, once closed.
    pub counts: Option<Vec<usize>>,
    /// Who chose what, once closed, never of a secret one.
    pub votes: Option<BTreeMap<String, Vec<usize>>>,
    /// The names of those in `votes` when they voted: some of them may have gone.
    pub names: Option<BTreeMap<String, String>>,
    /// What the receiver chose, as far as that is still known.
    pub mine: Option<Vec<usize>>,
    /// How many have voted.
    pub voted: usize,
    /// Who put it.
    pub by: String,
}

impl Question {
    /// The same with clean texts, if it can be put so.
    fn checked(self, limits: &AssemblyLimits) -> Result<Question, CommandError> {
        let question = text::clean_lines("question", &self.question, limits.poll_question_chars)
            .map_err(over(Bound::PollQuestionChars))?;
        if question.is_empty() {
            return Err(CommandError::bad_value("question: it is empty"));
        }
        let (most, came) = (limits.poll_options, self.options.len());
        if !(2..=most).contains(&came) {
            let wrong = CommandError::bad_value(format!("options: 2 to {most} are needed, {came} came"));
            return Err(if came > most { wrong.at(Bound::PollOptions) } else { wrong });
        }
        let mut options: Vec<String> = Vec::with_capacity(came);
        for (place, option) in self.options.iter().enumerate() {
            let option = text::clean("option", option, limits.poll_option_chars)
                .map_err(over(Bound::PollOptionChars))?
                .trim()
                .to_owned();
            if option.is_empty() {
                return Err(CommandError::bad_value(format!("options[{place}]: it is empty")));
            }
            if options.contains(&option) {
                return Err(CommandError::bad_value(format!(
                    "options[{place}]: it reads as one before it does"
                )));
            }
            options.push(option);
        }
        Ok(Question { question, options, ..self })
    }
}

impl Poll {
    /// The chosen ones, if they can be chosen so.
    fn choice(&self, options: &[usize]) -> Result<BTreeSet<usize>, CommandError> {
        let chosen: BTreeSet<usize> = options.iter().copied().collect();
        let there_are = self.asked.options.len();
        let most = if self.asked.multiple { there_are } else { 1 };
        if chosen.len() != options.len() || !(1..=most).contains(&chosen.len()) {
            let message =
                if self.asked.multiple { "choose one or more, each once" } else { "choose exactly one" };
            return Err(CommandError::bad_value(format!("options: {message}")));
        }
        match chosen.last().filter(|last| **last >= there_are) {
            Some(last) => Err(CommandError::bad_value(format!("options: this poll has no option {last}"))),
            None => Ok(chosen),
        }
    }

    fn close(&mut self) {
        let chosen =
            |option: usize| self.ballots.values().filter(|ballot| ballot.options.contains(&option)).count();
        let counts = (0..self.asked.options.len()).map(chosen).collect();
        self.result = Some(PollResult { counts, voted: self.ballots.len() });
        if self.asked.secret {
            self.ballots = BTreeMap::new();
        }
    }

    fn view(&self, viewer: &Member) -> PollView {
        let asked = &self.asked;
        let told = (self.result.is_some() && !asked.secret).then_some(&self.ballots);
        let chosen = |(who, ballot): (&String, &Ballot)| (who.clone(), ballot.chosen());
        let name = |(who, ballot): (&String, &Ballot)| (who.clone(), ballot.name.clone());
        PollView {
            id: self.id,
            question: asked.question.clone(),
            options: asked.options.clone(),
            secret: asked.secret,
            multiple: asked.multiple,
            open: self.result.is_none(),
            counts: self.result.as_ref().map(|result| result.counts.clone()),
            votes: told.map(|ballots| ballots.iter().map(chosen).collect()),
            names: told.map(|ballots| ballots.iter().map(name).collect()),
            mine: self.ballots.get(&viewer.identity).map(Ballot::chosen),
            voted: self.result.as_ref().map_or(self.ballots.len(), |result| result.voted),
            by: self.by.clone(),
        }
    }
}

impl Ballot {
    fn chosen(&self) -> Vec<usize> {
        self.options.iter().copied().collect()
    }
}

impl fmt::Debug for Poll {
    /// Without the ballots: whatever is logged tells nobody's vote.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poll")
            .field("id", &self.id)
            .field("options", &self.asked.options.len())
            .field("secret", &self.asked.secret)
            .field("ballots", &self.ballots.len())
            .field("open", &self.result.is_none())
            .finish_non_exhaustive()
    }
}

impl Polls {
    fn place(&self, id: u64) -> Result<usize, CommandError> {
        let place = self.polls.iter().position(|poll| poll.id == id);
        place.ok_or_else(|| CommandError::not_found(format!("there is no poll {id} (any more)")))
    }

    fn open_poll(&mut self, id: u64) -> Result<&mut Poll, CommandError> {
        let place = self.place(id)?;
        match self.polls.get_mut(place).filter(|poll| poll.result.is_none()) {
            Some(poll) => Ok(poll),
            None => Err(CommandError::closed(format!("poll {id} is closed"))),
        }
    }

    fn open(&mut self, context: &Context<'_>, actor: &Member, asked: Question) -> Result<u64, CommandError> {
        let most = context.limits.polls;
        if self.polls.len() >= most {
            return Err(CommandError::too_many(format!(
                "a meeting has at most {most} polls, remove one first"
            ))
            .at(Bound::Polls));
        }
        let asked = asked.checked(context.limits)?;
        self.last += 1;
        let (id, by) = (self.last, actor.identity.clone());
        self.polls.push(Poll { id, asked, by, ballots: BTreeMap::new(), result: None });
        Ok(id)
    }

    fn vote(
        &mut self,
        context: &mut Context<'_>,
        actor: &Member,
        (id, options): (u64, &[usize]),
    ) -> Result<(), CommandError> {
        if actor.role == Role::Viewer {
            return Err(CommandError::not_allowed("viewers don't vote in this meeting"));
        }
        let poll = self.open_poll(id)?;
        let options = poll.choice(options)?;
        if !poll.ballots.contains_key(&actor.identity) && poll.ballots.len() >= context.limits.poll_votes {
            return Err(CommandError::too_many("this poll takes no more votes").at(Bound::PollVotes));
        }
        poll.ballots.insert(actor.identity.clone(), Ballot { name: actor.name.clone(), options });
        context.changed(Audience::These(vec![actor.identity.clone()]));
        // When hundreds vote at once, all are told once a second how many have, and not of each.
        self.next_count.get_or_insert(context.now + COUNT_EVERY);
        Ok(())
    }
}

impl Feature for Polls {
    type Command = PollCommand;
    type View = PollsView;
    const KEY: &'static str = "polls";

    fn command(
        &mut self,
        context: &mut Context<'_>,
        actor: &Member,
        command: PollCommand,
    ) -> Result<serde_json::Value, CommandError> {
        match command {
            PollCommand::Open { question, options, secret, multiple } => {
                moderators_only(actor, "open a poll")?;
                let id = self.open(context, actor, Question { question, options, secret, multiple })?;
                context.changed(Audience::Everyone);
                return Ok(json!({ "id": id }));
            }
            PollCommand::Vote { poll, options } => self.vote(context, actor, (poll, &options))?,
            PollCommand::Close { poll } => {
                moderators_only(actor, "close a poll")?;
                self.open_poll(poll)?.close();
                context.changed(Audience::Everyone);
            }
            PollCommand::Remove { poll } => {
                moderators_only(actor, "remove a poll")?;
                let place = self.place(poll)?;
                self.polls.remove(place);
                context.changed(Audience::Everyone);
            }
        }
        done()
    }

    fn view(&self, viewer: &Member) -> PollsView {
        PollsView { polls: self.polls.iter().map(|poll| poll.view(viewer)).collect() }
    }

    fn view_class(&self, viewer: &Member) -> Option<u64> {
        let has_voted = self.polls.iter().any(|poll| poll.ballots.contains_key(&viewer.identity));
        (!has_voted).then_some(0)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.next_count
    }

    fn handle_timeout(&mut self, context: &mut Context<'_>) {
        if self.next_count.take_if(|at| *at <= context.now).is_some() {
            context.changed(Audience::Everyone);
        }
    }
}

const COUNT_EVERY: Duration = Duration::from_secs(1);
