//! What a frame is: command, headers, body, and the small values that headers hold.
//!
//! Knows nothing of the wire form. Nothing here prints the value of a `passcode` header or a body.

use std::fmt;

use bytes::Bytes;

/// The commands of STOMP 1.1 and 1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Command {
    /// Opens a session; the same as [`Command::Connect`], but not to be mistaken for an HTTP `CONNECT`.
    Stomp,
    /// Opens a session.
    Connect,
    /// The server accepted the session.
    Connected,
    /// A client publishes a message.
    Send,
    /// A client asks for the messages of a destination.
    Subscribe,
    /// A client ends a subscription.
    Unsubscribe,
    /// A client has dealt with a message.
    Ack,
    /// A client will not deal with a message.
    Nack,
    /// Starts a transaction.
    Begin,
    /// Commits a transaction.
    Commit,
    /// Drops a transaction.
    Abort,
    /// A client ends the session.
    Disconnect,
    /// The server delivers a message.
    Message,
    /// The server has processed a frame that asked for a receipt.
    Receipt,
    /// The server refuses; it closes the connection after it.
    Error,
}

impl Command {
    /// Every command, in the order of the enum.
    pub const ALL: [Self; 15] = [
        Self::Stomp,
        Self::Connect,
        Self::Connected,
        Self::Send,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Ack,
        Self::Nack,
        Self::Begin,
        Self::Commit,
        Self::Abort,
        Self::Disconnect,
        Self::Message,
        Self::Receipt,
        Self::Error,
    ];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stomp => "STOMP",
            Self::Connect => "CONNECT",
            Self::Connected => "CONNECTED",
            Self::Send => "SEND",
            Self::Subscribe => "SUBSCRIBE",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::Ack => "ACK",
            Self::Nack => "NACK",
            Self::Begin => "BEGIN",
            Self::Commit => "COMMIT",
            Self::Abort => "ABORT",
            Self::Disconnect => "DISCONNECT",
            Self::Message => "MESSAGE",
            Self::Receipt => "RECEIPT",
            Self::Error => "ERROR",
        }
    }

    /// The command of that word; case matters.
    #[must_use]
    pub fn from_bytes(word: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|command| command.as_str().as_bytes() == word)
    }

    /// Only SEND, MESSAGE and ERROR carry a body (STOMP 1.2, "Body").
    #[must_use]
    pub const fn may_have_body(self) -> bool {
        matches!(self, Self::Send | Self::Message | Self::Error)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Headers in the order of the wire. Of repeated names the first one counts (STOMP 1.2, "Repeated Header
/// Entries"); the others are kept and can be iterated.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// No headers.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The value of the first header of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find_map(|(key, value)| (key == name).then_some(value))
    }

    /// Adds a header at the end; an earlier one of the same name keeps precedence.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// Names and values in order, repeated ones included.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How many headers there are, repeated ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        Self(headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| {
                (name, if name.eq_ignore_ascii_case("passcode") { "(not shown)" } else { value })
            }))
            .finish()
    }
}

/// One frame. `Debug` shows neither the passcode nor the body, only the body's size.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// What the frame asks for or says.
    pub command: Command,
    /// Headers, unescaped. A decoded frame keeps its `content-length`; the encoder writes its own.
    pub headers: Headers,
    /// The body, without the NUL that ends the frame.
    pub body: Bytes,
}

impl Frame {
    /// A frame without headers or body.
    #[must_use]
    pub const fn new(command: Command) -> Self {
        Self { command, headers: Headers::new(), body: Bytes::new() }
    }

    /// The frame with one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// The frame with one more header where there is a value.
    #[must_use]
    pub fn header_if(self, name: &str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.header(name, value),
            None => self,
        }
    }

    /// The frame with these headers behind its own.
    #[must_use]
    pub fn with_headers(mut self, headers: Headers) -> Self {
        self.headers.0.extend(headers.0);
        self
    }

    /// The frame with this body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The value of the first header of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, headers, body } = self;
        write!(f, "{command} {headers:?} +{} body bytes", body.len())
    }
}

/// How messages of a subscription are acknowledged (STOMP 1.2, "SUBSCRIBE ack Header").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AckMode {
    /// Not at all: the server forgets a message when it has sent it.
    #[default]
    Auto,
    /// Each acknowledgement covers all earlier messages of the subscription.
    Client,
    /// Each acknowledgement covers one message.
    ClientIndividual,
}

impl AckMode {
    /// The value of the `ack` header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Client => "client",
            Self::ClientIndividual => "client-individual",
        }
    }

    pub(crate) fn from_header(value: Option<&str>) -> Option<Self> {
        match value {
            None | Some("auto") => Some(Self::Auto),
            Some("client") => Some(Self::Client),
            Some("client-individual") => Some(Self::ClientIndividual),
            Some(_) => None,
        }
    }
}

/// A password on its way into or out of a frame. It has neither `Debug` nor `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Passcode(String);

impl Passcode {
    /// Takes the password.
    #[must_use]
    pub fn new(passcode: impl Into<String>) -> Self {
        Self(passcode.into())
    }

    /// The password in clear text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// The value of a `receipt` header, which a RECEIPT frame repeats as `receipt-id`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReceiptId(pub(crate) String);

impl ReceiptId {
    /// The value on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReceiptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
