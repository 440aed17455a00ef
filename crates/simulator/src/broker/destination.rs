//! Names of destinations as RabbitMQ's STOMP adapter reads them, and the match of topics. Pure.

use std::fmt;

/// Where a SEND goes to or a SUBSCRIBE listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// `/amq/queue/NAME`: a queue that must exist and is never made by a client.
    Declared(String),
    /// `/queue/NAME`: a queue that is made when first named.
    Queue(String),
    /// `/topic/KEY`: a copy for each subscriber of a matching key.
    Topic(String),
}

impl Destination {
    /// `None` for what is no destination here; `/exchange` and the reply queues are not played.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (make, name) = if let Some(name) = text.strip_prefix("/amq/queue/") {
            (Self::Declared as fn(String) -> Self, name)
        } else if let Some(name) = text.strip_prefix("/queue/") {
            (Self::Queue as fn(String) -> Self, name)
        } else {
            (Self::Topic as fn(String) -> Self, text.strip_prefix("/topic/")?)
        };
        (!name.is_empty()).then(|| make(name.to_owned()))
    }
}

/// As the `destination` header of a MESSAGE says it: a declared queue is named like any other.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Declared(name) | Self::Queue(name) => write!(f, "/queue/{name}"),
            Self::Topic(key) => write!(f, "/topic/{key}"),
        }
    }
}

/// Whether a topic's key falls under a subscriber's pattern: `*` is one word, `#` any number of them.
pub(super) fn topic_matches(pattern: &str, key: &str) -> bool {
    let (pattern, key): (Vec<&str>, Vec<&str>) = (pattern.split('.').collect(), key.split('.').collect());
    words_match(&pattern, &key)
}

fn words_match(pattern: &[&str], key: &[&str]) -> bool {
    match (pattern.split_first(), key.split_first()) {
        (None, None) => true,
        (Some((&"#", rest)), _) => (0..=key.len()).any(|taken| words_match(rest, &key[taken..])),
        (Some((&"*", rest)), Some((_, words))) => words_match(rest, words),
        (Some((wanted, rest)), Some((word, words))) => wanted == word && words_match(rest, words),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_says_what_kind_of_destination_it_is() {
        assert_eq!(Destination::parse("/amq/queue/a/b"), Some(Destination::Declared("a/b".to_owned())));
        assert_eq!(Destination::parse("/queue/a"), Some(Destination::Queue("a".to_owned())));
        assert_eq!(Destination::parse("/topic/a.b"), Some(Destination::Topic("a.b".to_owned())));
        for nothing in ["", "a", "/queue/", "/exchange/a/b", "queue/a"] {
            assert_eq!(Destination::parse(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn topics_match_by_words() {
        for (pattern, key, matches) in [
            ("a.b", "a.b", true),
            ("a.b", "a.c", false),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", false),
            ("a.#", "a", true),
            ("a.#", "a.b.c", true),
            ("#.c", "a.b.c", true),
            ("#", "a", true),
            ("*", "a.b", false),
        ] {
            assert_eq!(topic_matches(pattern, key), matches, "{pattern} on {key}");
        }
    }
}
