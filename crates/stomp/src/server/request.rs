//! From the frames of a client to what it asks for.

use crate::dialect::Version;
use crate::frame::{AckMode, Command, Frame};

use super::event::{AckTarget, Request, ServerError};

impl Request {
    pub(super) fn from_frame(frame: Frame, version: Version) -> Result<Self, ServerError> {
        Ok(match frame.command {
            Command::Subscribe => Self::subscribe(frame)?,
            Command::Unsubscribe => Self::Unsubscribe { id: required(&frame, "id")? },
            Command::Send => Self::Send {
                destination: required(&frame, "destination")?,
                transaction: optional(&frame, "transaction"),
                headers: frame.headers,
                body: frame.body,
            },
            Command::Ack => Self::Ack {
                target: AckTarget::from_frame(&frame, version)?,
                transaction: optional(&frame, "transaction"),
            },
            Command::Nack => Self::Nack {
                target: AckTarget::from_frame(&frame, version)?,
                transaction: optional(&frame, "transaction"),
            },
            Command::Begin => Self::Begin { transaction: required(&frame, "transaction")? },
            Command::Commit => Self::Commit { transaction: required(&frame, "transaction")? },
            Command::Abort => Self::Abort { transaction: required(&frame, "transaction")? },
            Command::Disconnect => Self::Disconnect,
            command @ (Command::Stomp
            | Command::Connect
            | Command::Connected
            | Command::Message
            | Command::Receipt
            | Command::Error) => return Err(ServerError::Unexpected { command }),
        })
    }

    fn subscribe(frame: Frame) -> Result<Self, ServerError> {
        let invalid = |header| ServerError::InvalidHeader { command: frame.command, header };
        let ack = AckMode::from_header(frame.get("ack")).ok_or_else(|| invalid("ack"))?;
        let prefetch = frame.get("prefetch-count").map(str::parse).transpose();
        Ok(Self::Subscribe {
            id: required(&frame, "id")?,
            destination: required(&frame, "destination")?,
            ack,
            prefetch: prefetch.map_err(|_| invalid("prefetch-count"))?,
            headers: frame.headers,
        })
    }
}

impl AckTarget {
    fn from_frame(frame: &Frame, version: Version) -> Result<Self, ServerError> {
        Ok(match version {
            Version::V1_1 => Self::Message {
                subscription: required(frame, "subscription")?,
                message_id: required(frame, "message-id")?,
            },
            Version::V1_2 => Self::Id(required(frame, "id")?),
        })
    }
}

fn optional(frame: &Frame, header: &str) -> Option<String> {
    frame.get(header).map(str::to_owned)
}

fn required(frame: &Frame, header: &'static str) -> Result<String, ServerError> {
    optional(frame, header).ok_or(ServerError::MissingHeader { command: frame.command, header })
}
