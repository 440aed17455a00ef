//! What both roles have below their conversation: decoder, encoder, the queue of bytes to send, heart-beats.
//!
//! Private to the roles; knows no frame's meaning.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::decode::{DecodeError, Decoder, Input, Limits};
use crate::dialect::{Dialect, Escaping, Version};
use crate::encode::{EncodeError, Encoder};
use crate::frame::Frame;
use crate::heart_beat::{AgreedHeartBeat, HeartBeatTimer};

pub(crate) struct Wire {
    decoder: Decoder,
    encoder: Encoder,
    outgoing: VecDeque<Bytes>,
    timer: HeartBeatTimer,
    silent_for: Option<Duration>,
}

impl Wire {
    pub(crate) fn new(escaping: Escaping, limits: Limits, tolerance_percent: u32, now: Duration) -> Self {
        let dialect = Dialect::new(escaping);
        Self {
            decoder: Decoder::new(dialect, limits),
            encoder: Encoder::new(dialect),
            outgoing: VecDeque::new(),
            timer: HeartBeatTimer::new(tolerance_percent, now),
            silent_for: None,
        }
    }

    pub(crate) fn agree(&mut self, version: Version, heart_beat: AgreedHeartBeat) {
        self.decoder.set_version(version);
        self.encoder.set_version(version);
        self.timer.agree(heart_beat);
    }

    /// A server takes its time to accept; only from then on does the client owe heart-beats.
    pub(crate) fn expect_from(&mut self, now: Duration) {
        self.timer.received(now);
    }

    pub(crate) const fn agreed(&self) -> AgreedHeartBeat {
        self.timer.agreed()
    }

    pub(crate) fn receive(&mut self, now: Duration, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.timer.received(now);
            self.decoder.feed(bytes);
        }
    }

    /// The next frame; heart-beats have done their work when they arrived.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        loop {
            match self.decoder.decode()? {
                Some(Input::HeartBeat) => {}
                Some(Input::Frame(frame)) => return Ok(Some(frame)),
                None => return Ok(None),
            }
        }
    }

    pub(crate) fn is_inside_frame(&self) -> bool {
        self.decoder.is_inside_frame()
    }

    pub(crate) fn queue(&mut self, frame: &Frame) -> Result<(), EncodeError> {
        let mut bytes = BytesMut::new();
        self.encoder.encode(frame, &mut bytes)?;
        self.outgoing.push_back(bytes.freeze());
        Ok(())
    }

    pub(crate) fn poll_transmit(&mut self, now: Duration) -> Option<Bytes> {
        let bytes = self.outgoing.pop_front()?;
        self.timer.sent(now);
        Some(bytes)
    }

    /// Bytes that wait to be sent are as good as a heart-beat: while there are any, none is due.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        if self.silent_for.is_some() {
            return None;
        }
        let send_at = if self.outgoing.is_empty() { self.timer.send_at() } else { None };
        send_at.into_iter().chain(self.timer.dead_at()).min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Duration) {
        if self.silent_for.is_none() {
            self.silent_for = self.timer.silent_for(now);
        }
        if self.silent_for.is_none() && self.outgoing.is_empty() && self.timer.send_due(now) {
            self.outgoing.push_back(Encoder::HEART_BEAT);
        }
    }

    /// For how long the peer has been silent, once that is longer than tolerated.
    pub(crate) const fn silent_for(&self) -> Option<Duration> {
        self.silent_for
    }
}
