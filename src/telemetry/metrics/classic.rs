//! The text format that Prometheus had before OpenMetrics (0.0.4), made from OpenMetrics.

/// Samples are the same in both; a family has the name of its samples here, and neither a unit nor an end is told.
pub(super) fn classic(text: &str) -> String {
    let mut classic = String::with_capacity(text.len());
    let mut help = "";
    for line in text.lines() {
        match line.strip_prefix("# ").and_then(|rest| rest.split_once(' ')) {
            Some(("HELP", rest)) => help = rest.split_once(' ').map_or("", |(_, help)| help),
            Some(("TYPE", rest)) => {
                let (name, kind) = rest.split_once(' ').unwrap_or((rest, "unknown"));
                let (suffix, kind) = match kind {
                    "counter" => ("_total", kind),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    _ => ("", kind),
                };
                classic += &format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n");
            }
            _ if line.starts_with('#') => {}
            _ => {
                classic += line;
                classic.push('\n');
            }
        }
    }
    classic
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_named_as_their_samples() {
        let text = "# HELP a_seconds How long it took.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\n\
                    a_seconds_total{b=\"# TYPE c counter\"} 1\n# HELP v What runs here\n# TYPE v info\n\
                    v_info{version=\"1\"} 1\n# HELP g G\n# TYPE g gauge\ng 2\n# EOF\n";
        let expected = "# HELP a_seconds_total How long it took.\n# TYPE a_seconds_total counter\n\
                        a_seconds_total{b=\"# TYPE c counter\"} 1\n# HELP v_info What runs here\n\
                        # TYPE v_info gauge\nv_info{version=\"1\"} 1\n# HELP g G\n# TYPE g gauge\ng 2\n";
        assert_eq!(classic(text), expected);
    }
}
