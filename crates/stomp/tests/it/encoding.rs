//! What frames look like on the wire, and which have no wire form.

use bytes::BytesMut;
use stomp::{Command, Encoder, Escaping, Frame, Headers, Passcode, Version};

use crate::support::{dialect, encode, frame};

#[test]
fn frames_on_the_wire() {
    let standard = dialect(Version::V1_2, Escaping::Standard);
    let rabbitmq = dialect(Version::V1_2, Escaping::EveryFrame);
    let stomp = frame(Command::Stomp, &[("passcode", "a\\b:c")], "");
    let send = frame(Command::Send, &[("a:b\\", "1\n2\r3:")], "x\0y");
    let stale = frame(Command::Send, &[("content-length", "99"), ("a", "b")], "body");
    let stale_empty = frame(Command::Send, &[("content-length", "99")], "");
    let table = [
        (standard, &stomp, "STOMP\npasscode:a\\b:c\n\n\0"),
        (rabbitmq, &stomp, "STOMP\npasscode:a\\\\b\\cc\n\n\0"),
        (standard, &send, "SEND\na\\cb\\\\:1\\n2\\r3\\c\ncontent-length:3\n\nx\0y\0"),
        (standard, &stale, "SEND\na:b\ncontent-length:4\n\nbody\0"),
        (standard, &stale_empty, "SEND\n\n\0"),
    ];
    for (dialect, frame, bytes) in table {
        assert_eq!(
            encode(dialect, frame).escape_ascii().to_string(),
            bytes.as_bytes().escape_ascii().to_string()
        );
    }
}

#[test]
fn what_has_no_wire_form_is_refused_and_nothing_is_written() {
    use Escaping::{EveryFrame, Standard};
    use Version::{V1_1, V1_2};
    let table: &[(Version, Escaping, Frame, &str)] = &[
        (
            V1_2,
            Standard,
            frame(Command::Ack, &[], "x"),
            "the ACK frame cannot be written: this command carries no body",
        ),
        (
            V1_2,
            Standard,
            frame(Command::Send, &[("", "x")], ""),
            "the SEND frame cannot be written: a header has no name",
        ),
        (
            V1_2,
            Standard,
            frame(Command::Connect, &[("passcode", "hunter2\nadmin:true")], ""),
            "the CONNECT frame cannot be written: header `passcode` holds `\\n`, which this frame of STOMP 1.2 cannot express",
        ),
        (
            V1_2,
            Standard,
            frame(Command::Stomp, &[("a:b", "c")], ""),
            "the STOMP frame cannot be written: header `a:b` holds `:`, which this frame of STOMP 1.2 cannot express",
        ),
        (
            V1_2,
            EveryFrame,
            frame(Command::Send, &[("a", "b\0c")], ""),
            "the SEND frame cannot be written: header `a` holds `\\x00`, which this frame of STOMP 1.2 cannot express",
        ),
        (
            V1_1,
            EveryFrame,
            frame(Command::Send, &[("a", "b\rc")], ""),
            "the SEND frame cannot be written: header `a` holds `\\r`, which this frame of STOMP 1.1 cannot express",
        ),
    ];
    for (version, escaping, frame, text) in table {
        let mut out = BytesMut::from("before");
        let error = Encoder::new(dialect(*version, *escaping)).encode(frame, &mut out).unwrap_err();
        assert_eq!(error.to_string(), *text);
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        assert_eq!(out, "before");
    }
}

#[test]
fn heart_beat_is_one_line_end() {
    assert_eq!(Encoder::HEART_BEAT, "\n");
}

#[test]
fn debug_shows_neither_passcode_nor_body() {
    let headers: Headers =
        [("login", "me"), ("passcode", "hunter2"), ("Passcode", "hunter2")].into_iter().collect();
    let frame = Frame::new(Command::Send).with_headers(headers).with_body("private");
    let shown = format!("{frame:?} {frame:#?} {:?}", frame.headers);
    assert!(shown.contains("me") && shown.contains("+7 body bytes"), "{shown}");
    assert!(!shown.contains("hunter2") && !shown.contains("private"), "{shown}");

    let options =
        stomp::ConnectOptions { passcode: Some(Passcode::new("hunter2")), ..stomp::ConnectOptions::new("h") };
    let shown = format!("{options:?}");
    assert!(shown.contains("not shown") && !shown.contains("hunter2"), "{shown}");
}
