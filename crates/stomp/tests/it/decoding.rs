//! Vectors: what the standard's examples and rules decode to, and what is refused with which error.

use stomp::{Command, DecodeError, Dialect, Escaping, Frame, HeaderFault, Limits, Version};

use crate::support::{decode, decode_pieces, dialect, frame};

const V1_1: Dialect = dialect(Version::V1_1, Escaping::Standard);
const V1_2: Dialect = dialect(Version::V1_2, Escaping::Standard);
const RABBITMQ: Dialect = dialect(Version::V1_2, Escaping::EveryFrame);

fn check(dialect: Dialect, bytes: &[u8], expected: &[Frame]) {
    let decoded = decode_pieces(dialect, Limits::default(), [bytes]);
    assert_eq!(decoded.error, None, "{}", bytes.escape_ascii());
    assert_eq!(decoded.frames(), expected, "{}", bytes.escape_ascii());
}

#[test]
fn frames_of_each_command() {
    for command in Command::ALL {
        let bytes = format!("{command}\nname:value\n\n\0");
        check(V1_2, bytes.as_bytes(), &[frame(command, &[("name", "value")], "")]);
    }
}

#[test]
fn escapes_by_version_and_frame() {
    let table: &[(Dialect, &str, &str, &str)] = &[
        (V1_2, "SEND", r"a\nb\rc\cd\\e", "a\nb\rc:d\\e"),
        (V1_1, "SEND", r"a\nb\cd\\e", "a\nb:d\\e"),
        (V1_2, "SEND", r"\\n", r"\n"),
        (V1_2, "SEND", r"\\\\", r"\\"),
        (V1_2, "CONNECT", r"a\nb\t\", r"a\nb\t\"),
        (V1_2, "STOMP", r"a\cb", r"a\cb"),
        (V1_2, "CONNECTED", r"session\cb", r"session\cb"),
        (RABBITMQ, "CONNECT", r"a\\b\cc", r"a\b:c"),
        (RABBITMQ, "STOMP", r"a\\b\cc", r"a\b:c"),
        (RABBITMQ, "CONNECTED", r"session\cb", "session:b"),
        (V1_2, "ERROR", r"a\cb", "a:b"),
        (V1_2, "SEND", "with:colons:raw", "with:colons:raw"),
        (V1_2, "SEND", "  spaces are kept ", "  spaces are kept "),
        (V1_2, "SEND", "", ""),
    ];
    for (dialect, command, raw, value) in table {
        let command = Command::from_bytes(command.as_bytes()).unwrap();
        let bytes = format!("{command}\nh:{raw}\n\n\0");
        check(*dialect, bytes.as_bytes(), &[frame(command, &[("h", value)], "")]);
    }
}

#[test]
fn escapes_in_names() {
    check(V1_2, b"SEND\na\\cb:c\n\n\0", &[frame(Command::Send, &[("a:b", "c")], "")]);
    check(V1_2, b"STOMP\na\\cb:c\n\n\0", &[frame(Command::Stomp, &[("a\\cb", "c")], "")]);
}

#[test]
fn the_first_of_repeated_headers_wins_and_the_others_are_kept() {
    let decoded = decode(b"MESSAGE\nfoo:World\nfoo:Hello\n\n\0");
    let [message] = &decoded.frames()[..] else { panic!("not one frame") };
    assert_eq!(message.get("foo"), Some("World"));
    assert_eq!(message.headers.iter().collect::<Vec<_>>(), [("foo", "World"), ("foo", "Hello")]);
}

#[test]
fn the_first_of_repeated_lengths_wins() {
    check(
        V1_2,
        b"SEND\ncontent-length:3\ncontent-length:1\n\na\0b\0",
        &[frame(Command::Send, &[("content-length", "3"), ("content-length", "1")], "a\0b")],
    );
}

#[test]
fn lengths_count_octets_and_may_have_spaces() {
    check(
        V1_2,
        "SEND\ncontent-length: 4 \n\nöö\0".as_bytes(),
        &[frame(Command::Send, &[("content-length", " 4 ")], "öö")],
    );
}

#[test]
fn carriage_returns_end_lines_in_both_versions_but_stay_in_values_and_bodies() {
    for dialect in [V1_1, V1_2] {
        check(
            dialect,
            b"SEND\r\na:b\rc\r\n\r\n\r\nx\r\n\0\r\n",
            &[frame(Command::Send, &[("a", "b\rc")], "\r\nx\r\n")],
        );
    }
}

#[test]
fn an_incomplete_frame_is_waited_for() {
    for bytes in ["S", "SEND", "SEND\n", "SEND\na:b", "SEND\na:b\n\n", "SEND\ncontent-length:2\n\nab", "\r"] {
        let mut decoder = stomp::Decoder::new(V1_2, Limits::default());
        decoder.feed(bytes.as_bytes());
        assert_eq!(decoder.decode(), Ok(None), "{bytes:?}");
        assert!(decoder.is_inside_frame(), "{bytes:?}");
    }
    let mut decoder = stomp::Decoder::new(V1_2, Limits::default());
    decoder.feed(b"SEND\n\n\0\n");
    assert!(decoder.decode().unwrap().is_some() && decoder.decode().unwrap().is_some());
    assert!(!decoder.is_inside_frame());
}

pub(crate) struct Refused {
    pub(crate) name: &'static str,
    pub(crate) dialect: Dialect,
    pub(crate) limits: Limits,
    pub(crate) bytes: &'static [u8],
    error: DecodeError,
    text: &'static str,
}

pub(crate) fn refused() -> Vec<Refused> {
    const SMALL: Limits = Limits { headers: 2, line: 24, body: 4 };
    let case =
        |name, dialect, limits, bytes, error, text| Refused { name, dialect, limits, bytes, error, text };
    let with = |name, dialect, bytes, error, text| case(name, dialect, Limits::default(), bytes, error, text);
    let unknown = |line: &str| DecodeError::UnknownCommand { line: line.into() };
    let header = |command, number, fault| DecodeError::Header { command, number, fault };
    let escape = |version, sequence: &str| HeaderFault::Escape { version, sequence: sequence.into() };
    let length = |value: &str| DecodeError::ContentLength { command: Command::Send, value: value.into() };
    let send = Command::Send;
    vec![
        with("unknown command", V1_2, b"SENDS\n\n\0", unknown("SENDS"), "not a STOMP command: `SENDS`"),
        with("lower case", V1_2, b"send\n\n\0", unknown("send"), "not a STOMP command: `send`"),
        with(
            "http",
            V1_2,
            b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n",
            unknown("HTTP/1.1 400 Bad Request"),
            "not a STOMP command: `HTTP/1.1 400 Bad Request`",
        ),
        with(
            "tls",
            V1_2,
            b"\x16\x03\x01\x02\0",
            unknown("\\x16\\x03\\x01\\x02\\x00"),
            "not a STOMP command: `\\x16\\x03\\x01\\x02\\x00`",
        ),
        with(
            "no line end in sight",
            V1_2,
            &[b'A'; 40],
            unknown("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
            "not a STOMP command: `AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA`",
        ),
        with("command cut by nul", V1_2, b"SEND\0", unknown("SEND\\x00"), "not a STOMP command: `SEND\\x00`"),
        with(
            "lone carriage return",
            V1_2,
            b"\rSEND\n\n\0",
            unknown("\\rSEND"),
            "not a STOMP command: `\\rSEND`",
        ),
        with(
            "no colon",
            V1_2,
            b"SEND\na:b\nbroken\n\n\0",
            header(send, 2, HeaderFault::NoColon),
            "header 2 of the SEND frame has no colon",
        ),
        with(
            "no name",
            V1_2,
            b"SEND\n:value\n\n\0",
            header(send, 1, HeaderFault::NoName),
            "header 1 of the SEND frame has no name",
        ),
        with(
            "value not utf-8",
            V1_2,
            b"SEND\nname:\xff\n\n\0",
            header(send, 1, HeaderFault::NotUtf8),
            "header 1 of the SEND frame is not UTF-8",
        ),
        with(
            "name not utf-8",
            V1_2,
            b"CONNECT\n\xc3:x\n\n\0",
            header(Command::Connect, 1, HeaderFault::NotUtf8),
            "header 1 of the CONNECT frame is not UTF-8",
        ),
        with(
            "no empty line",
            V1_2,
            b"SEND\nname:value\0",
            header(send, 1, HeaderFault::Nul),
            "header 1 of the SEND frame contains a NUL: the frame ended before the empty line that ends its headers",
        ),
        with(
            "unknown escape",
            V1_2,
            b"SEND\nname:a\\tb\n\n\0",
            header(send, 1, escape(Version::V1_2, "\\t")),
            "header 1 of the SEND frame has an escape sequence that STOMP 1.2 does not know: `\\t`",
        ),
        with(
            "escape of 1.2 in 1.1",
            V1_1,
            b"SEND\nname:a\\rb\n\n\0",
            header(send, 1, escape(Version::V1_1, "\\r")),
            "header 1 of the SEND frame has an escape sequence that STOMP 1.1 does not know: `\\r`",
        ),
        with(
            "backslash at the end",
            V1_2,
            b"SEND\nname:a\\\n\n\0",
            header(send, 1, escape(Version::V1_2, "\\")),
            "header 1 of the SEND frame has an escape sequence that STOMP 1.2 does not know: `\\`",
        ),
        with(
            "raw backslash in a passcode at rabbitmq",
            RABBITMQ,
            b"CONNECT\npasscode:a\\b\n\n\0",
            header(Command::Connect, 1, escape(Version::V1_2, "\\b")),
            "header 1 of the CONNECT frame has an escape sequence that STOMP 1.2 does not know: `\\b`",
        ),
        with(
            "length no number",
            V1_2,
            b"SEND\ncontent-length:ten\n\n\0",
            length("ten"),
            "the content-length of the SEND frame is not a number: `ten`",
        ),
        with(
            "length negative",
            V1_2,
            b"SEND\ncontent-length:-1\n\n\0",
            length("-1"),
            "the content-length of the SEND frame is not a number: `-1`",
        ),
        with(
            "length empty",
            V1_2,
            b"SEND\ncontent-length:\n\n\0",
            length(""),
            "the content-length of the SEND frame is not a number: ``",
        ),
        with(
            "length too short",
            V1_2,
            b"SEND\ncontent-length:2\n\nabc\0",
            DecodeError::MissingNul { command: send, length: 2 },
            "the SEND frame does not end after the 2 octets of its content-length",
        ),
        case(
            "too many headers",
            V1_2,
            SMALL,
            b"SEND\na:1\nb:2\nc:3\n\n\0",
            DecodeError::TooManyHeaders { command: send, limit: 2 },
            "the SEND frame has more than 2 headers",
        ),
        case(
            "line too long",
            V1_2,
            SMALL,
            b"SEND\nname:12345678901234567890\n\n\0",
            DecodeError::LineTooLong { command: send, limit: 24 },
            "a header line of the SEND frame has more than 24 octets",
        ),
        case(
            "line without end",
            V1_2,
            SMALL,
            b"SEND\nname:123456789012345678901234",
            DecodeError::LineTooLong { command: send, limit: 24 },
            "a header line of the SEND frame has more than 24 octets",
        ),
        case(
            "announced body too large",
            V1_2,
            SMALL,
            b"MESSAGE\ncontent-length:5\n\n",
            DecodeError::BodyTooLarge { command: Command::Message, limit: 4 },
            "the body of the MESSAGE frame has more than 4 octets",
        ),
        case(
            "body too large",
            V1_2,
            SMALL,
            b"SEND\n\n12345",
            DecodeError::BodyTooLarge { command: send, limit: 4 },
            "the body of the SEND frame has more than 4 octets",
        ),
        with(
            "body larger than memory",
            V1_2,
            b"SEND\ncontent-length:18446744073709551615\n\n",
            DecodeError::BodyTooLarge { command: send, limit: 16 << 20 },
            "the body of the SEND frame has more than 16777216 octets",
        ),
    ]
}

#[test]
fn what_is_refused_and_how_it_is_said() {
    for Refused { name, dialect, limits, bytes, error, text } in refused() {
        let decoded = decode_pieces(dialect, limits, [bytes]);
        assert_eq!(decoded.error.as_ref(), Some(&error), "{name}");
        assert_eq!(error.to_string(), text, "{name}");
        assert!(decoded.frames().is_empty(), "{name}");
    }
}

#[test]
fn what_just_fits_is_accepted() {
    let limits = Limits { headers: 2, line: 9, body: 4 };
    for bytes in [&b"SEND\nname:1234\nb:2\n\n1234\0"[..], b"SEND\nname:123\r\nb:2\r\n\r\n\0"] {
        let decoded = decode_pieces(V1_2, limits, [bytes]);
        assert_eq!(decoded.error, None);
        assert_eq!(decoded.frames().len(), 1);
    }
}
