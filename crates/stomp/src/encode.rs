//! From frames to bytes.
//!
//! Writes nothing that a decoder of the same dialect would read as another frame: what cannot be written is
//! an error, and then nothing is written at all.

use bytes::{BufMut, Bytes, BytesMut};

use crate::dialect::{Dialect, Version};
use crate::frame::{Command, Frame};

/// Why a frame has no wire form. No header value is shown, since it may be a passcode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {command} frame cannot be written: {fault}")]
pub struct EncodeError {
    /// The frame.
    pub command: Command,
    /// What is wrong with it.
    pub fault: EncodeFault,
}

/// What is wrong with a frame that has no wire form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeFault {
    /// Only SEND, MESSAGE and ERROR carry a body.
    #[error("this command carries no body")]
    Body,
    /// A header without a name.
    #[error("a header has no name")]
    NoName,
    /// An octet that the version or the frame cannot hold: NUL anywhere, line ends where nothing is escaped,
    /// a carriage return in 1.1, a colon in the name of a header that is not escaped.
    #[error("header `{header}` holds `{octet}`, which this frame of STOMP {version} cannot express")]
    Octet {
        /// The name of the header, made printable.
        header: String,
        /// The octet, made printable.
        octet: String,
        /// The version in force.
        version: Version,
    },
}

/// Turns frames into bytes of one dialect.
#[derive(Debug, Clone, Copy)]
pub struct Encoder {
    dialect: Dialect,
}

impl Encoder {
    /// One end of line: a heart-beat.
    pub const HEART_BEAT: Bytes = Bytes::from_static(b"\n");

    /// An encoder of that dialect.
    #[must_use]
    pub const fn new(dialect: Dialect) -> Self {
        Self { dialect }
    }

    /// The version in force from the next frame on.
    pub fn set_version(&mut self, version: Version) {
        self.dialect.version = version;
    }

    /// Appends the frame to `out`. A body gets the `content-length` it has, whatever the headers say.
    ///
    /// # Errors
    /// [`EncodeError`] when the frame has no wire form; `out` is then as it was.
    pub fn encode(&self, frame: &Frame, out: &mut BytesMut) -> Result<(), EncodeError> {
        let start = out.len();
        let written = self.write(frame, out);
        if written.is_err() {
            out.truncate(start);
        }
        written.map_err(|fault| EncodeError { command: frame.command, fault })
    }

    fn write(&self, frame: &Frame, out: &mut BytesMut) -> Result<(), EncodeFault> {
        let Frame { command, headers, body } = frame;
        if !body.is_empty() && !command.may_have_body() {
            return Err(EncodeFault::Body);
        }
        out.reserve(body.len() + 64 * (headers.len() + 1));
        out.put_slice(command.as_str().as_bytes());
        out.put_u8(b'\n');
        for (name, value) in headers.iter().filter(|(name, _)| *name != "content-length") {
            if name.is_empty() {
                return Err(EncodeFault::NoName);
            }
            self.text(*command, name, true, name, out)?;
            out.put_u8(b':');
            self.text(*command, name, false, value, out)?;
            out.put_u8(b'\n');
        }
        if !body.is_empty() {
            out.put_slice(format!("content-length:{}\n", body.len()).as_bytes());
        }
        out.put_u8(b'\n');
        out.put_slice(body);
        out.put_u8(0);
        Ok(())
    }

    fn text(
        &self,
        command: Command,
        header: &str,
        is_name: bool,
        text: &str,
        out: &mut BytesMut,
    ) -> Result<(), EncodeFault> {
        let written = if self.dialect.escapes(command) {
            self.dialect.escape(text, out)
        } else {
            let forbidden = |octet: &u8| matches!(octet, b'\r' | b'\n' | 0) || (is_name && *octet == b':');
            out.put_slice(text.as_bytes());
            text.bytes().find(forbidden).map_or(Ok(()), Err)
        };
        written.map_err(|octet| EncodeFault::Octet {
            header: header.escape_default().to_string(),
            octet: octet.escape_ascii().to_string(),
            version: self.dialect.version,
        })
    }
}
