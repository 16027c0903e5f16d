//! Which rules can match an event at all, found without asking each: an agency has a route for every customer.

use super::Rule;
use leadwire_connector::Event;
use std::collections::HashMap;

/// The numbers of the rules, each under the rarest thing that it asks for.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    by_chatbot: HashMap<String, Vec<usize>>,
    by_source: HashMap<String, Vec<usize>>,
    others: Vec<usize>,
}

impl Candidates {
    pub(super) fn of(rules: &[Rule]) -> Self {
        let mut candidates = Self::default();
        for (index, rule) in rules.iter().enumerate() {
            match (&rule.chatbots, &rule.sources) {
                (Some(chatbots), _) => add(&mut candidates.by_chatbot, chatbots, index),
                (None, Some(sources)) => add(&mut candidates.by_source, sources, index),
                (None, None) => candidates.others.push(index),
            }
        }
        candidates
    }

    /// In the order of the rules, each once.
    pub(super) fn for_event(&self, event: &Event) -> Vec<usize> {
        let chatbot = event.chatbot_id.as_ref().and_then(|id| self.by_chatbot.get(id));
        let source = self.by_source.get(&event.source);
        let mut indexes = [chatbot, source, Some(&self.others)].into_iter().flatten().flatten().copied().collect::<Vec<_>>();
        indexes.sort_unstable();
        indexes
    }
}

fn add(rules: &mut HashMap<String, Vec<usize>>, names: &[String], index: usize) {
    for name in names {
        let indexes = rules.entry(name.clone()).or_default();
        // A name that a rule has twice is no second rule.
        if indexes.last() != Some(&index) {
            indexes.push(index);
        }
    }
}
