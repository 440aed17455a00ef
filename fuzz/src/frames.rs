//! Bytes from a broker: however they are cut, they decode to the same frames, or to the same refusal.

use stomp::{Decoder, Dialect, Input, Limits};

/// The first byte decides where the rest is cut.
pub(crate) fn run(input: &[u8]) {
    let Some((first, stream)) = input.split_first() else { return };
    let whole = decoded([stream]);
    let (left, right) = stream.split_at(stream.len().min(usize::from(*first)));
    assert_eq!(decoded([left, right]), whole, "cut at {first}");
}

fn decoded<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Input>, Option<String>, bool) {
    let limits = Limits { body: 1 << 16, ..Limits::default() };
    let mut decoder = Decoder::new(Dialect::default(), limits);
    let mut inputs = Vec::new();
    for piece in pieces {
        decoder.feed(piece);
        loop {
            match decoder.decode() {
                Ok(Some(input)) => inputs.push(input),
                Ok(None) => break,
                Err(error) => return (inputs, Some(error.to_string()), false),
            }
        }
    }
    (inputs, None, decoder.is_inside_frame())
}
