//! Tokens in files: mounted service accounts, Secrets, and what other programs write.

use std::io;
use std::path::Path;

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};

use super::CredentialError;

/// The largest file that is taken for one of a token.
const LARGEST: u64 = 1024 * 1024;

/// The one word in a file, white space around it removed.
pub(super) fn read(path: &Path) -> Result<SecretString, CredentialError> {
    let name = path.display();
    let unreadable = |error: io::Error| {
        let advice = match error.kind() {
            io::ErrorKind::NotFound => "; is it mounted, and is the path right?",
            io::ErrorKind::PermissionDenied => "; let the user that the agent runs as read it",
            io::ErrorKind::IsADirectory => "; name the file in it",
            _ => "",
        };
        CredentialError::new(format!("cannot read the token file `{name}`: {error}{advice}"))
    };
    let wrong = |problem: &str| CredentialError::new(format!("the token file `{name}` {problem}"));
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > LARGEST {
        return Err(wrong("is larger than 1 MiB; it must hold one token and nothing else"));
    }
    let bytes = Zeroizing::new(std::fs::read(path).map_err(unreadable)?);
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| wrong("is not text; it must hold one token and nothing else"))?;
    word(text).map_err(wrong)
}

/// A text that is a token, without the white space around it.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub(super) fn word(text: &str) -> Result<SecretString, &'static str> {
    let token = SecretString::from(text.trim_start_matches('\u{feff}').trim());
    let word = token.expose_secret();
    if word.is_empty() {
        return Err("is empty; write the token into it");
    }
    if word.lines().nth(1).is_some() {
        return Err("holds more than one line; it must hold the token alone");
    }
    if word.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("holds more than one word; it must hold the token alone");
    }
    if !word.is_ascii() {
        return Err("holds letters that no token has; write the token into it anew");
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(content: &[u8]) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        match read(file.path()) {
            Ok(token) => format!("={}", token.expose_secret()),
            Err(error) => error.to_string().replace(&file.path().display().to_string(), "F"),
        }
    }

    #[test]
    fn every_content_is_a_token_or_told() {
        for (content, expected) in [
            (&b"abc"[..], "=abc"),
            (b" abc\r\n\n", "=abc"),
            (b"\xef\xbb\xbfabc\n", "=abc"),
            (b"", "the token file `F` is empty; write the token into it"),
            (b" \n\t\n", "the token file `F` is empty; write the token into it"),
            (b"a\nb\n", "the token file `F` holds more than one line; it must hold the token alone"),
            (b"a b", "the token file `F` holds more than one word; it must hold the token alone"),
            (b"a\x00b", "the token file `F` holds more than one word; it must hold the token alone"),
            (b"\xff\xfe\x00", "the token file `F` is not text; it must hold one token and nothing else"),
            (
                "t\u{e9}".as_bytes(),
                "the token file `F` holds letters that no token has; write the token into it anew",
            ),
            (
                &[b'a'; 1024 * 1024 + 1],
                "the token file `F` is larger than 1 MiB; it must hold one token and nothing else",
            ),
        ] {
            assert_eq!(problem(content), expected);
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let error = read(&missing).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("cannot read the token file `{}`: ", missing.display())),
            "{error}"
        );
        assert!(error.ends_with("is it mounted, and is the path right?"), "{error}");
        assert!(read(folder.path()).unwrap_err().to_string().contains("irectory"));
    }
}
