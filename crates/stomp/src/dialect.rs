//! What differs between versions and servers in the wire form: which escapes exist and which frames use them.
//!
//! Pure functions over bytes; used by the decoder and the encoder alike.

use std::borrow::Cow;
use std::fmt;

use crate::frame::Command;

/// A protocol version that both roles speak. 1.0 is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// STOMP 1.1: escapes `\n`, `\c`, `\\`; ACK names `message-id` and `subscription`.
    V1_1,
    /// STOMP 1.2: escapes also `\r`; ACK names the `ack` header of the message in `id`.
    V1_2,
}

impl Version {
    /// Every version, lowest first.
    pub const ALL: [Self; 2] = [Self::V1_1, Self::V1_2];

    /// As in `accept-version` and `version`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
        }
    }

    pub(crate) fn from_header(value: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == value.trim())
    }

    /// The list for `accept-version`, lowest first.
    pub(crate) fn list(versions: &[Self]) -> String {
        let mut sorted = versions.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        sorted.into_iter().map(Self::as_str).collect::<Vec<_>>().join(",")
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which frames have escape sequences in their headers.
///
/// It matters for a login or passcode that contains a backslash or a colon, and nowhere else: one written by
/// one rule and read by the other is another passcode, or a malformed frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Escaping {
    /// All but CONNECT, STOMP and CONNECTED, whose headers are taken as they stand (STOMP 1.2, "Value
    /// Encoding"). Such headers cannot hold a line end.
    #[default]
    Standard,
    /// All: what RabbitMQ does in both directions. A client that follows the standard, such as `stomp.py` 9,
    /// cannot log in there with a backslash in its passcode.
    EveryFrame,
}

/// The version in force and the escape rule of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// The version; 1.2 until one is negotiated.
    pub version: Version,
    /// Which frames have escapes.
    pub escaping: Escaping,
}

impl Default for Dialect {
    fn default() -> Self {
        Self::new(Escaping::Standard)
    }
}

impl Dialect {
    /// Version 1.2 with that escape rule.
    #[must_use]
    pub const fn new(escaping: Escaping) -> Self {
        Self { version: Version::V1_2, escaping }
    }

    /// Whether headers of this command are escaped.
    #[must_use]
    pub const fn escapes(self, command: Command) -> bool {
        match self.escaping {
            Escaping::EveryFrame => true,
            Escaping::Standard => !matches!(command, Command::Connect | Command::Stomp | Command::Connected),
        }
    }

    /// The octet that the escape sequence `\letter` stands for.
    const fn escaped(self, letter: u8) -> Option<u8> {
        match (letter, self.version) {
            (b'n', _) => Some(b'\n'),
            (b'c', _) => Some(b':'),
            (b'\\', _) => Some(b'\\'),
            (b'r', Version::V1_2) => Some(b'\r'),
            _ => None,
        }
    }

    /// Undoes the escapes of one header name or value.
    ///
    /// # Errors
    /// The letter behind the backslash when the sequence is unknown, `None` when nothing is behind it.
    pub(crate) fn unescape(self, raw: &[u8]) -> Result<Cow<'_, [u8]>, Option<u8>> {
        let Some(first) = memchr::memchr(b'\\', raw) else {
            return Ok(Cow::Borrowed(raw));
        };
        let (plain, rest) = raw.split_at(first);
        let mut text = Vec::with_capacity(raw.len());
        text.extend_from_slice(plain);
        let mut octets = rest.iter().copied();
        while let Some(octet) = octets.next() {
            if octet == b'\\' {
                let letter = octets.next().ok_or(None)?;
                text.push(self.escaped(letter).ok_or(Some(letter))?);
            } else {
                text.push(octet);
            }
        }
        Ok(Cow::Owned(text))
    }

    /// Writes one header name or value with escapes.
    ///
    /// # Errors
    /// The octet that has no escape sequence in this version: a carriage return in 1.1.
    pub(crate) fn escape(self, text: &str, out: &mut impl bytes::BufMut) -> Result<(), u8> {
        for octet in text.bytes() {
            match octet {
                b'\n' => out.put_slice(b"\\n"),
                b':' => out.put_slice(b"\\c"),
                b'\\' => out.put_slice(b"\\\\"),
                b'\r' if self.version == Version::V1_1 => return Err(octet),
                b'\r' => out.put_slice(b"\\r"),
                0 => return Err(octet),
                _ => out.put_u8(octet),
            }
        }
        Ok(())
    }
}
