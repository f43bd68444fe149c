//! Plots as inline SVG, drawn here and not by a script. Text keeps its size at every width: only the lines lie in
//! stretched coordinates, everything else is placed in percent.

use std::fmt::Write as _;

use super::figures;

/// The side of the stretched square in which lines are drawn.
const SIDE: f64 = 1000.0;

/// How many looks a line may have.
pub(super) const LOOKS: usize = 5;

/// How values become places.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scale {
    Linear,
    Log,
    /// Percentiles by the number of nines: 90, 99, 99.9 lie equally far apart.
    Nines,
}

/// One axis: what lies at its ends, and what is written along it.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From nought to a round number above every value; by decades when they span more than two of them.
    pub(super) fn fitting(values: impl Iterator<Item = f64> + Clone, name: fn(f64) -> String) -> Self {
        let most = values.clone().filter(|value| value.is_finite()).fold(0.0, f64::max);
        let least = values.filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
        if most / least > 100.0 { Self::decades(least, most, name) } else { Self::linear(most, name) }
    }

    /// From nought to a round number not below `most`.
    pub(super) fn linear(most: f64, name: fn(f64) -> String) -> Self {
        let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
        let power = 10_f64.powf((most / 4.0).log10().floor());
        let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|step| step * power);
        let step = steps.into_iter().find(|step| step * 4.0 >= most).unwrap_or(power * 10.0);
        let count = (most / step).ceil().max(1.0);
        let ticks = (0..=count as u32).map(|tick| f64::from(tick) * step);
        let ticks = ticks.map(|value| (value, figures::short(&name(value)))).collect();
        Self { scale: Scale::Linear, low: 0.0, high: count * step, ticks }
    }

    fn decades(least: f64, most: f64, name: fn(f64) -> String) -> Self {
        let (first, last) = (least.log10().floor() as i32, most.log10().ceil() as i32);
        let step = ((last - first) as usize).div_ceil(6).max(1);
        let ticks = (first..=last).step_by(step).map(|power| 10_f64.powi(power));
        let ticks = ticks.map(|value| (value, figures::short(&name(value)))).collect();
        Self { scale: Scale::Log, low: f64::from(first), high: f64::from(last), ticks }
    }

    /// Seconds from the start of a run.
    pub(super) fn seconds(last: u32) -> Self {
        const STEPS: [u32; 15] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400];
        let last = last.max(1);
        let step = STEPS.into_iter().find(|step| last / step <= 6).unwrap_or(last.div_ceil(6));
        let ticks = (0..=last / step).map(|tick| tick * step);
        let ticks = ticks.map(|at| (f64::from(at), figures::clock(u64::from(at)).replace(" min", ""))).collect();
        Self { scale: Scale::Linear, low: 0.0, high: f64::from(last), ticks }
    }

    /// Percentiles, as far as `count` values can tell.
    pub(super) fn nines(count: u64) -> Self {
        const NAMES: [(f64, &str); 6] =
            [(50.0, "50"), (90.0, "90"), (99.0, "99"), (99.9, "99.9"), (99.99, "99.99"), (99.999, "99.999")];
        let high = (count.max(1) as f64).log10().clamp(1.0, 5.2);
        let mut axis = Self { scale: Scale::Nines, low: 0.0, high, ticks: Vec::new() };
        let fits = |(value, _): &(f64, &str)| axis.place(*value) < 0.88;
        let ticks: Vec<_> = NAMES.into_iter().filter(fits).map(|(value, name)| (value, name.to_owned())).collect();
        axis.ticks = ticks;
        axis.ticks.push((100.0, "max".to_owned()));
        axis
    }

    /// Whether equal distances stand for equal factors.
    pub(super) fn is_log(&self) -> bool {
        self.scale == Scale::Log
    }

    /// Where a value lies, between 0 and 1.
    fn place(&self, value: f64) -> f64 {
        let value = match self.scale {
            Scale::Linear => value,
            Scale::Log => value.log10(),
            Scale::Nines => -(1.0 - value / 100.0).max(1e-9).log10(),
        };
        let place = (value - self.low) / (self.high - self.low);
        if place.is_nan() { 0.0 } else { place.clamp(0.0, 1.0) }
    }
}

/// One line of a plot.
pub(super) struct Line {
    /// What it shows.
    pub(super) name: String,
    /// Which of the [`LOOKS`] it has: each differs from the others in colour and in dash.
    pub(super) look: usize,
    /// A value, or a gap, for each point of the plot.
    pub(super) values: Vec<Option<f64>>,
}

/// A plot, ready to be drawn.
pub(super) struct Plot<'a> {
    /// Unlike any other plot's.
    pub(super) id: &'a str,
    /// What it shows, in few words.
    pub(super) title: &'a str,
    /// How it is to be read.
    pub(super) note: String,
    /// Along the foot.
    pub(super) x: Axis,
    /// Along the side.
    pub(super) y: Axis,
    /// Where each point lies on `x`, and its name.
    pub(super) points: Vec<(f64, String)>,
    /// What is drawn.
    pub(super) lines: Vec<Line>,
    /// Where something began, on `x`, and what to write there.
    pub(super) marks: Vec<(f64, String)>,
    /// How a value is written.
    pub(super) unit: fn(f64) -> String,
    /// How much room it takes: `full` width, a low `strip`, or nothing special.
    pub(super) room: &'static str,
}

impl Plot<'_> {
    /// The plot as a figure, or a sentence when there is nothing to draw.
    pub(super) fn html(&self) -> String {
        let Self { id, title, .. } = self;
        let mut out = format!("<figure class=\"plot {}\" id=\"{id}\">\n", self.room);
        let _ = writeln!(out, "<figcaption><h3>{}</h3><p>{}</p></figcaption>", escape(title), escape(&self.note));
        if self.lines.iter().all(|line| line.values.iter().all(Option::is_none)) {
            out.push_str("<p class=\"none\">Nothing was measured.</p>\n</figure>\n");
            return out;
        }
        self.legend(&mut out);
        let at: Vec<String> = self.points.iter().map(|(x, _)| decimal(self.x.place(*x) * SIDE)).collect();
        let names: Vec<&str> = self.points.iter().map(|(_, name)| name.as_str()).collect();
        let _ = writeln!(
            out,
            "<svg class=\"area\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\" data-at=\"{}\" data-names=\"{}\">\n\
             <title id=\"{id}-title\">{}</title>\n<desc id=\"{id}-desc\">{}</desc>",
            at.join(" "),
            escape(&names.join("|")),
            escape(title),
            escape(&self.in_words())
        );
        self.grid(&mut out);
        let _ = writeln!(out, "<svg class=\"lines\" viewBox=\"0 0 {SIDE} {SIDE}\" preserveAspectRatio=\"none\">");
        let mut dots = String::new();
        for line in &self.lines {
            self.line(line, &mut out, &mut dots);
        }
        let _ = writeln!(out, "</svg>\n{dots}</svg>\n</figure>");
        out
    }

    fn legend(&self, out: &mut String) {
        if self.lines.len() < 2 {
            return;
        }
        out.push_str("<ul class=\"legend\">");
        for Line { name, look, .. } in &self.lines {
            let _ = write!(
                out,
                "<li><svg class=\"key\" aria-hidden=\"true\"><line class=\"line look-{look}\" x1=\"2\" x2=\"34\" y1=\"6\" \
                 y2=\"6\"/></svg>{}</li>",
                escape(name)
            );
        }
        out.push_str("</ul>\n");
    }

    /// What somebody who does not see the plot is told.
    fn in_words(&self) -> String {
        let range = |line: &Line| {
            let known = || line.values.iter().flatten().copied();
            let (least, most) = (known().fold(f64::INFINITY, f64::min), known().fold(0.0, f64::max));
            format!("{}: from {} to {}.", line.name, (self.unit)(least), (self.unit)(most))
        };
        self.lines
            .iter()
            .filter(|line| line.values.iter().any(Option::is_some))
            .map(range)
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn grid(&self, out: &mut String) {
        for (value, name) in &self.y.ticks {
            let y = decimal(100.0 - self.y.place(*value) * 100.0);
            let _ = writeln!(
                out,
                "<line class=\"grid\" x1=\"0\" x2=\"100%\" y1=\"{y}%\" y2=\"{y}%\"/><text class=\"side\" x=\"-8\" y=\"{y}%\" \
                 dy=\"4\">{}</text>",
                escape(name)
            );
        }
        for (value, name) in &self.x.ticks {
            let x = decimal(self.x.place(*value) * 100.0);
            let _ = writeln!(
                out,
                "<line class=\"grid\" x1=\"{x}%\" x2=\"{x}%\" y1=\"0\" y2=\"100%\"/><text class=\"foot\" x=\"{x}%\" y=\"100%\" \
                 dy=\"18\">{}</text>",
                escape(name)
            );
        }
        for (value, name) in &self.marks {
            let x = decimal(self.x.place(*value) * 100.0);
            let _ = writeln!(
                out,
                "<line class=\"mark\" x1=\"{x}%\" x2=\"{x}%\" y1=\"0\" y2=\"100%\"/><text class=\"head\" x=\"{x}%\" y=\"0\" \
                 dy=\"-5\">{}</text>",
                escape(name)
            );
        }
    }

    /// One path with a gap wherever nothing is known; a point without neighbours becomes a dot.
    fn line(&self, line: &Line, out: &mut String, dots: &mut String) {
        let known = |place: usize| line.values.get(place).copied().flatten();
        let (mut path, mut read) = (String::new(), String::new());
        for (place, (x, _)) in self.points.iter().enumerate() {
            let before = place.checked_sub(1).and_then(known);
            if place > 0 {
                read.push('|');
            }
            let Some(value) = known(place) else { continue };
            read.push_str(&(self.unit)(value));
            let (x, y) = (self.x.place(*x), 1.0 - self.y.place(value));
            if before.is_some() || known(place + 1).is_some() {
                let step = if before.is_some() { 'L' } else { 'M' };
                let _ = write!(path, "{step}{} {}", decimal(x * SIDE), decimal(y * SIDE));
            } else {
                let (x, y) = (decimal(x * 100.0), decimal(y * 100.0));
                let _ = writeln!(dots, "<circle class=\"dot look-{}\" cx=\"{x}%\" cy=\"{y}%\" r=\"4\"/>", line.look);
            }
        }
        let _ = writeln!(
            out,
            "<path class=\"line look-{}\" data-name=\"{}\" data-read=\"{}\" d=\"{path}\"/>",
            line.look,
            escape(&line.name),
            escape(&read)
        );
    }
}

/// One place behind the point, none when it is nought.
fn decimal(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// Text that is text wherever it stands: between tags or in an attribute.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' => out.push(letter),
            letter if letter.is_control() => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, name)| name.as_str()).collect()
    }

    #[test]
    fn an_axis_ends_on_round_numbers() {
        assert_eq!(ticks(&Axis::linear(0.0, figures::compact)), ["0", "0.25", "0.5", "0.75", "1"]);
        assert_eq!(ticks(&Axis::linear(7.0, figures::compact)), ["0", "2", "4", "6", "8"]);
        assert_eq!(ticks(&Axis::linear(41_000.0, figures::compact)), ["0", "20 k", "40 k", "60 k"]);
        assert_eq!(ticks(&Axis::linear(9_999.0, figures::time)), ["0 µs", "2.5 ms", "5 ms", "7.5 ms", "10 ms"]);
    }

    #[test]
    fn values_wide_apart_get_decades() {
        let narrow = Axis::fitting([100.0, 9_000.0].into_iter(), figures::time);
        assert!(!narrow.is_log());
        let wide = Axis::fitting([0.0, 90.0, 20_000.0].into_iter(), figures::time);
        assert_eq!(ticks(&wide), ["10 µs", "100 µs", "1 ms", "10 ms", "100 ms"]);
        assert_eq!([0.0, 10.0, 1_000.0, 1e9].map(|value| wide.place(value)), [0.0, 0.0, 0.5, 1.0]);
    }

    #[test]
    fn nines_lie_equally_far_apart_and_end_where_the_values_do() {
        let axis = Axis::nines(10_000);
        assert_eq!(ticks(&axis), ["50", "90", "99", "99.9", "max"]);
        let gap = axis.place(99.0) - axis.place(90.0);
        assert!((axis.place(99.9) - axis.place(99.0) - gap).abs() < 1e-9);
        assert_eq!((axis.place(0.0), axis.place(100.0)), (0.0, 1.0));
        assert_eq!(ticks(&Axis::nines(1)), ["50", "max"]);
    }

    #[test]
    fn seconds_have_at_most_seven_marks() {
        for last in [0, 1, 7, 59, 61, 600, 86_400, u32::MAX] {
            let axis = Axis::seconds(last);
            assert!((2..=7).contains(&axis.ticks.len()), "{last}: {:?}", axis.ticks);
        }
    }

    #[test]
    fn a_gap_breaks_the_line_and_a_lone_point_is_a_dot() {
        let plot = Plot {
            id: "p",
            title: "T",
            note: String::new(),
            x: Axis::seconds(4),
            y: Axis::linear(10.0, figures::compact),
            points: (0..5).map(|at| (f64::from(at), at.to_string())).collect(),
            lines: vec![Line {
                name: "l".to_owned(),
                look: 0,
                values: vec![Some(0.0), Some(5.0), None, Some(10.0), None],
            }],
            marks: Vec::new(),
            unit: figures::number,
            room: "",
        };
        let html = plot.html();
        assert!(html.contains("d=\"M0 1000L250 500\""), "{html}");
        assert!(html.contains("cx=\"75%\" cy=\"0%\""), "{html}");
        assert!(html.contains("data-read=\"0|5||10|\""), "{html}");
        assert!(html.contains("l: from 0 to 10."), "{html}");
    }
}
