//! What CloudWatch has counted.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_cloudwatch::types::{
    Dimension, DimensionFilter, Metric, MetricDataQuery, MetricDataResult, MetricStat, StatusCode,
};
use aws_smithy_types::DateTime;

use super::MigrationAws;
use super::error::Told as _;
use crate::inventory::MetricGate;
use crate::migrate::ports::{BalancerFacts, BalancerKind, CallError};

const READ: &str = "cloudwatch:GetMetricData";
/// Balancers count by the minute.
const MINUTE: i64 = 60;
/// Seconds after which CloudWatch can be asked about a minute: what was counted takes a while to be told.
const LATE: i64 = 180;
/// A value of a gate is no news any more after so many periods, or after ten minutes.
const NEWS: i64 = 5;

/// A metric, as it is asked for.
struct Asked<'a> {
    namespace: &'a str,
    metric: &'a str,
    dimensions: Vec<(String, String)>,
    statistic: &'a str,
    period: i64,
}

/// When a value begins, in seconds since 1970, and the value.
type Point = (i64, f64);

impl MigrationAws {
    /// Nothing is told of a balancer that nobody uses, as if it were not counted; so what has not been counted for two weeks
    /// is taken for what nobody counts.
    pub(super) async fn count_flows(
        &self,
        balancer: &BalancerFacts,
        seconds: u32,
    ) -> Result<Option<u64>, CallError> {
        let Some(asked) = flows_of(balancer) else { return Ok(None) };
        let points = self.points(&asked, flow_window(now(), seconds)).await?;
        if points.is_empty() && !self.is_counted(&asked).await? {
            return Ok(None);
        }
        Ok(Some(total(&points)))
    }

    pub(super) async fn newest_value(&self, gate: &MetricGate) -> Result<Option<f64>, CallError> {
        let period = i64::from(gate.period.max(1));
        let asked = Asked {
            namespace: &gate.namespace,
            metric: &gate.metric,
            dimensions: gate.dimensions.clone(),
            statistic: &gate.statistic,
            period,
        };
        let points = self.points(&asked, gate_window(now(), period)).await?;
        Ok(newest(&points))
    }

    async fn points(&self, asked: &Asked<'_>, (from, to): (i64, i64)) -> Result<Vec<Point>, CallError> {
        let request = self
            .cloudwatch
            .get_metric_data()
            .metric_data_queries(query(asked))
            .start_time(DateTime::from_secs(from))
            .end_time(DateTime::from_secs(to));
        let mut pages = request.into_paginator().send();
        let mut points = Vec::new();
        while let Some(page) = pages.next().await {
            for result in page.told(READ)?.metric_data_results() {
                points.extend(points_of(result)?);
            }
        }
        Ok(points)
    }

    /// Whether it has had a value in the last two weeks.
    async fn is_counted(&self, asked: &Asked<'_>) -> Result<bool, CallError> {
        let filter =
            |(name, value): &(String, String)| DimensionFilter::builder().name(name).value(value).build();
        let request = self
            .cloudwatch
            .list_metrics()
            .namespace(asked.namespace)
            .metric_name(asked.metric)
            .set_dimensions(Some(asked.dimensions.iter().map(filter).collect()));
        let answer = request.send().await.told("cloudwatch:ListMetrics")?;
        // Others may have more dimensions, such as the zone.
        let same = |metric: &Metric| metric.dimensions().len() == asked.dimensions.len();
        Ok(answer.metrics().iter().any(same))
    }
}

fn now() -> i64 {
    // invariant: nobody's clock is before 1970 or beyond what 63 bits of seconds hold.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// How connections of a balancer are counted; those that forward packets count none.
fn flows_of(balancer: &BalancerFacts) -> Option<Asked<'static>> {
    let (namespace, metric) = match balancer.kind {
        BalancerKind::Network => ("AWS/NetworkELB", "NewFlowCount"),
        BalancerKind::Application => ("AWS/ApplicationELB", "RequestCount"),
        BalancerKind::Gateway => return None,
    };
    let (_, tail) = balancer.arn.split_once(":loadbalancer/")?;
    let dimensions = vec![("LoadBalancer".to_owned(), tail.to_owned())];
    Some(Asked { namespace, metric, dimensions, statistic: "Sum", period: MINUTE })
}

/// So many seconds back, and what may not have been told yet: longer rather than shorter, since nobody is to be taken
/// for gone who is not.
fn flow_window(now: i64, seconds: u32) -> (i64, i64) {
    let from = now - i64::from(seconds) - LATE;
    (from - from.rem_euclid(MINUTE), now)
}

/// Whole periods: the sum of one that has just begun is always small.
fn gate_window(now: i64, period: i64) -> (i64, i64) {
    let to = now - now.rem_euclid(period);
    (to - (NEWS * period).max(10 * MINUTE), to)
}

fn total(points: &[Point]) -> u64 {
    let sum: f64 = points.iter().map(|(_, value)| value).sum();
    // Rounding must not make nothing of something.
    sum.max(0.0).ceil() as u64
}

fn newest(points: &[Point]) -> Option<f64> {
    points.iter().max_by_key(|(at, _)| *at).map(|(_, value)| *value)
}

fn query(asked: &Asked<'_>) -> MetricDataQuery {
    let dimension = |(name, value): &(String, String)| Dimension::builder().name(name).value(value).build();
    let metric = Metric::builder()
        .namespace(asked.namespace)
        .metric_name(asked.metric)
        .set_dimensions(Some(asked.dimensions.iter().map(dimension).collect()))
        .build();
    let stat = MetricStat::builder()
        .metric(metric)
        .period(i32::try_from(asked.period).unwrap_or(i32::MAX))
        .stat(asked.statistic)
        .build();
    MetricDataQuery::builder().id("one").metric_stat(stat).build()
}

fn points_of(result: &MetricDataResult) -> Result<Vec<Point>, CallError> {
    match result.status_code() {
        Some(StatusCode::Forbidden) => {
            return Err(CallError::Denied(format!("{READ}: this metric may not be read")));
        }
        Some(StatusCode::InternalError) => {
            return Err(CallError::Unknown(format!("{READ}: CloudWatch could not read it")));
        }
        // What is missing of it comes with the next page.
        _ => {}
    }
    let at = result.timestamps().iter().map(|at| at.secs());
    Ok(at.zip(result.values().iter().copied()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balancer(kind: BalancerKind, arn: &str) -> BalancerFacts {
        BalancerFacts {
            arn: arn.to_owned(),
            dns_name: String::new(),
            hosted_zone: String::new(),
            kind,
            is_internal: false,
            is_active: true,
            vpc: String::new(),
            subnets: Vec::new(),
            groups: Vec::new(),
            target_groups: Vec::new(),
        }
    }

    #[test]
    fn each_kind_of_balancer_counts_in_its_own_way() {
        let arn = "arn:aws:elasticloadbalancing:eu-central-1:1:loadbalancer/net/blue/0123";
        let asked = flows_of(&balancer(BalancerKind::Network, arn)).unwrap();
        assert_eq!((asked.namespace, asked.metric), ("AWS/NetworkELB", "NewFlowCount"));
        assert_eq!(asked.dimensions, [("LoadBalancer".to_owned(), "net/blue/0123".to_owned())]);
        let asked = flows_of(&balancer(BalancerKind::Application, arn)).unwrap();
        assert_eq!((asked.namespace, asked.metric), ("AWS/ApplicationELB", "RequestCount"));
        assert!(flows_of(&balancer(BalancerKind::Gateway, arn)).is_none());
    }

    #[test]
    fn flows_are_looked_for_in_whole_minutes_and_never_in_less_than_was_asked() {
        // 10:04:30
        let now = 36_270;
        assert_eq!(flow_window(now, 60), (36_000, now));
        assert_eq!(flow_window(now, 91), (35_940, now));
    }

    #[test]
    fn a_gate_is_judged_by_a_period_that_is_over() {
        let now = 36_270;
        assert_eq!(gate_window(now, 60), (36_240 - 600, 36_240));
        assert_eq!(gate_window(now, 300), (36_000 - 1500, 36_000));
        assert_eq!(newest(&[(60, 1.0), (180, 3.0), (120, 2.0)]), Some(3.0));
        assert_eq!(newest(&[]), None);
    }

    #[test]
    fn what_cloudwatch_could_not_or_may_not_tell_is_no_zero() {
        let result = |status| MetricDataResult::builder().status_code(status).build();
        assert!(matches!(points_of(&result(StatusCode::Forbidden)), Err(CallError::Denied(_))));
        assert!(matches!(points_of(&result(StatusCode::InternalError)), Err(CallError::Unknown(_))));
        assert_eq!(points_of(&result(StatusCode::Complete)), Ok(Vec::new()));
    }
}
