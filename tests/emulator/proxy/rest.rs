//! The names of calls that are a method and a path: Route 53, EKS and S3.

use http::Method;
use serde_json::{Map, Value};

use super::call::Params;

/// The pairs of a query or a form.
pub fn pairs(query: &str) -> Params {
    let url = reqwest::Url::parse(&format!("http://query/?{query}")).unwrap();
    url.query_pairs().into_owned().collect()
}

/// The members of an object in JSON.
pub fn members(body: &[u8]) -> Params {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let object: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    object.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

pub fn eks(method: &Method, path: &str, body: &[u8]) -> (String, Params) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut params = pairs(query);
    params.extend(members(body));
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
    for (place, name) in [(1, "name"), (3, "nodegroupName")] {
        if let Some(part) = parts.get(place) {
            params.insert(name.into(), (*part).to_owned());
        }
    }
    let action = match (method.as_str(), parts.as_slice()) {
        ("POST", ["clusters"]) => "CreateCluster",
        ("GET", ["clusters"]) => "ListClusters",
        ("GET", ["clusters", _]) => "DescribeCluster",
        ("DELETE", ["clusters", _]) => "DeleteCluster",
        ("POST", ["clusters", _, "node-groups"]) => "CreateNodegroup",
        ("GET", ["clusters", _, "node-groups"]) => "ListNodegroups",
        ("GET", ["clusters", _, "node-groups", _]) => "DescribeNodegroup",
        ("DELETE", ["clusters", _, "node-groups", _]) => "DeleteNodegroup",
        _ => return (format!("{method} {path}"), params),
    };
    (action.into(), params)
}

pub fn route53(method: &Method, path: &str, body: &[u8]) -> (String, Params) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut params = pairs(query);
    if !body.is_empty() {
        params.insert("Body".into(), String::from_utf8_lossy(body).into_owned());
    }
    // The first is the version of the API.
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).skip(1).collect();
    if let Some(id) = parts.get(1) {
        params.insert("Id".into(), (*id).to_owned());
    }
    let action = match (method.as_str(), parts.as_slice()) {
        ("POST", ["hostedzone"]) => "CreateHostedZone",
        ("GET", ["hostedzone"]) => "ListHostedZones",
        ("GET", ["hostedzone", _]) => "GetHostedZone",
        ("POST", ["hostedzone", _]) => "UpdateHostedZoneComment",
        ("DELETE", ["hostedzone", _]) => "DeleteHostedZone",
        ("POST", ["hostedzone", _, "rrset"]) => "ChangeResourceRecordSets",
        ("GET", ["hostedzone", _, "rrset"]) => "ListResourceRecordSets",
        ("POST", ["hostedzone", _, "associatevpc"]) => "AssociateVPCWithHostedZone",
        ("POST", ["hostedzone", _, "disassociatevpc"]) => "DisassociateVPCFromHostedZone",
        ("GET", ["hostedzonesbyname"]) => "ListHostedZonesByName",
        ("GET", ["hostedzonesbyvpc"]) => "ListHostedZonesByVPC",
        ("GET", ["hostedzonecount"]) => "GetHostedZoneCount",
        ("GET", ["change", _]) => "GetChange",
        ("POST", ["tags", _, _]) => "ChangeTagsForResource",
        ("GET", ["tags", _, _]) => "ListTagsForResource",
        ("POST", ["healthcheck"]) => "CreateHealthCheck",
        ("GET", ["healthcheck"]) => "ListHealthChecks",
        ("GET", ["healthcheck", _]) => "GetHealthCheck",
        ("POST", ["healthcheck", _]) => "UpdateHealthCheck",
        ("DELETE", ["healthcheck", _]) => "DeleteHealthCheck",
        _ => return (format!("{method} {path}"), params),
    };
    (action.into(), params)
}

/// Names of the calls on buckets that differ by a word in the query.
const ON_BUCKETS: [(&str, &str); 8] = [
    ("tagging", "BucketTagging"),
    ("versioning", "BucketVersioning"),
    ("encryption", "BucketEncryption"),
    ("publicAccessBlock", "PublicAccessBlock"),
    ("policy", "BucketPolicy"),
    ("lifecycle", "BucketLifecycle"),
    ("location", "BucketLocation"),
    ("ownershipControls", "BucketOwnershipControls"),
];

pub fn s3(method: &Method, path: &str) -> (String, Params) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut params = pairs(query);
    let (bucket, key) = path.trim_start_matches('/').split_once('/').unwrap_or((&path[1..], ""));
    let subject = ON_BUCKETS.iter().find(|(word, _)| params.contains_key(*word)).map(|(_, name)| *name);
    let action = match (method.as_str(), bucket, key, subject) {
        ("GET", "", _, _) => "ListBuckets".into(),
        ("GET", _, "", Some(subject)) => format!("Get{subject}"),
        ("PUT", _, "", Some(subject)) => format!("Put{subject}"),
        ("DELETE", _, "", Some(subject)) => format!("Delete{subject}"),
        ("GET", _, "", None) if params.contains_key("versions") => "ListObjectVersions".into(),
        ("GET", _, "", None) => "ListObjectsV2".into(),
        ("PUT", _, "", None) => "CreateBucket".into(),
        ("DELETE", _, "", None) => "DeleteBucket".into(),
        ("HEAD", _, "", None) => "HeadBucket".into(),
        ("POST", _, "", None) if params.contains_key("delete") => "DeleteObjects".into(),
        ("GET", ..) => "GetObject".into(),
        ("PUT", ..) => "PutObject".into(),
        ("HEAD", ..) => "HeadObject".into(),
        ("DELETE", ..) => "DeleteObject".into(),
        _ => format!("{method} {path}"),
    };
    params.insert("Bucket".into(), bucket.into());
    if !key.is_empty() {
        params.insert("Key".into(), key.into());
    }
    (action, params)
}

#[test]
fn paths_have_the_names_of_their_calls() {
    let name = |method: Method, path: &str| route53(&method, path, b"").0;
    assert_eq!(name(Method::POST, "/2013-04-01/hostedzone/Z1/rrset/"), "ChangeResourceRecordSets");
    assert_eq!(name(Method::GET, "/2013-04-01/hostedzone/Z1/rrset?name=a"), "ListResourceRecordSets");
    assert_eq!(name(Method::GET, "/2013-04-01/change/C1"), "GetChange");
    let name = |method: Method, path: &str| eks(&method, path, b"{}").0;
    assert_eq!(name(Method::POST, "/clusters"), "CreateCluster");
    assert_eq!(name(Method::GET, "/clusters/green"), "DescribeCluster");
    let (action, params) = eks(&Method::GET, "/clusters/green/node-groups/nodes", b"");
    assert_eq!((action.as_str(), params["nodegroupName"].as_str()), ("DescribeNodegroup", "nodes"));
    let name = |method: Method, path: &str| s3(&method, path).0;
    assert_eq!(name(Method::GET, "/"), "ListBuckets");
    assert_eq!(name(Method::PUT, "/b"), "CreateBucket");
    assert_eq!(name(Method::PUT, "/b?tagging"), "PutBucketTagging");
    assert_eq!(name(Method::PUT, "/b/a/key?x-id=PutObject"), "PutObject");
    assert_eq!(s3(&Method::GET, "/b/a/key").1["Key"], "a/key");
    assert_eq!(name(Method::GET, "/b?list-type=2"), "ListObjectsV2");
}
