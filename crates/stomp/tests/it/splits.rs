//! However a stream is cut, it decodes the same, and in linear time.

use std::time::{Duration, Instant};

use stomp::{Dialect, Input, Limits};

use crate::corpus::corpus;
use crate::decoding::refused;
use crate::support::{decode_pieces, every_dialect};

fn same_however_cut(name: &str, bytes: &[u8], dialect: Dialect, limits: Limits) {
    let whole = decode_pieces(dialect, limits, [bytes]);
    for at in 0..=bytes.len() {
        let (left, right) = bytes.split_at(at);
        assert_eq!(decode_pieces(dialect, limits, [left, right]), whole, "{name} cut at {at}");
    }
    for size in [1, 2, 3, 7] {
        assert_eq!(decode_pieces(dialect, limits, bytes.chunks(size)), whole, "{name} in pieces of {size}");
    }
}

#[test]
fn good_streams() {
    for stream in corpus() {
        for dialect in every_dialect() {
            same_however_cut(stream.name, &stream.bytes, dialect, Limits::default());
        }
    }
}

#[test]
fn the_whole_corpus_in_one_stream() {
    let bytes: Vec<u8> = corpus().iter().flat_map(|stream| stream.bytes.to_vec()).collect();
    same_however_cut("corpus", &bytes, Dialect::default(), Limits::default());
}

#[test]
fn faulty_streams_give_the_same_frames_and_the_same_error() {
    for case in refused() {
        let stream = [b"RECEIPT\nreceipt-id:1\n\n\0\n", case.bytes].concat();
        same_however_cut(case.name, &stream, case.dialect, case.limits);
    }
}

/// A decoder that looked at the beginning again with every piece would need minutes for this.
#[test]
fn single_octets_of_a_large_body_or_line_take_linear_time() {
    const SIZE: usize = 1 << 20;
    let start = Instant::now();
    let limits = Limits { line: 2 * SIZE, ..Limits::default() };
    for (head, tail) in [
        (format!("MESSAGE\ncontent-length:{SIZE}\n\n"), "\0"),
        ("MESSAGE\n\n".to_owned(), "\0"),
        ("MESSAGE\nname:".to_owned(), "\n\n\0"),
    ] {
        let stream = [head.as_bytes(), &vec![b'x'; SIZE], tail.as_bytes()].concat();
        let decoded = decode_pieces(Dialect::default(), limits, stream.chunks(1));
        let [Input::Frame(frame)] = &decoded.inputs[..] else { panic!("not one frame") };
        assert_eq!(frame.body.len() + frame.get("name").map_or(0, str::len), SIZE);
    }
    assert!(start.elapsed() < Duration::from_secs(20), "took {:?}", start.elapsed());
}
