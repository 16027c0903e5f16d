//! Which destinations get an event: a pure function of the event and the rules.

mod candidates;
mod condition;

pub use condition::Condition;

use candidates::Candidates;
use leadwire_connector::reexport::minijinja::Value;
use leadwire_connector::{Event, Kind};
use std::cell::OnceCell;

/// One `[[routes]]` entry: where to, and for which events. A filter that is `None` lets everything through.
#[derive(Debug, Default)]
pub struct Rule {
    /// The names of the destinations.
    pub to: Vec<String>,
    /// The names of the sources.
    pub sources: Option<Vec<String>>,
    /// Without this filter a rule takes every kind but `test`.
    pub kinds: Option<Vec<Kind>>,
    /// The platform's ids of the chatbots (`chatbot_id` of the event).
    pub chatbots: Option<Vec<String>>,
    /// Looked at last, and only when the other filters let the event through.
    pub when: Option<Condition>,
}

/// All routes, in the order of the configuration.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    candidates: Candidates,
}

/// What [`Rules::route`] decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routed {
    /// The names of the destinations, each once, in the order of the routes.
    pub destinations: Vec<String>,
    /// Conditions that could not be evaluated, a sentence each, without anything of the event in it.
    pub faults: Vec<String>,
}

impl Rules {
    /// The rules, first to last.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        let candidates = Candidates::of(&rules);
        Self { rules, candidates }
    }

    /// The rules, first to last.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// The union of the destinations of all rules that match.
    ///
    /// A condition that cannot be evaluated on this event counts as a match, and is told in [`Routed::faults`]: one delivery too
    /// many is better than a lost lead.
    #[must_use]
    pub fn route(&self, event: &Event) -> Routed {
        let mut routed = Routed::default();
        // Serialized for the first condition that is looked at, and for no event that needs none.
        let fields = OnceCell::new();
        for index in self.candidates.for_event(event) {
            let rule = &self.rules[index];
            let matched = rule.filters_let_through(event)
                && rule.condition_holds(event, &fields).unwrap_or_else(|error| {
                    routed
                        .faults
                        .push(format!("the condition of route {} could not be evaluated and counts as a match: {error}", index + 1));
                    true
                });
            if matched {
                add_new(&mut routed.destinations, &rule.to);
            }
        }
        routed
    }
}

impl Rule {
    fn filters_let_through(&self, event: &Event) -> bool {
        let kind = self.kinds.as_ref().map_or(event.kind != Kind::Test, |kinds| kinds.contains(&event.kind));
        let source = self.sources.as_ref().is_none_or(|sources| sources.contains(&event.source));
        let chatbot = self.chatbots.as_ref().is_none_or(|chatbots| event.chatbot_id.as_ref().is_some_and(|id| chatbots.contains(id)));
        kind && source && chatbot
    }

    fn condition_holds(&self, event: &Event, fields: &OnceCell<Value>) -> Result<bool, String> {
        let Some(condition) = &self.when else { return Ok(true) };
        condition.holds(fields.get_or_init(|| Value::from_serialize(event)))
    }
}

fn add_new(destinations: &mut Vec<String>, more: &[String]) {
    for name in more {
        if !destinations.contains(name) {
            destinations.push(name.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn event(kind: Kind, source: &str) -> Event {
        serde_json::from_value(json!({
            "id": "0199f3c2-0000-7000-8000-000000000001", "kind": kind, "source": source, "chatbot_id": "bot1",
            "person": {"first_name": "David", "last_name": null, "email": "david@example.com", "phone": null},
            "content": "a hidden remark", "session_id": "1", "page_url": null, "created_at": null, "received_at": "2026-11-22T05:17:00Z",
            "extra": {"Company": "Acme"}, "raw": {}
        }))
        .unwrap()
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn to(names: &[&str]) -> Rule {
        Rule { to: words(names), ..Rule::default() }
    }

    fn when(condition: &str) -> Rule {
        Rule { when: Some(Condition::compile(condition).unwrap()), ..to(&["crm"]) }
    }

    fn destinations(rules: Vec<Rule>, event: &Event) -> Vec<String> {
        let routed = Rules::new(rules).route(event);
        assert_eq!(routed.faults, Vec::<String>::new());
        routed.destinations
    }

    #[test]
    fn an_event_goes_to_the_union_of_all_routes_that_match_each_destination_once() {
        let rules = vec![to(&["b", "a"]), Rule { sources: Some(words(&["other"])), ..to(&["x"]) }, to(&["a", "c"])];
        assert_eq!(destinations(rules, &event(Kind::Lead, "acme")), ["b", "a", "c"]);
    }

    #[test]
    fn a_test_goes_nowhere_unless_a_route_names_the_kind() {
        let rules = || vec![to(&["crm"]), Rule { kinds: Some(vec![Kind::Test]), ..to(&["archive"]) }];
        assert_eq!(destinations(rules(), &event(Kind::Test, "acme")), ["archive"]);
        assert_eq!(destinations(rules(), &event(Kind::Unrecognized, "acme")), ["crm"]);
    }

    #[test]
    fn a_route_for_leads_takes_nothing_else() {
        let rules = || vec![Rule { kinds: Some(vec![Kind::Lead]), ..to(&["crm"]) }];
        assert_eq!(destinations(rules(), &event(Kind::Lead, "acme")), ["crm"]);
        assert!(destinations(rules(), &event(Kind::Conversation, "acme")).is_empty());
    }

    #[test]
    fn an_event_without_a_chatbot_passes_no_chatbot_filter() {
        let rules = || vec![Rule { chatbots: Some(words(&["bot1"])), ..to(&["crm"]) }];
        let mut lead = event(Kind::Lead, "acme");
        assert_eq!(destinations(rules(), &lead), ["crm"]);
        lead.chatbot_id = None;
        assert!(destinations(rules(), &lead).is_empty());
    }

    #[test]
    fn a_condition_sees_the_fields_of_the_event() {
        let lead = event(Kind::Lead, "acme");
        assert_eq!(destinations(vec![when("person.email and extra.Company == 'Acme'")], &lead), ["crm"]);
        assert!(destinations(vec![when("extra.NoSuchField == 'Acme'")], &lead).is_empty());
        assert!(destinations(vec![when("window.start and messages|length > 2")], &lead).is_empty());
    }

    #[test]
    fn a_condition_that_cannot_be_evaluated_counts_as_a_match_and_shows_nothing_of_the_event() {
        let routed = Rules::new(vec![to(&["archive"]), when("content + 1 > 2")]).route(&event(Kind::Lead, "acme"));
        assert_eq!(routed.destinations, ["archive", "crm"]);
        assert_eq!(routed.faults.len(), 1);
        assert!(routed.faults[0].contains("route 2") && !routed.faults[0].contains("remark"), "{:?}", routed.faults);
    }

    #[test]
    fn a_condition_is_not_looked_at_when_another_filter_says_no() {
        let rules = Rules::new(vec![Rule { sources: Some(words(&["other"])), ..when("content + 1 > 2") }]);
        assert_eq!(rules.route(&event(Kind::Lead, "acme")), Routed::default());
    }

    fn any_rule() -> impl Strategy<Value = Rule> {
        let names = |pattern| prop::option::of(prop::collection::vec(pattern, 0..3));
        let kinds = prop::option::of(prop::collection::vec(prop::sample::select(Kind::ALL.to_vec()), 1..3));
        (prop::collection::vec("[a-e]", 1..4), kinds, names("[xy]"), names("[pq]")).prop_map(|(to, kinds, sources, chatbots)| Rule {
            to,
            sources,
            kinds,
            chatbots,
            when: None,
        })
    }

    proptest! {
        #[test]
        fn every_destination_of_a_matching_route_is_there_once_in_first_seen_order(
            rules in prop::collection::vec(any_rule(), 0..8),
            kind in prop::sample::select(Kind::ALL.to_vec()),
            source in "[xyz]",
            chatbot in prop::option::of("[pqr]"),
        ) {
            let event = Event { chatbot_id: chatbot, ..event(kind, &source) };
            let matching = rules.iter().filter(|rule| {
                rule.kinds.as_ref().map_or(kind != Kind::Test, |kinds| kinds.contains(&kind))
                    && rule.sources.as_ref().is_none_or(|sources| sources.contains(&source))
                    && rule.chatbots.as_ref().is_none_or(|ids| event.chatbot_id.as_ref().is_some_and(|id| ids.contains(id)))
            });
            let mut expected: Vec<String> = Vec::new();
            matching.flat_map(|rule| &rule.to).for_each(|name| if !expected.contains(name) { expected.push(name.clone()) });
            prop_assert_eq!(Rules::new(rules).route(&event).destinations, expected);
        }

        #[test]
        fn no_text_makes_a_condition_panic(text in "[a-z.'\"()|+ 0-9~%]{0,40}") {
            if let Ok(condition) = Condition::compile(&text) {
                let _ = Rules::new(vec![Rule { when: Some(condition), ..to(&["crm"]) }]).route(&event(Kind::Lead, "acme"));
            }
        }
    }
}
