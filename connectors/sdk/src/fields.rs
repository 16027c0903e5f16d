//! The fields of a record on their way to a service that may not take all of them. What is not written is not lost: it is remembered
//! with its reason, for the note to carry and the receipt to tell.
//!
//! ```
//! use leadwire_connector::fields::{Fields, Reason};
//!
//! #[derive(Clone, Copy, PartialEq)]
//! enum Why {
//!     Refused,
//!     Kept,
//! }
//!
//! impl Reason for Why {
//!     const ALL: &'static [Self] = &[Self::Refused, Self::Kept];
//!
//!     fn note(self) -> &'static str {
//!         match self {
//!             Self::Refused => "not accepted as a field",
//!             Self::Kept => "the contact has another value, which was kept",
//!         }
//!     }
//!
//!     fn remark(self) -> &'static str {
//!         match self {
//!             Self::Refused => "Acme did not accept these fields",
//!             Self::Kept => "the contact has other values, which were kept",
//!         }
//!     }
//! }
//!
//! let mut fields = Fields::new([("color", "blue"), ("city", "Bonn")].map(|(name, value)| (name.to_owned(), value.to_owned())).into());
//! assert!(fields.leave_out(&["color"], Why::Refused));
//! fields.note(&["city"], Why::Kept);
//! assert_eq!(fields.all(), [("city", "Bonn")]);
//! let lines: Vec<String> = fields.left_out().iter().map(|field| field.line()).collect();
//! assert_eq!(lines[0], "color (not accepted as a field): blue");
//! assert_eq!(fields.remarks()[1], "the contact has other values, which were kept: city");
//! ```

/// Why a field is not written, each in two wordings.
pub trait Reason: Copy + PartialEq + 'static {
    /// All of them, in the order in which a receipt tells them.
    const ALL: &'static [Self];

    /// What a note says behind the name of the field, before its value.
    fn note(self) -> &'static str;

    /// What a receipt says before the names of the fields. Receipts have no values.
    fn remark(self) -> &'static str;

    /// What a receipt says of these fields; nothing when there are none.
    fn told(self, names: &[&str]) -> Option<String> {
        (!names.is_empty()).then(|| format!("{}: {}", self.remark(), names.join(", ")))
    }
}

/// A field that is not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut<Why> {
    /// Its name at the service.
    pub name: String,
    /// What the event gave.
    pub value: String,
    /// Why it is not written.
    pub why: Why,
}

impl<Why: Reason> LeftOut<Why> {
    /// As a note tells it.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} ({}): {}", self.name, self.why.note(), self.value)
    }
}

/// The fields of a record, as [templates](crate::mapping::FieldMap::render) filled them.
#[derive(Debug, Clone)]
pub struct Fields<Why> {
    fields: Vec<(String, String)>,
    left_out: Vec<LeftOut<Why>>,
}

impl<Why: Reason> Fields<Why> {
    /// Names and values, all of which are to be written.
    #[must_use]
    pub fn new(fields: Vec<(String, String)>) -> Self {
        Self { fields, left_out: Vec::new() }
    }

    /// Adds a field that the connector fills itself, unless a template filled it.
    pub fn add(&mut self, name: &str, value: &str) {
        if self.value(name).is_none() {
            self.fields.push((name.to_owned(), value.to_owned()));
        }
    }

    /// The value of a field, unless it was left out.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Every field that was not left out.
    #[must_use]
    pub fn all(&self) -> Vec<(&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// Takes these fields away. False when none of them is here.
    pub fn leave_out<S: AsRef<str>>(&mut self, names: &[S], why: Why) -> bool {
        let before = self.fields.len();
        for name in names.iter().map(AsRef::as_ref) {
            if let Some(index) = self.fields.iter().position(|(known, _)| known == name) {
                let (name, value) = self.fields.remove(index);
                self.left_out.retain(|field| field.name != name);
                self.left_out.push(LeftOut { name, value, why });
            }
        }
        self.fields.len() < before
    }

    /// Notes fields that are here, and that the record in the service has otherwise. A field is noted once.
    pub fn note<S: AsRef<str>>(&mut self, names: &[S], why: Why) {
        for name in names.iter().map(AsRef::as_ref) {
            let is_known = self.left_out.iter().any(|field| field.name == name);
            if let (false, Some(value)) = (is_known, self.value(name)) {
                self.left_out.push(LeftOut { name: name.to_owned(), value: value.to_owned(), why });
            }
        }
    }

    /// Takes back what was [noted](Self::note) for this reason, for the sake of another record.
    pub fn take_back(&mut self, why: Why) {
        self.left_out.retain(|field| field.why != why);
    }

    /// What is not written, in the order in which that was found out.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut<Why>] {
        &self.left_out
    }

    /// The names of what is not written for this reason.
    #[must_use]
    pub fn left_out_for(&self, why: Why) -> Vec<&str> {
        self.left_out.iter().filter(|field| field.why == why).map(|field| field.name.as_str()).collect()
    }

    /// Whether a field is not written for this reason.
    #[must_use]
    pub fn is_left_out_for(&self, name: &str, why: Why) -> bool {
        self.left_out_for(why).contains(&name)
    }

    /// What a person should know of it, for [`Receipt::with_remarks`](crate::Receipt::with_remarks).
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        Why::ALL.iter().filter_map(|why| why.told(&self.left_out_for(*why))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Why {
        Refused,
        Kept,
    }

    impl Reason for Why {
        const ALL: &'static [Self] = &[Self::Refused, Self::Kept];

        fn note(self) -> &'static str {
            "note"
        }

        fn remark(self) -> &'static str {
            "remark"
        }
    }

    fn fields() -> Fields<Why> {
        Fields::new([("a", "1"), ("b", "2")].map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }

    #[test]
    fn a_field_is_left_out_once_and_for_the_last_reason() {
        let mut fields = fields();
        fields.note(&["a", "nonsense"], Why::Kept);
        fields.note(&["a"], Why::Refused);
        assert_eq!((fields.left_out_for(Why::Kept), fields.all().len()), (vec!["a"], 2));
        assert!(fields.leave_out(&["a", "nonsense"], Why::Refused) && !fields.leave_out(&["a"], Why::Refused));
        assert_eq!((fields.left_out().len(), fields.value("a")), (1, None));
        assert_eq!(fields.remarks(), ["remark: a"]);
    }

    #[test]
    fn what_was_noted_is_taken_back_and_what_templates_filled_stays() {
        let mut fields = fields();
        fields.note(&["b"], Why::Kept);
        fields.take_back(Why::Kept);
        assert!(fields.left_out().is_empty() && fields.remarks().is_empty());
        fields.add("a", "other");
        fields.add("c", "3");
        assert_eq!(fields.all(), [("a", "1"), ("b", "2"), ("c", "3")]);
    }
}
