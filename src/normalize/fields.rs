//! The names of fields, by which brands differ: in case, spaces, `_` and `-`, and in translation.

/// What a field means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    ChatbotId,
    Type,
    FirstName,
    LastName,
    /// A person's full name, or in a chat log the chatbot's.
    Name,
    Email,
    Phone,
    CreatedAt,
    Content,
    SessionId,
    Page,
    StartTime,
    EndTime,
    Collection,
    Conversations,
    Messages,
    Test,
}

/// Names in lower case without spaces, `_` and `-`. The first of each is the platform's own; `idsession` is in neoagent's pages.
const NAMES: [(&str, Field); 41] = [
    ("serialnumber", Field::ChatbotId),
    ("chatbotid", Field::ChatbotId),
    ("botid", Field::ChatbotId),
    ("type", Field::Type),
    ("firstname", Field::FirstName),
    ("givenname", Field::FirstName),
    ("lastname", Field::LastName),
    ("surname", Field::LastName),
    ("familyname", Field::LastName),
    ("name", Field::Name),
    ("fullname", Field::Name),
    ("email", Field::Email),
    ("emailaddress", Field::Email),
    ("mail", Field::Email),
    ("phonenumber", Field::Phone),
    ("phone", Field::Phone),
    ("telephone", Field::Phone),
    ("mobile", Field::Phone),
    ("mobilenumber", Field::Phone),
    ("mobilephone", Field::Phone),
    ("createtime", Field::CreatedAt),
    ("createdtime", Field::CreatedAt),
    ("createdat", Field::CreatedAt),
    ("creationtime", Field::CreatedAt),
    ("content", Field::Content),
    ("remark", Field::Content),
    ("remarks", Field::Content),
    ("sessionid", Field::SessionId),
    ("idsession", Field::SessionId),
    ("session", Field::SessionId),
    ("uri", Field::Page),
    ("url", Field::Page),
    ("sourceuri", Field::Page),
    ("sourceurl", Field::Page),
    ("pageurl", Field::Page),
    ("starttime", Field::StartTime),
    ("endtime", Field::EndTime),
    ("collection", Field::Collection),
    ("conversations", Field::Conversations),
    ("messages", Field::Messages),
    ("test", Field::Test),
];

/// Longer than any name above with a separator between every two letters.
const NAME_MOST: usize = 40;

impl Field {
    /// The meaning of a field of that name, if it has one.
    pub(super) fn of(name: &str) -> Option<Self> {
        if name.len() > NAME_MOST {
            return None;
        }
        let is_letter = |letter: &char| !matches!(letter, ' ' | '_' | '-');
        let plain: String = name.chars().filter(is_letter).map(|letter| letter.to_ascii_lowercase()).collect();
        NAMES.iter().find(|(known, _)| *known == plain).map(|(_, field)| *field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_spaces_and_separators_do_not_matter() {
        for name in ["SessionID", "session_id", "session-id", "Session ID", "ID session", "sessionId", "SESSIONID"] {
            assert_eq!(Field::of(name), Some(Field::SessionId), "{name}");
        }
        assert_eq!(Field::of("Phone Number"), Some(Field::Phone));
        assert_eq!(Field::of("Session"), Some(Field::SessionId));
    }

    #[test]
    fn other_names_mean_nothing() {
        for name in ["", "SessionIDs", "Company", "é-mail", &"e".repeat(1_000_000)] {
            assert_eq!(Field::of(name), None);
        }
    }
}
