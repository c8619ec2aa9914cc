// SPDX-License-Identifier: EUPL-1.2
//! A metrics page as it was read at one moment: Prometheus' text format, as far as our own pages use it.

use std::collections::BTreeMap;

/// All figures of a page, by name and labels as they are written.
#[derive(Debug, Default, Clone)]
pub(crate) struct Page(BTreeMap<String, f64>);

impl Page {
    /// Reads a page. Lines that are none of the format are left out.
    pub(crate) fn read(text: &str) -> Page {
        let figures = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        });
        Page(figures.collect())
    }

    /// Whether it is a page of ours at all.
    pub(crate) fn is_ours(&self) -> bool {
        self.0.keys().any(|series| series.starts_with("parvis_build_info"))
    }

    /// The sum of a figure over all its labels. Nothing there is zero.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        added(self.series(name).map(|(_, value)| value))
    }

    /// The sum over those whose labels have this one among them.
    pub(crate) fn sum_where(&self, name: &str, label: &str, value: &str) -> f64 {
        let wanted = format!("{label}=\"{value}\"");
        let has = |labels: &str| labels.split(',').any(|label| label == wanted);
        added(self.series(name).filter(|(labels, _)| has(labels)).map(|(_, value)| value))
    }

    /// Values of a label that this figure has, in order.
    pub(crate) fn values(&self, name: &str, label: &str) -> Vec<String> {
        let start = format!("{label}=\"");
        let value = |labels: &str| {
            labels.split(',').find_map(|each| Some(each.strip_prefix(&start)?.strip_suffix('"')?.to_owned()))
        };
        let mut values: Vec<String> = self.series(name).filter_map(|(labels, _)| value(labels)).collect();
        values.sort_by_key(|value| (value.len(), value.clone()));
        values.dedup();
        values
    }

    /// The labels, without braces, and the value of each series of this name.
    fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> + 'a {
        self.0.range(name.to_owned()..).take_while(move |(series, _)| series.starts_with(name)).filter_map(
            move |(series, value)| {
                let rest = &series[name.len()..];
                let labels = if rest.is_empty() { "" } else { rest.strip_prefix('{')?.strip_suffix('}')? };
                Some((labels, *value))
            },
        )
    }
}

/// The sum, from a zero without a sign: that of no figures would be written as -0.
fn added(figures: impl Iterator<Item = f64>) -> f64 {
    figures.fold(0.0, |sum, figure| sum + figure)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP parvis_rooms Rooms open.\n# TYPE parvis_rooms gauge\nparvis_rooms 3\n\
        parvis_rooms_lost_total{cause=\"panic\"} 7\nparvis_media_sent_packets_total{shard=\"0\"} 10\n\
        parvis_media_sent_packets_total{shard=\"10\"} 1.5e3\nparvis_media_sent_packets_total{shard=\"2\"} 20\n\
        parvis_build_info{version=\"1.0.0\"} 1\nnonsense\nmore nonsense\n";

    #[test]
    fn figures_are_found_by_their_whole_name_and_by_labels() {
        let page = Page::read(TEXT);
        assert!(page.is_ours());
        assert!((page.sum("parvis_rooms") - 3.0).abs() < f64::EPSILON, "and not the lost ones");
        assert!((page.sum("parvis_media_sent_packets_total") - 1_530.0).abs() < f64::EPSILON);
        assert!(
            (page.sum_where("parvis_media_sent_packets_total", "shard", "0") - 10.0).abs() < f64::EPSILON
        );
        assert_eq!(page.values("parvis_media_sent_packets_total", "shard"), ["0", "2", "10"]);
        assert!(page.sum("parvis_of_another_day").is_sign_positive());
        assert!(!Page::read("go_goroutines 5\n").is_ours());
    }
}
