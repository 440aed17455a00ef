//! What several test modules share.

use std::time::Duration;

use bytes::BytesMut;
use stomp::{
    ClientEvent, ClientSession, Command, DecodeError, Decoder, Dialect, Encoder, Escaping, Frame, Headers,
    Input, Limits, ServerEvent, ServerSession, Version,
};

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) const fn dialect(version: Version, escaping: Escaping) -> Dialect {
    Dialect { version, escaping }
}

pub(crate) fn every_dialect() -> Vec<Dialect> {
    let escapings = [Escaping::Standard, Escaping::EveryFrame];
    Version::ALL
        .into_iter()
        .flat_map(|version| escapings.map(|escaping| dialect(version, escaping)))
        .collect()
}

/// Everything a decoder makes of a stream that arrives in these pieces, and the error that ended it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decoded {
    pub(crate) inputs: Vec<Input>,
    pub(crate) error: Option<DecodeError>,
}

impl Decoded {
    pub(crate) fn frames(&self) -> Vec<Frame> {
        let frame = |input: &Input| match input {
            Input::Frame(frame) => Some(frame.clone()),
            Input::HeartBeat => None,
        };
        self.inputs.iter().filter_map(frame).collect()
    }
}

pub(crate) fn decode_pieces<'a>(
    dialect: Dialect,
    limits: Limits,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Decoded {
    let mut decoder = Decoder::new(dialect, limits);
    let mut inputs = Vec::new();
    for piece in pieces {
        decoder.feed(piece);
        loop {
            match decoder.decode() {
                Ok(Some(input)) => inputs.push(input),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.decode(), Err(error.clone()), "an error is final");
                    return Decoded { inputs, error: Some(error) };
                }
            }
        }
    }
    Decoded { inputs, error: None }
}

pub(crate) fn decode(bytes: &[u8]) -> Decoded {
    decode_pieces(Dialect::default(), Limits::default(), [bytes])
}

pub(crate) fn encode(dialect: Dialect, frame: &Frame) -> Vec<u8> {
    let mut out = BytesMut::new();
    Encoder::new(dialect).encode(frame, &mut out).unwrap();
    out.to_vec()
}

pub(crate) fn frame(command: Command, headers: &[(&str, &str)], body: &'static str) -> Frame {
    let headers: Headers = headers.iter().copied().collect();
    Frame { command, headers, body: body.into() }
}

/// What the session has to send, as text with `NUL` made visible.
pub(crate) fn client_sends(session: &mut ClientSession, now: Duration) -> Vec<String> {
    std::iter::from_fn(|| session.poll_transmit(now)).map(|bytes| visible(&bytes)).collect()
}

pub(crate) fn server_sends(session: &mut ServerSession, now: Duration) -> Vec<String> {
    std::iter::from_fn(|| session.poll_transmit(now)).map(|bytes| visible(&bytes)).collect()
}

fn visible(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap().replace('\0', "␀")
}

pub(crate) fn client_event(session: &mut ClientSession) -> ClientEvent {
    session.poll_event().unwrap().expect("an event")
}

pub(crate) fn server_event(session: &mut ServerSession) -> ServerEvent {
    session.poll_event().unwrap().expect("an event")
}
