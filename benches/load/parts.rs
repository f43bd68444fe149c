//! The parts of a run side by side, such as a room without and with members that never read: rows for text and page.

use super::super::report::{Part, Run};
use super::figures;

/// A row: its name, and a cell for each part.
pub(crate) type Row = (&'static str, Vec<String>);

/// The parts' names and the rows below them; nothing when there is only one part, or none.
pub(crate) fn side_by_side(run: &Run) -> Option<(Vec<String>, Vec<Row>)> {
    if run.parts.len() < 2 {
        return None;
    }
    let cells = |of: &dyn Fn(&Part) -> String| run.parts.iter().map(of).collect::<Vec<_>>();
    let maybe = |value: Option<f64>, shown: fn(f64) -> String| value.map_or(figures::NOTHING.to_owned(), shown);
    let mut rows: Vec<Row> = vec![
        ("members who read", cells(&|part| figures::count(part.receivers))),
        ("deliveries due", cells(&|part| figures::count(part.due))),
        ("deliveries", cells(&|part| figures::count(part.deliveries))),
        ("delivered of what was due", cells(&|part| maybe(part.completeness, figures::percent))),
        ("delivery, p50", cells(&|part| figures::time(part.latency.p50 as f64))),
        ("delivery, p99", cells(&|part| figures::time(part.latency.p99 as f64))),
        ("delivery, max", cells(&|part| figures::time(part.latency.max as f64))),
    ];
    if run.server.is_some() {
        let most = |part: &Part| maybe(part.memory_most.map(|most| most as f64), figures::bytes);
        let ends = |part: &Part, end: fn((u64, u64)) -> u64| {
            part.descriptors.map_or(figures::NOTHING.to_owned(), |both| figures::count(end(both)))
        };
        rows.extend([
            ("server CPU a delivery", cells(&|part| maybe(part.cpu_us_per_delivery, figures::time))),
            ("server memory, most", cells(&most)),
            ("server descriptors, at first", cells(&|part| ends(part, |(first, _)| first))),
            ("server descriptors, in the end", cells(&|part| ends(part, |(_, last)| last))),
        ]);
    }
    Some((cells(&|part| part.name.clone()), rows))
}

#[cfg(test)]
mod tests {
    use super::super::super::report::Server;
    use super::*;

    fn run() -> Run {
        let part = |name: &str, missing| Part {
            name: name.to_owned(),
            receivers: 90,
            due: 900,
            deliveries: 900 - missing,
            missing,
            completeness: Some(100.0 - missing as f64 / 9.0),
            descriptors: Some((120, 110)),
            ..Part::default()
        };
        Run { parts: vec![part("without them", 0), part("with 10", 9)], ..Run::default() }
    }

    #[test]
    fn two_parts_stand_beside_one_another_and_one_does_not() {
        let (heads, rows) = side_by_side(&run()).expect("two parts");
        assert_eq!(heads, ["without them", "with 10"]);
        let cells = |rows: &[Row], name| rows.iter().find(|row| row.0 == name).map(|row| row.1.clone());
        let expected = ["100 %", "99.00 %"].map(str::to_owned).to_vec();
        assert_eq!(cells(&rows, "delivered of what was due"), Some(expected));
        assert_eq!(cells(&rows, "server descriptors, in the end"), None, "whose server is not known");
        let (_, rows) = side_by_side(&Run { server: Some(Server::default()), ..run() }).expect("two parts");
        let descriptors = ["110", "110"].map(str::to_owned).to_vec();
        assert_eq!(cells(&rows, "server descriptors, in the end"), Some(descriptors));
        assert_eq!(side_by_side(&Run { parts: run().parts[..1].to_vec(), ..Run::default() }), None);
    }
}
