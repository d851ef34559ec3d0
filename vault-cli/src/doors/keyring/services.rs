//! The other names under which a service that is a URL may be stored.

/// The service itself, and if it is a URL, in this order: the same with or without one slash at its end; its origin,
/// `scheme://host[:port]`; `host[:port]`. Clients ask for one and store under another: pip asks for `URL/`, uv for `URL`,
/// both for `host:port`.
pub(crate) fn candidates(service: &str) -> Vec<String> {
    let mut all = vec![service.to_owned()];
    let Some((scheme, rest)) = service.split_once("://") else { return all };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if !is_scheme || host.is_empty() {
        return all;
    }
    let other = service.strip_suffix('/').map_or_else(|| format!("{service}/"), str::to_owned);
    for candidate in [other, format!("{scheme}://{host}"), host.to_owned()] {
        if !all.contains(&candidate) {
            all.push(candidate);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_looked_for_from_the_exact_to_the_host() {
        assert_eq!(
            candidates("https://h:8080/simple/"),
            ["https://h:8080/simple/", "https://h:8080/simple", "https://h:8080", "h:8080"]
        );
        assert_eq!(
            candidates("http://u:p@h/a?q=/x"),
            ["http://u:p@h/a?q=/x", "http://u:p@h/a?q=/x/", "http://h", "h"]
        );
        assert_eq!(candidates("https://h"), ["https://h", "https://h/", "h"]);
        assert_eq!(candidates("http://[::1]:80/"), ["http://[::1]:80/", "http://[::1]:80", "[::1]:80"]);
    }

    #[test]
    fn what_is_no_url_is_looked_for_as_it_is() {
        for service in
            ["pypi", "", "h:8080", "://x", "1a://x", "a b://x", "https://", "https:///path", "mail/"]
        {
            assert_eq!(candidates(service), [service]);
        }
    }
}
