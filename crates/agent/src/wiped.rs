//! Secrets on their way into a request: their octets are wiped when the last who holds them lets go.
//!
//! Out of reach are the copies that HTTP and TLS make in buffers of their own while they send, and that the kernel makes.

use bytes::Bytes;
use http::header::{HeaderValue, InvalidHeaderValue};
use secrecy::zeroize::Zeroizing;

/// A text as the body of a request.
pub(crate) fn body(text: Zeroizing<String>) -> Bytes {
    Bytes::from_owner(Owner(text))
}

/// `Authorization`, as this scheme has it; marked as sensitive.
///
/// # Errors
/// Characters that no header may hold.
pub(crate) fn authorization(scheme: &str, secret: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    // In a buffer that does not grow: what one grows out of is not wiped.
    let mut text = Zeroizing::new(String::with_capacity(scheme.len() + 1 + secret.len()));
    text.push_str(scheme);
    text.push(' ');
    text.push_str(secret);
    let mut value = HeaderValue::from_maybe_shared(body(text))?;
    value.set_sensitive(true);
    Ok(value)
}

struct Owner(Zeroizing<String>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_what_was_given() {
        let value = authorization("Bearer", "a.b-c").unwrap();
        assert!(value.is_sensitive());
        assert_eq!(value.as_bytes(), b"Bearer a.b-c");
        assert!(authorization("Token", "a\nb").is_err());
        assert_eq!(body(Zeroizing::new("a=b".to_owned())).as_ref(), b"a=b");
    }
}
