//! Tokens that may be JWTs: whatever they hold, looking into them does no harm.

use agent::credentials::jwt;

/// A token; one without dots is taken for a payload, so that what is in it is made up as well.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let _ = jwt::peek(text);
    let claims = jwt::peek(&format!("e30.{}.c2ln", base64url(input)));
    let is_object = text.trim_start().starts_with('{');
    assert!(claims.is_none() || is_object, "claims of what is no object");
}

/// RFC 4648 §5, without padding.
fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut bits = [0; 4];
        bits[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(bits);
        for place in 0..=chunk.len() {
            let digit = bits >> (18 - 6 * place) & 63;
            text.push(char::from(DIGITS[digit as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_written_as_a_token_has_them() {
        for (bytes, expected) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("~~?", "fn4_")] {
            assert_eq!(base64url(bytes.as_bytes()), expected);
        }
    }
}
