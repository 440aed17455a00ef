//! What holds for all frames and all bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use stomp::{
    ClientSession, Command, ConnectOptions, Dialect, Escaping, Frame, Headers, Limits, ServerOptions,
    ServerSession, Version,
};

use crate::support::{decode_pieces, dialect, encode, secs};

const LIMITS: Limits = Limits { headers: 8, line: 64, body: 64 };

fn any_dialect() -> impl Strategy<Value = Dialect> {
    (prop::sample::select(Version::ALL.to_vec()), any::<bool>()).prop_map(|(version, every)| {
        dialect(version, if every { Escaping::EveryFrame } else { Escaping::Standard })
    })
}

/// Text with many of the characters that matter.
fn text() -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec![':', '\\', '\n', '\r', 'n', 'c', 'r', ' ']);
    vec(prop_oneof![3 => special, 1 => any::<char>()], 0..12)
        .prop_map(|characters| characters.into_iter().filter(|character| *character != '\0').collect())
}

/// Any frame that has a wire form in that dialect.
fn frame_in(dialect: Dialect) -> impl Strategy<Value = Frame> {
    (prop::sample::select(Command::ALL.to_vec()), vec((text(), text()), 0..6), vec(any::<u8>(), 0..64))
        .prop_map(move |(command, headers, body)| {
            let clean = |text: String, is_name: bool| {
                let mut text = if dialect.escapes(command) { text } else { text.replace(['\r', '\n'], "") };
                if dialect.version == Version::V1_1 {
                    text = text.replace('\r', "");
                }
                if is_name && !dialect.escapes(command) { text.replace(':', "") } else { text }
            };
            let headers: Headers = headers
                .into_iter()
                .map(|(name, value)| (format!("x{}", clean(name, true)), clean(value, false)))
                .collect();
            let body = if command.may_have_body() { body } else { Vec::new() };
            Frame { command, headers, body: body.into() }
        })
}

fn frames_of_a_dialect() -> impl Strategy<Value = (Dialect, Vec<Frame>)> {
    any_dialect().prop_flat_map(|dialect| (Just(dialect), vec(frame_in(dialect), 1..5)))
}

/// Bytes that are often close to STOMP.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "SEND",
        "MESSAGE",
        "CONNECT",
        "STOMP",
        "CONNECTED",
        "SUBSCRIBE",
        "ACK",
        "ERROR",
        "RECEIPT",
        "\n",
        "\n\n",
        "\r\n",
        "\0",
        ":",
        "\\",
        "\\n",
        "\\c",
        "\\t",
        "a:b\n",
        "id:s\n",
        "destination:q\n",
        "receipt-id:1\n",
        "content-length:3\n",
        "content-length:",
        "heart-beat:1,1\n",
        "accept-version:1.2\n",
        "version:1.2\n",
        "abc",
        "\n\n\0",
    ]);
    let piece = prop_oneof![
        8 => word.prop_map(|word| word.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..8),
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// The bytes in pieces of these sizes, over and over.
fn cut<'a>(mut bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (piece, rest) = bytes.split_at(bytes.len().min(*size));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

proptest! {
    #[test]
    fn frames_survive_the_wire((dialect, frames) in frames_of_a_dialect(), sizes in vec(1_usize..20, 1..5)) {
        let wire: Vec<u8> = frames.iter().flat_map(|frame| encode(dialect, frame)).collect();
        let decoded = decode_pieces(dialect, Limits::default(), cut(&wire, &sizes));
        prop_assert_eq!(&decoded.error, &None);
        let expected: Vec<Frame> = frames
            .into_iter()
            .map(|frame| match frame.body.len() {
                0 => frame,
                length => frame.header("content-length", length.to_string()),
            })
            .collect();
        prop_assert_eq!(decoded.frames(), expected);
    }

    #[test]
    fn any_bytes_decode_the_same_however_cut(
        dialect in any_dialect(),
        bytes in bytes(),
        sizes in vec(1_usize..20, 1..5),
    ) {
        let whole = decode_pieces(dialect, LIMITS, [&bytes[..]]);
        prop_assert_eq!(decode_pieces(dialect, LIMITS, cut(&bytes, &sizes)), whole.clone());
        for frame in whole.frames() {
            prop_assert!(frame.headers.len() <= LIMITS.headers && frame.body.len() <= LIMITS.body);
        }
    }

    #[test]
    fn sessions_survive_any_bytes(bytes in vec(bytes(), 1..4), connect_first in any::<bool>()) {
        let mut client = ClientSession::new(ConnectOptions::new("h"), secs(0)).unwrap();
        let mut server = ServerSession::new(ServerOptions::default(), secs(0));
        if connect_first {
            client.receive(secs(0), b"CONNECTED\nversion:1.2\nheart-beat:1,1\n\n\0");
            server.receive(secs(0), b"STOMP\naccept-version:1.2\nheart-beat:1,1\n\n\0");
        }
        for (second, bytes) in (1..).zip(bytes) {
            client.receive(secs(second), &bytes);
            server.receive(secs(second), &bytes);
            while let Ok(Some(_)) = client.poll_event() {}
            while let Ok(Some(_)) = server.poll_event() {
                let _ = server.accept("s", secs(second));
            }
            client.handle_timeout(secs(second));
            server.handle_timeout(secs(second));
            while client.poll_transmit(secs(second)).is_some() {}
            while server.poll_transmit(secs(second)).is_some() {}
        }
        let ended = secs(1_000_000);
        client.handle_timeout(ended);
        server.handle_timeout(ended);
        let _ = client.poll_event();
        let _ = server.poll_event();
        prop_assert!(client.is_closed(), "silence or error has ended every client");
        prop_assert!(client.poll_timeout().is_none());
    }
}
