//! What `/metrics` says, in Prometheus' text format (0.0.4): each line a sample, or a mistake that is named.

use std::collections::BTreeMap;

use super::arithmetic::Histogram;
use super::plain::Plain;

/// All samples of one scrape.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scrape(Vec<Sample>);

#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: Box<str>,
    labels: Vec<(Box<str>, Plain)>,
    value: f64,
}

impl Scrape {
    /// Reads it.
    ///
    /// # Errors
    /// Which line is neither a comment nor a sample: then this is no gateway's `/metrics`.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let lines = text.lines().enumerate().filter(|(_, line)| !(line.trim().is_empty() || line.starts_with('#')));
        let read = lines.map(|(at, line)| Sample::read(line).ok_or(at + 1));
        let samples: Result<Vec<Sample>, usize> = read.collect();
        samples.map(Self).map_err(|line| format!("line {line} of /metrics is no sample"))
    }

    /// The one sample of this name.
    #[must_use]
    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        self.named(name).map(|sample| sample.value).next()
    }

    /// All samples of this name together; none is nothing.
    #[must_use]
    pub(crate) fn total(&self, name: &str) -> f64 {
        self.named(name).map(|sample| sample.value).filter(|value| value.is_finite()).sum()
    }

    /// The samples of this name, by the values of these labels.
    #[must_use]
    pub(crate) fn by<const N: usize>(&self, name: &str, labels: [&str; N]) -> BTreeMap<[Plain; N], f64> {
        let mut found = BTreeMap::new();
        for sample in self.named(name) {
            *found.entry(labels.map(|label| sample.label(label))).or_insert(0.0) += sample.value;
        }
        found
    }

    /// The histogram of this name, those of all labels added.
    #[must_use]
    pub(crate) fn histogram(&self, name: &str) -> Histogram {
        let buckets = self.by(&format!("{name}_bucket"), ["le"]);
        Histogram::of(buckets.into_iter().filter_map(|([bound], count)| Some((bound.as_str().parse().ok()?, count))))
    }

    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |sample| &*sample.name == name)
    }
}

impl Sample {
    /// `name{label="value",…} number`, perhaps with a time behind it.
    fn read(line: &str) -> Option<Self> {
        let end = line.find(|one: char| !(one.is_ascii_alphanumeric() || one == '_' || one == ':'))?;
        let (name, rest) = line.split_at(end);
        if name.is_empty() || name.starts_with(|one: char| one.is_ascii_digit()) {
            return None;
        }
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => read_labels(rest)?,
            None => (Vec::new(), rest),
        };
        let mut words = rest.split_ascii_whitespace();
        let value = words.next()?.parse().ok()?;
        let time: Option<&str> = words.next();
        let is_whole = words.next().is_none() && time.is_none_or(|time| time.parse::<f64>().is_ok());
        is_whole.then(|| Self { name: name.into(), labels, value })
    }

    fn label(&self, name: &str) -> Plain {
        self.labels.iter().find(|(known, _)| &**known == name).map(|(_, value)| value.clone()).unwrap_or_default()
    }
}

type Labels = Vec<(Box<str>, Plain)>;

/// From behind `{` to behind `}`.
fn read_labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, behind) = rest.split_once('=')?;
        let (value, behind) = read_quoted(behind.trim_start().strip_prefix('"')?)?;
        labels.push((name.trim().into(), Plain::of(&value)));
        let behind = behind.trim_start();
        rest = behind.strip_prefix(',').or_else(|| behind.starts_with('}').then_some(behind))?;
    }
}

/// From behind `"` to behind the next one that is not escaped.
fn read_quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, one)) = characters.next() {
        match one {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "# HELP a Of all.\n# TYPE a counter\na_total{way=\"in\",route=\"/a b\"} 3\na_total{way=\"out\",} 4.5\n\
                        \nb 1 1700000000\nc +Inf\nd{q=\"\\\"\\\\\\n,}\"} NaN\n";

    #[test]
    fn samples_are_found_by_name_and_label() {
        let scrape = Scrape::read(TEXT).expect("sound");
        assert_eq!((scrape.value("b"), scrape.value("nothing"), scrape.total("a_total")), (Some(1.0), None, 7.5));
        let by = scrape.by("a_total", ["way"]);
        assert_eq!(by.get(&[Plain::of("in")]), Some(&3.0));
        assert_eq!(scrape.value("c"), Some(f64::INFINITY));
        let odd = scrape.by("d", ["q"]).into_keys().next().expect("one");
        assert_eq!(odd[0].as_str(), "\"\\�,}");
    }

    #[test]
    fn a_histogram_is_that_of_all_labels() {
        let text = "h_bucket{p=\"a\",le=\"0.1\"} 1\nh_bucket{p=\"a\",le=\"+Inf\"} 2\nh_bucket{p=\"b\",le=\"0.1\"} 3\n\
                    h_bucket{p=\"b\",le=\"+Inf\"} 5\n";
        let histogram = Scrape::read(text).expect("sound").histogram("h");
        assert_eq!(histogram, Histogram::of([(0.1, 4.0), (f64::INFINITY, 7.0)]));
    }

    #[test]
    fn what_is_no_sample_is_told_by_its_line() {
        for line in ["<html>", "a", "a b", "a{b} 1", "a{b=\"c} 1", "a{b=\"c\"d} 1", "1a 1", "a 1 b", "a 1 1 1", "{} 1"]
        {
            let told = Scrape::read(&format!("ok 1\n{line}\n")).expect_err(line);
            assert_eq!(told, "line 2 of /metrics is no sample", "{line}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(text in any::<String>(), value in any::<String>()) {
            let _ = Scrape::read(&text);
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            prop_assume!(!quoted.contains(['\r', '\u{85}', '\u{2028}', '\u{2029}']));
            let scrape = Scrape::read(&format!("a{{b=\"{quoted}\"}} 1")).expect("sound");
            prop_assert_eq!(scrape.by("a", ["b"]).into_keys().next(), Some([Plain::of(&value)]));
        }
    }
}
