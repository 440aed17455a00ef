//! What was probably meant: the nearest of a list of names.

/// The most similar of `names`, if it is similar enough to be worth naming.
pub(crate) fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let simple = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
    let wanted = simple(written);
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&wanted, &simple(name)), name))
        .filter(|(distance, name)| *distance <= (name.len() / 4).clamp(1, 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let names = ["waldur_api_url", "verify_ssl", "name", "api_url"];
        for (written, expected) in [
            ("waldur_api_ulr", Some("waldur_api_url")),
            ("waldur-api-url", Some("waldur_api_url")),
            ("verifySsl", Some("verify_ssl")),
            ("nmae", Some("name")),
            ("frobnicate", None),
        ] {
            assert_eq!(nearest(written, names), expected, "{written}");
        }
    }
}
