//! From bytes to frames, incrementally and in linear time.
//!
//! Bytes may arrive cut anywhere: each octet is looked at once for its line end or NUL, however small the
//! pieces. May not block, read a clock, or panic on any input.

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr, memchr2};

use crate::dialect::{Dialect, Version};
use crate::frame::{Command, Frame, Headers};

/// The longest command line that is waited for: longer than every command, short enough to tell at once that
/// the peer speaks TLS or HTTP.
const COMMAND_LINE: usize = 32;

/// How much of a faulty line an error shows, in octets.
const SHOWN: usize = 32;

/// What a peer may ask of our memory; whatever exceeds it is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Headers of one frame.
    pub headers: usize,
    /// Octets of one header line, as on the wire, without the line feed.
    pub line: usize,
    /// Octets of one body.
    pub body: usize,
}

impl Default for Limits {
    /// 256 headers, 16 KiB a line (a passcode can be a long signed token), 16 MiB a body.
    fn default() -> Self {
        Self { headers: 256, line: 16 << 10, body: 16 << 20 }
    }
}

/// What the decoder found next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A whole frame.
    Frame(Frame),
    /// One end of line between frames: a heart-beat, or the line end that a peer puts behind a frame.
    HeartBeat,
}

/// Why a stream of bytes is not STOMP. Final: the decoder gives the same error for ever after.
///
/// No header value is shown, since it may be a passcode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The line where a command belongs is none; the peer speaks something else, or framing was lost.
    #[error("not a STOMP command: `{line}`")]
    UnknownCommand {
        /// The first octets of the line, made printable.
        line: String,
    },
    /// A header line has more octets than allowed.
    #[error("a header line of the {command} frame has more than {limit} octets")]
    LineTooLong {
        /// The frame.
        command: Command,
        /// [`Limits::line`].
        limit: usize,
    },
    /// The frame has more headers than allowed.
    #[error("the {command} frame has more than {limit} headers")]
    TooManyHeaders {
        /// The frame.
        command: Command,
        /// [`Limits::headers`].
        limit: usize,
    },
    /// The body is larger than allowed, by its `content-length` or by what arrived without a NUL.
    #[error("the body of the {command} frame has more than {limit} octets")]
    BodyTooLarge {
        /// The frame.
        command: Command,
        /// [`Limits::body`].
        limit: usize,
    },
    /// A header line is not one.
    #[error("header {number} of the {command} frame {fault}")]
    Header {
        /// The frame.
        command: Command,
        /// The place of the header in the frame, counted from 1.
        number: usize,
        /// What is wrong with it.
        fault: HeaderFault,
    },
    /// `content-length` is not a number of octets.
    #[error("the content-length of the {command} frame is not a number: `{value}`")]
    ContentLength {
        /// The frame.
        command: Command,
        /// The first octets of the value, made printable.
        value: String,
    },
    /// The octet behind the body is not the NUL that ends a frame, so `content-length` is wrong.
    #[error("the {command} frame does not end after the {length} octets of its content-length")]
    MissingNul {
        /// The frame.
        command: Command,
        /// The value of `content-length`.
        length: usize,
    },
}

/// What is wrong with a header line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// No colon separates name and value.
    #[error("has no colon")]
    NoColon,
    /// The name is empty.
    #[error("has no name")]
    NoName,
    /// Name or value is not UTF-8.
    #[error("is not UTF-8")]
    NotUtf8,
    /// The frame ended inside its headers.
    #[error("contains a NUL: the frame ended before the empty line that ends its headers")]
    Nul,
    /// A backslash starts no escape sequence of the version in force.
    #[error("has an escape sequence that STOMP {version} does not know: `{sequence}`")]
    Escape {
        /// The version in force.
        version: Version,
        /// Backslash and what follows it, made printable.
        sequence: String,
    },
}

enum State {
    Between,
    Headers { command: Command, headers: Headers },
    SizedBody { command: Command, headers: Headers, length: usize },
    NulBody { command: Command, headers: Headers },
    Failed(DecodeError),
}

/// Turns bytes into frames and heart-beats.
///
/// Take everything out with [`Decoder::decode`] after each [`Decoder::feed`]: what is fed is kept until then.
/// No `Debug`, since a passcode may be among it.
pub struct Decoder {
    dialect: Dialect,
    limits: Limits,
    buffer: BytesMut,
    /// Octets at the start of `buffer` known to hold no line end or NUL that matters.
    scanned: usize,
    state: State,
}

impl Decoder {
    /// A decoder between two frames.
    #[must_use]
    pub fn new(dialect: Dialect, limits: Limits) -> Self {
        Self { dialect, limits, buffer: BytesMut::new(), scanned: 0, state: State::Between }
    }

    /// The version in force from the next frame on. Bytes that are fed but not decoded count as next.
    pub fn set_version(&mut self, version: Version) {
        self.dialect.version = version;
    }

    /// Takes bytes as they arrived. After an error they are dropped.
    pub fn feed(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Failed(_)) {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// Whether a frame has begun and not ended: an end of the connection now cuts it.
    #[must_use]
    pub fn is_inside_frame(&self) -> bool {
        match self.state {
            State::Between => !self.buffer.is_empty(),
            State::Headers { .. } | State::SizedBody { .. } | State::NulBody { .. } => true,
            State::Failed(_) => false,
        }
    }

    /// The next frame or heart-beat; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not STOMP or exceed the limits, now and for ever after.
    pub fn decode(&mut self) -> Result<Option<Input>, DecodeError> {
        let found = self.advance();
        if let Err(error) = &found {
            self.state = State::Failed(error.clone());
            self.buffer = BytesMut::new();
        }
        found
    }

    fn advance(&mut self) -> Result<Option<Input>, DecodeError> {
        loop {
            // Each step either puts the next state back or, when it needs more bytes, the state it had.
            match std::mem::replace(&mut self.state, State::Between) {
                State::Failed(error) => return Err(error),
                State::Between => {
                    if self.take_line_end() {
                        return Ok(Some(Input::HeartBeat));
                    }
                    match self.take_command()? {
                        None => return Ok(None),
                        Some(command) => self.state = State::Headers { command, headers: Headers::new() },
                    }
                }
                State::Headers { command, mut headers } => {
                    let Some(line) = self.take_header_line(command, headers.len())? else {
                        self.state = State::Headers { command, headers };
                        return Ok(None);
                    };
                    self.state = if line.is_empty() {
                        self.body_of(command, headers)?
                    } else {
                        self.read_header(command, &line, &mut headers)?;
                        State::Headers { command, headers }
                    };
                }
                State::SizedBody { command, headers, length } => {
                    let Some(body) = self.take_sized_body(command, length)? else {
                        self.state = State::SizedBody { command, headers, length };
                        return Ok(None);
                    };
                    return Ok(Some(Input::Frame(Frame { command, headers, body })));
                }
                State::NulBody { command, headers } => {
                    let Some(body) = self.take_nul_body(command)? else {
                        self.state = State::NulBody { command, headers };
                        return Ok(None);
                    };
                    return Ok(Some(Input::Frame(Frame { command, headers, body })));
                }
            }
        }
    }

    fn take_line_end(&mut self) -> bool {
        let length = match *self.buffer {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            _ => return false,
        };
        self.buffer.advance(length);
        true
    }

    fn take_command(&mut self) -> Result<Option<Command>, DecodeError> {
        let window = self.buffer.get(..COMMAND_LINE).unwrap_or(&self.buffer);
        let Some(end) = memchr2(b'\n', 0, window) else {
            return if window.len() < COMMAND_LINE { Ok(None) } else { Err(unknown_command(window)) };
        };
        let line = window.get(..end).unwrap_or_default();
        let word = line.strip_suffix(b"\r").unwrap_or(line);
        match Command::from_bytes(word) {
            Some(command) if window.get(end) == Some(&b'\n') => {
                self.buffer.advance(end + 1);
                self.scanned = 0;
                Ok(Some(command))
            }
            _ => Err(unknown_command(window.get(..=end).unwrap_or_default())),
        }
    }

    /// The next header line without its line end; empty at the end of the headers.
    fn take_header_line(&mut self, command: Command, before: usize) -> Result<Option<BytesMut>, DecodeError> {
        let limit = self.limits.line;
        let unseen = self.buffer.get(self.scanned..).unwrap_or_default();
        let found = memchr2(b'\n', 0, unseen).map(|offset| self.scanned + offset);
        if found.unwrap_or(self.buffer.len()) > limit {
            return Err(DecodeError::LineTooLong { command, limit });
        }
        let Some(end) = found else {
            self.scanned = self.buffer.len();
            return Ok(None);
        };
        if self.buffer.get(end) == Some(&0) {
            return Err(DecodeError::Header { command, number: before + 1, fault: HeaderFault::Nul });
        }
        let mut line = self.buffer.split_to(end);
        self.buffer.advance(1);
        self.scanned = 0;
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        Ok(Some(line))
    }

    fn read_header(&self, command: Command, line: &[u8], headers: &mut Headers) -> Result<(), DecodeError> {
        if headers.len() >= self.limits.headers {
            return Err(DecodeError::TooManyHeaders { command, limit: self.limits.headers });
        }
        let number = headers.len() + 1;
        let at = |fault| DecodeError::Header { command, number, fault };
        let colon = memchr(b':', line).ok_or_else(|| at(HeaderFault::NoColon))?;
        if colon == 0 {
            return Err(at(HeaderFault::NoName));
        }
        let name = self.text(command, line.get(..colon).unwrap_or_default()).map_err(at)?;
        let value = self.text(command, line.get(colon + 1..).unwrap_or_default()).map_err(at)?;
        headers.push(name, value);
        Ok(())
    }

    fn text(&self, command: Command, raw: &[u8]) -> Result<String, HeaderFault> {
        let octets = if self.dialect.escapes(command) {
            self.dialect.unescape(raw).map_err(|letter| HeaderFault::Escape {
                version: self.dialect.version,
                sequence: format!("\\{}", letter.as_slice().escape_ascii()),
            })?
        } else {
            raw.into()
        };
        String::from_utf8(octets.into_owned()).map_err(|_| HeaderFault::NotUtf8)
    }

    fn body_of(&self, command: Command, headers: Headers) -> Result<State, DecodeError> {
        let Some(value) = headers.get("content-length") else {
            return Ok(State::NulBody { command, headers });
        };
        let digits = value.trim_matches(' ');
        let number = digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse::<u64>().ok());
        let Some(length) = number.flatten() else {
            return Err(DecodeError::ContentLength { command, value: shown(value.as_bytes()) });
        };
        match usize::try_from(length) {
            Ok(length) if length <= self.limits.body => Ok(State::SizedBody { command, headers, length }),
            _ => Err(DecodeError::BodyTooLarge { command, limit: self.limits.body }),
        }
    }

    fn take_sized_body(&mut self, command: Command, length: usize) -> Result<Option<Bytes>, DecodeError> {
        match self.buffer.get(length) {
            None => Ok(None),
            Some(0) => Ok(Some(self.take_body(length))),
            Some(_) => Err(DecodeError::MissingNul { command, length }),
        }
    }

    fn take_nul_body(&mut self, command: Command) -> Result<Option<Bytes>, DecodeError> {
        let unseen = self.buffer.get(self.scanned..).unwrap_or_default();
        let found = memchr(0, unseen).map(|offset| self.scanned + offset);
        if found.unwrap_or(self.buffer.len()) > self.limits.body {
            return Err(DecodeError::BodyTooLarge { command, limit: self.limits.body });
        }
        self.scanned = self.buffer.len();
        Ok(found.map(|end| self.take_body(end)))
    }

    fn take_body(&mut self, length: usize) -> Bytes {
        let body = self.buffer.split_to(length).freeze();
        self.buffer.advance(1);
        self.scanned = 0;
        body
    }
}

fn unknown_command(line: &[u8]) -> DecodeError {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    DecodeError::UnknownCommand { line: shown(line.strip_suffix(b"\r").unwrap_or(line)) }
}

fn shown(octets: &[u8]) -> String {
    octets.get(..SHOWN).unwrap_or(octets).escape_ascii().to_string()
}
