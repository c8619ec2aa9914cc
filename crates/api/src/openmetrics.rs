// SPDX-License-Identifier: EUPL-1.2
//! The page of figures in OpenMetrics' text form (version 1.0.0), which alone has a place for exemplars. Whoever asks for it by
//! `Accept` gets it; everyone else gets Prometheus' older form.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

use crate::exemplars::Exemplar;

/// How the page names itself.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Ends of names that are units.
const UNITS: [&str; 3] = ["seconds", "bytes", "ratio"];
/// What the name of a counter's samples ends with.
const TOTAL: &str = "_total";

/// Whether a request's `Accept` asks for it: by its name, without refusing it. Parameters say which version somebody knows; there is
/// one, and its readers read all that is written here.
pub(crate) fn is_wanted(accept: &str) -> bool {
    accept.split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named =
            parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/openmetrics-text"));
        named && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

/// The page. `exemplars` gives those of a histogram's buckets, by the name of its family.
pub(crate) fn page(families: &[MetricFamily], exemplars: impl Fn(&str) -> Vec<Option<Exemplar>>) -> String {
    let mut page = String::new();
    let names: BTreeSet<&str> = families.iter().map(MetricFamily::name).collect();
    for family in families {
        // A counter's family has the name without what its samples end with. What counts and does not end so, or would have another's
        // name (`things_total` beside `things`), is of no kind here.
        let counted = family.name().strip_suffix(TOTAL).filter(|name| !names.contains(name));
        // Writing to memory doesn't fail.
        let _ = write_family(&mut page, family, counted, &exemplars(family.name()));
    }
    page.push_str("# EOF\n");
    page
}

fn write_family(
    page: &mut String,
    family: &MetricFamily,
    counted: Option<&str>,
    exemplars: &[Option<Exemplar>],
) -> fmt::Result {
    let kind = family.get_field_type();
    let counted = counted.filter(|_| kind == MetricType::COUNTER);
    let name = counted.unwrap_or(family.name());
    let word = match kind {
        MetricType::COUNTER if counted.is_some() => "counter",
        MetricType::COUNTER | MetricType::UNTYPED => "unknown",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY => "summary",
    };
    writeln!(page, "# TYPE {name} {word}")?;
    let is_unit = |unit: &&&str| name.strip_suffix(**unit).is_some_and(|rest| rest.ends_with('_'));
    if let Some(unit) = UNITS.iter().find(is_unit) {
        writeln!(page, "# UNIT {name} {unit}")?;
    }
    writeln!(page, "# HELP {name} {}", Escaped(family.help()))?;
    for metric in family.get_metric() {
        let labels = metric.get_label();
        match kind {
            MetricType::COUNTER => {
                sample(page, family.name(), labels, None, metric.get_counter().get_value())?;
            }
            MetricType::GAUGE => sample(page, name, labels, None, metric.get_gauge().get_value())?,
            // The library makes none.
            MetricType::UNTYPED => {}
            MetricType::HISTOGRAM => write_histogram(page, name, metric, exemplars)?,
            MetricType::SUMMARY => {
                let summary = metric.get_summary();
                for quantile in summary.get_quantile() {
                    let at = Number(quantile.quantile()).to_string();
                    sample(page, name, labels, Some(("quantile", &at)), quantile.value())?;
                }
                sample(page, &format!("{name}_sum"), labels, None, summary.sample_sum())?;
                sample(page, &format!("{name}_count"), labels, None, summary.sample_count() as f64)?;
            }
        }
    }
    Ok(())
}

fn write_histogram(
    page: &mut String,
    name: &str,
    metric: &Metric,
    exemplars: &[Option<Exemplar>],
) -> fmt::Result {
    let (histogram, labels) = (metric.get_histogram(), metric.get_label());
    let all = histogram.get_sample_count();
    let bounded =
        histogram.get_bucket().iter().map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
    let bounded = bounded.filter(|(bound, _)| bound.is_finite());
    for (at, (bound, count)) in bounded.chain([(f64::INFINITY, all)]).enumerate() {
        let bound = Bound(bound).to_string();
        write_sample(page, &format!("{name}_bucket"), labels, Some(("le", &bound)), count as f64)?;
        if let Some(Exemplar { trace, seconds, at }) = exemplars.get(at).copied().flatten() {
            write!(page, " # {{trace_id=\"{trace}\"}} {} {at:.3}", Number(seconds))?;
        }
        page.push('\n');
    }
    sample(page, &format!("{name}_count"), labels, None, all as f64)?;
    sample(page, &format!("{name}_sum"), labels, None, histogram.get_sample_sum())
}

fn sample(
    page: &mut String,
    name: &str,
    labels: &[LabelPair],
    further: Option<(&str, &str)>,
    value: f64,
) -> fmt::Result {
    write_sample(page, name, labels, further, value)?;
    page.push('\n');
    Ok(())
}

/// A sample without the end of its line.
fn write_sample(
    page: &mut String,
    name: &str,
    labels: &[LabelPair],
    further: Option<(&str, &str)>,
    value: f64,
) -> fmt::Result {
    page.push_str(name);
    let labels = labels.iter().map(|label| (label.name(), label.value())).chain(further);
    let mut before = '{';
    for (label, value) in labels {
        write!(page, "{before}{label}=\"{}\"", Escaped(value))?;
        before = ',';
    }
    if before == ',' {
        page.push('}');
    }
    write!(page, " {}", Number(value))
}

/// A figure as it is written.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            value if value.is_nan() => formatter.write_str("NaN"),
            value if value == f64::INFINITY => formatter.write_str("+Inf"),
            value if value == f64::NEG_INFINITY => formatter.write_str("-Inf"),
            value => value.fmt(formatter),
        }
    }
}

/// A bucket's bound, which is always written as no whole number.
struct Bound(f64);

impl fmt::Display for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `{:?}` has the point that `{}` leaves out, and says large ones by their exponent.
        if self.0.is_finite() { write!(formatter, "{:?}", self.0) } else { Number(self.0).fmt(formatter) }
    }
}

/// Text in which nothing ends a line or a value.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\\' => formatter.write_str("\\\\")?,
                '\n' => formatter.write_str("\\n")?,
                '"' => formatter.write_str("\\\"")?,
                other => formatter.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

    use super::*;
    use crate::traces::TraceId;

    #[test]
    fn every_kind_of_figure_is_written_as_the_form_has_it() {
        let registry = Registry::new();
        let counter = IntCounterVec::new(Opts::new("a_total", "Say \"a\".\nTwice."), &["what"]).unwrap();
        counter.with_label_values(&["x\\y\"z\n"]).inc_by(3);
        registry.register(Box::new(counter)).unwrap();
        let beside = IntCounter::new("c_free_bytes_total", "Would have the name of another.").unwrap();
        registry.register(Box::new(beside)).unwrap();
        let uncounted = IntCounter::new("b_made", "Ends otherwise.").unwrap();
        registry.register(Box::new(uncounted)).unwrap();
        let gauge = Gauge::new("c_free_bytes", "Bytes.").unwrap();
        gauge.set(f64::NAN);
        registry.register(Box::new(gauge)).unwrap();
        let options = HistogramOpts::new("d_seconds", "Times.").buckets(vec![0.25, 1.0, 4_000_000.0]);
        let histogram = HistogramVec::new(options, &["way"]).unwrap();
        for seconds in [0.2, 0.5, 2.0] {
            histogram.with_label_values(&["up"]).observe(seconds);
        }
        registry.register(Box::new(histogram)).unwrap();
        let exemplar = Exemplar { trace: TraceId([0xab; 16]), seconds: 0.5, at: 1_700_000_000.25 };
        let exemplars = |name: &str| match name {
            "d_seconds" => vec![None, Some(exemplar), None, None],
            _ => Vec::new(),
        };
        let expected = r##"# TYPE a counter
# HELP a Say \"a\".\nTwice.
a_total{what="x\\y\"z\n"} 3
# TYPE b_made unknown
# HELP b_made Ends otherwise.
b_made 0
# TYPE c_free_bytes gauge
# UNIT c_free_bytes bytes
# HELP c_free_bytes Bytes.
c_free_bytes NaN
# TYPE c_free_bytes_total unknown
# HELP c_free_bytes_total Would have the name of another.
c_free_bytes_total 0
# TYPE d_seconds histogram
# UNIT d_seconds seconds
# HELP d_seconds Times.
d_seconds_bucket{way="up",le="0.25"} 1
d_seconds_bucket{way="up",le="1.0"} 2 # {trace_id="abababababababababababababababab"} 0.5 1700000000.250
d_seconds_bucket{way="up",le="4000000.0"} 3
d_seconds_bucket{way="up",le="+Inf"} 3
d_seconds_count{way="up"} 3
d_seconds_sum{way="up"} 2.7
# EOF
"##;
        assert_eq!(page(&registry.gather(), exemplars), expected);
    }

    #[test]
    fn it_is_for_those_who_ask_for_it() {
        for accept in [
            "application/openmetrics-text; version=1.0.0",
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "text/plain, Application/OpenMetrics-Text",
        ] {
            assert!(is_wanted(accept), "{accept}");
        }
        for accept in
            ["", "*/*", "text/plain;version=0.0.4", "application/openmetrics-text;q=0", "application/json"]
        {
            assert!(!is_wanted(accept), "{accept}");
        }
    }
}
