//! CloudWatch, as far as it tells what a test has put there; moto does not speak its protocol.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::super::client::Answer;
use super::call::Call;
use super::{cbor, reply};

/// After so many seconds without a value, a metric is not listed any more.
const LISTED: i64 = 14 * 24 * 3600;

/// A metric of a thing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    namespace: String,
    metric: String,
    dimensions: BTreeMap<String, String>,
}

/// What has been counted: when, in seconds since 1970, and how much.
#[derive(Debug, Default)]
pub struct Metrics(BTreeMap<Series, Vec<(i64, f64)>>);

impl Metrics {
    pub fn put(
        &mut self,
        namespace: &str,
        metric: &str,
        dimensions: &[(&str, &str)],
        at: SystemTime,
        value: f64,
    ) {
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let dimensions = dimensions.iter().map(text).collect();
        let series = Series { namespace: namespace.to_owned(), metric: metric.to_owned(), dimensions };
        self.0.entry(series).or_default().push((seconds(at), value));
    }

    /// New connections of a network load balancer.
    pub fn flows(&mut self, balancer: &str, at: SystemTime, count: u32) {
        let tail = balancer.split_once(":loadbalancer/").unwrap().1;
        self.put("AWS/NetworkELB", "NewFlowCount", &[("LoadBalancer", tail)], at, count.into());
    }
}

pub fn answer(call: &Call, metrics: &Metrics) -> Option<Answer> {
    let body = match call.name().as_str() {
        "CloudWatch.GetMetricData" => data(&cbor::decode(call.body()), metrics),
        "CloudWatch.ListMetrics" => list(&cbor::decode(call.body()), metrics),
        _ => return None,
    };
    Some(reply::cbor(&body))
}

fn seconds(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed()
}

fn series(metric: &Value) -> Series {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let dimensions = metric["Dimensions"].as_array().map(Vec::as_slice).unwrap_or_default().iter();
    Series {
        namespace: text(&metric["Namespace"]),
        metric: text(&metric["MetricName"]),
        dimensions: dimensions.map(|one| (text(&one["Name"]), text(&one["Value"]))).collect(),
    }
}

fn data(question: &Value, metrics: &Metrics) -> Value {
    let (from, to) = (question["StartTime"].as_i64().unwrap(), question["EndTime"].as_i64().unwrap());
    let result = |query: &Value| {
        let stat = &query["MetricStat"];
        let points = metrics.0.get(&series(&stat["Metric"])).map(Vec::as_slice).unwrap_or_default();
        let period = stat["Period"].as_i64().unwrap();
        let mut periods: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
        for (at, value) in points {
            let begin = at - at.rem_euclid(period);
            if (from..to).contains(&begin) {
                periods.entry(begin).or_default().push(*value);
            }
        }
        let statistic = stat["Stat"].as_str().unwrap();
        // The newest first, unless the question is for another order.
        let (times, values): (Vec<Value>, Vec<f64>) =
            periods.iter().rev().map(|(at, values)| (cbor::time(*at), apply(statistic, values))).unzip();
        json!({"Id": query["Id"], "Label": "", "Timestamps": times, "Values": values, "StatusCode": "Complete"})
    };
    let results: Vec<Value> = question["MetricDataQueries"].as_array().unwrap().iter().map(result).collect();
    json!({"MetricDataResults": results})
}

fn apply(statistic: &str, values: &[f64]) -> f64 {
    let sum: f64 = values.iter().sum();
    match statistic {
        "Sum" => sum,
        "Average" => sum / values.len() as f64,
        "Minimum" => values.iter().copied().fold(f64::INFINITY, f64::min),
        "Maximum" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "SampleCount" => values.len() as f64,
        other => panic!("the emulator has no statistic {other}"),
    }
}

fn list(question: &Value, metrics: &Metrics) -> Value {
    let wanted = series(question);
    let since = seconds(SystemTime::now()) - LISTED;
    let fits = |(there, points): &(&Series, &Vec<(i64, f64)>)| {
        there.namespace == wanted.namespace
            && there.metric == wanted.metric
            && wanted.dimensions.iter().all(|(name, value)| there.dimensions.get(name) == Some(value))
            && points.iter().any(|(at, _)| *at >= since)
    };
    let shown = metrics.0.iter().filter(fits).map(|(there, _)| {
        let dimensions = there.dimensions.iter().map(|(name, value)| json!({"Name": name, "Value": value}));
        let dimensions: Vec<Value> = dimensions.collect();
        json!({"Namespace": there.namespace, "MetricName": there.metric, "Dimensions": dimensions})
    });
    json!({"Metrics": shown.collect::<Vec<_>>()})
}
