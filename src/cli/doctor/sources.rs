//! The sources: nobody is asked, but what keeps leads from being delivered is told.

use super::Asked;
use crate::config::{Server, Settings, Source};
use leadwire_connector::Report;
use leadwire_connector::http::is_loopback;

pub(super) fn ask(settings: &Settings) -> impl Iterator<Item = Asked> {
    settings.sources.iter().map(|(name, source)| {
        let report = callers(key(address(&settings.server, name), source), source);
        Asked { what: "source", name: name.clone(), kind: None, report }
    })
}

/// What is pasted into the platform.
fn address(server: &Server, name: &str) -> Report {
    const REMEDY: &str = "set [server] public_url to the address that your proxy gives to the world, beginning with https://";
    let report = Report::default();
    match &server.public_url {
        Some(url) if url.scheme() == "https" || is_loopback(url) => report.good("address", hook(url.as_str(), name)),
        Some(url) => report.warn("address", format!("{} is not https: leads travel in the clear", hook(url.as_str(), name))).remedy(REMEDY),
        None => {
            let local = hook(&format!("http://{}", server.listen), name);
            report.warn("address", format!("{local} here; how it is reached from outside is not known")).remedy(REMEDY)
        }
    }
}

fn hook(base: &str, name: &str) -> String {
    format!("{}/hooks/{name}", base.trim_end_matches('/'))
}

fn key(report: Report, source: &Source) -> Report {
    match source.signing_keys.len() {
        0 => report
            .warn("key", "awaits its signing key; what it receives is kept in quarantine and delivered once the key is there")
            .remedy("save the address at the platform, then copy the key it shows into `signing_keys`"),
        1 => report.good("key", "one signing key"),
        keys => report
            .good("key", format!("{keys} signing keys, any of which is taken"))
            .remedy("once the platform signs with the new one only, remove the old one"),
    }
}

fn callers(report: Report, source: &Source) -> Report {
    match (source.allow_ips.is_empty(), source.report_only) {
        (true, _) => report,
        (false, true) => {
            report.warn("callers", "addresses outside `allow_ips` are only logged").remedy("remove `report_only` once none is")
        }
        (false, false) => report.good("callers", "only addresses of `allow_ips`"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::connectors::Connectors;
    use leadwire_connector::Severity;

    fn worst(toml: &str) -> Vec<(String, Severity)> {
        let settings = crate::config::parse("test.toml".as_ref(), toml, &Connectors::default(), std::iter::empty()).unwrap();
        let findings = ask(&settings).flat_map(|asked| asked.report.findings);
        findings.map(|finding| (finding.subject, finding.severity)).collect()
    }

    #[test]
    fn an_address_that_is_not_known_and_a_missing_key_are_to_be_looked_at() {
        let found = worst("[sources.acme]\n");
        assert_eq!(found, [("address".to_owned(), Severity::Warn), ("key".to_owned(), Severity::Warn)]);
        let toml = "[server]\npublic_url = \"https://leads.example.com/\"\n[sources.acme]\nsigning_keys = [\"k1\", \"k2\"]\n\
                    allow_ips = [\"10.0.0.1\"]\nreport_only = true\n";
        let found = worst(toml);
        assert_eq!(found.iter().map(|(_, severity)| *severity).collect::<Vec<_>>(), [Severity::Good, Severity::Good, Severity::Warn]);
        assert_eq!(hook("https://leads.example.com/", "acme"), "https://leads.example.com/hooks/acme");
    }
}
