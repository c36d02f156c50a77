//! What an API server's metrics say of deprecated API versions.

use std::collections::{BTreeMap, BTreeSet};

use super::RequestedApi;

/// A gauge that is 1 from the first request on, for each deprecated version, resource and subresource.
const METRIC: &str = "apiserver_requested_deprecated_apis{";

/// The API versions named in the text of `/metrics`. What is not understood is passed over: the format is
/// Prometheus' own, and lines of other metrics are none of our business.
pub fn requested_apis(metrics: &str) -> BTreeSet<RequestedApi> {
    metrics.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<RequestedApi> {
    let (mut labels, value) = parse_labels(line.trim().strip_prefix(METRIC)?)?;
    let value: f64 = value.split_whitespace().next()?.parse().ok()?;
    let mut label = |name: &str| labels.remove(name).unwrap_or_default();
    (value > 0.0).then(|| RequestedApi {
        group: label("group"),
        version: label("version"),
        resource: label("resource"),
        subresource: label("subresource"),
        removed: label("removed_release").parse().ok(),
    })
}

/// `name="value",…}` with what follows it; `\`, `"` and line ends are escaped in a value.
fn parse_labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        if let Some(end) = rest.strip_prefix('}') {
            return Some((labels, end));
        }
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.insert(name.trim().to_owned(), value);
        rest = after.get(end + 1..)?.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Minor;

    #[test]
    fn reads_what_an_api_server_writes() {
        let text = r#"
# HELP apiserver_requested_deprecated_apis [STABLE] Gauge of deprecated APIs that have been requested.
# TYPE apiserver_requested_deprecated_apis gauge
apiserver_requested_deprecated_apis{group="networking.k8s.io",removed_release="1.37",resource="servicecidrs",subresource="",version="v1beta1"} 1
apiserver_requested_deprecated_apis{group="",removed_release="",resource="componentstatuses",subresource="",version="v1"} 1
apiserver_requested_deprecated_apis{group="a",removed_release="1.40",resource="b",subresource="status",version="v1"} 0
apiserver_requested_deprecated_apis_other{group="x"} 1
apiserver_request_total{code="200",group="apps"} 12
"#;
        let found: Vec<RequestedApi> = requested_apis(text).into_iter().collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].resource.as_str(), found[0].removed), ("componentstatuses", None));
        assert_eq!(found[1].group, "networking.k8s.io");
        assert_eq!((found[1].version.as_str(), found[1].removed), ("v1beta1", Some(Minor::new(1, 37))));
    }

    #[test]
    fn odd_lines_are_read_or_passed_over() {
        let read = |labels: &str| requested_apis(&format!("{METRIC}{labels}"));
        let odd = read(r#"resource="a\"b\\c\nd,}", version="v1" , group="g",} 1e0 1700000000"#);
        let odd = odd.first().unwrap();
        assert_eq!((odd.resource.as_str(), odd.group.as_str()), ("a\"b\\c\nd,}", "g"));
        for broken in
            ["", "resource", "resource=\"a", "resource=\"a\\", "resource=\"a\"", "} x", "}", "a=\"b\"}"]
        {
            assert!(read(broken).is_empty(), "{broken}");
        }
    }
}
