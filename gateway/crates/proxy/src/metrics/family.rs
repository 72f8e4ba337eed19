use prometheus::{
    core::Desc,
    proto::{self, MetricType},
};

/// A metric as the README describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name; what Prometheus appends to a histogram's (`_bucket`, `_sum`, `_count`) is left out.
    pub name: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says, in one sentence.
    pub help: &'static str,
}

/// The kinds of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises, but for a restart.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Durations in seconds, in buckets.
    Histogram,
}

impl Family {
    /// As the registry wants it.
    pub(super) fn desc(&self) -> Desc {
        let labels = self.labels.iter().map(|&label| label.to_owned()).collect();
        Desc::new(self.name.to_owned(), self.help.to_owned(), labels, Default::default())
            .expect("names in the table are well-formed")
    }

    /// What is printed. A family without series is not.
    pub(super) fn gathered(&self, series: Vec<proto::Metric>) -> proto::MetricFamily {
        let mut family = proto::MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(match self.kind {
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge => MetricType::GAUGE,
            Kind::Histogram => MetricType::HISTOGRAM,
        });
        family.set_metric(series);
        family
    }

    /// One series of a counter or gauge; `labels` as in the table's order.
    pub(super) fn series(&self, labels: &[&str], value: u64) -> proto::Metric {
        let mut metric = self.labelled(labels);
        let value = value as f64;
        if self.kind == Kind::Gauge {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        } else {
            let mut counter = proto::Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        }
        metric
    }

    /// One series of a histogram. `counts` are of each bucket alone; there is one more than bounds, for the rest,
    /// which the encoder makes the bucket `+Inf` of.
    pub(super) fn histogram(
        &self,
        labels: &[&str],
        bounds: &[f64],
        counts: &[u64],
        sum: f64,
    ) -> proto::Metric {
        let mut total = 0;
        let mut buckets = Vec::with_capacity(bounds.len());
        for (count, bound) in counts.iter().zip(bounds) {
            total += count;
            let mut bucket = proto::Bucket::default();
            bucket.set_cumulative_count(total);
            bucket.set_upper_bound(*bound);
            buckets.push(bucket);
        }
        let mut histogram = proto::Histogram::default();
        histogram.set_sample_count(counts.iter().sum());
        histogram.set_sample_sum(sum);
        histogram.set_bucket(buckets);
        let mut metric = self.labelled(labels);
        metric.set_histogram(histogram);
        metric
    }

    fn labelled(&self, values: &[&str]) -> proto::Metric {
        debug_assert_eq!(values.len(), self.labels.len(), "{}", self.name);
        let pairs = self.labels.iter().zip(values).map(|(name, value)| {
            let mut pair = proto::LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        });
        proto::Metric::from_label(pairs.collect())
    }
}
