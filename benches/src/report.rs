//! What was measured, as rows of a table.

use crate::stats::Spread;

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
    /// None: it is told.
    Told,
}

impl Target {
    /// Whether a figure is so; `None` if there is no target.
    #[must_use]
    pub fn met(self, figure: f64) -> Option<bool> {
        match self {
            Self::AtMost(limit) => Some(figure <= limit),
            Self::AtLeast(limit) => Some(figure >= limit),
            Self::Told => None,
        }
    }
}

/// One figure.
#[derive(Debug, Clone)]
pub struct Row {
    /// What it is.
    pub what: String,
    /// Its unit; none for ratios.
    pub unit: &'static str,
    /// The figure: for pairs, the median of the pairs' ratios, not the ratio of the medians.
    pub figure: Spread,
    /// What it should be.
    pub target: Target,
    /// What was measured for it, such as two times.
    pub details: String,
}

/// A time in milliseconds with its spread.
#[must_use]
pub fn shown(spread: &Spread, unit: &str) -> String {
    let Spread { low, median, high, .. } = *spread;
    let digits = if high >= 100.0 {
        0
    } else if high >= 10.0 {
        1
    } else {
        2
    };
    let space = if unit.is_empty() { "" } else { " " };
    format!("{median:.digits$}{space}{unit} ({low:.digits$}–{high:.digits$})")
}

/// The table, in Markdown.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut text = "| what | runs | target | measured | met | from |\n|---|---|---|---|---|---|\n".to_owned();
    for Row { what, unit, figure, target, details } in rows {
        let wanted = match target {
            Target::AtMost(limit) => format!("≤ {} {unit}", (limit * 10.0).round() / 10.0),
            Target::AtLeast(limit) => format!("≥ {limit} {unit}"),
            Target::Told => "–".to_owned(),
        };
        let met = match target.met(figure.median) {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "–",
        };
        let count = figure.count;
        text.push_str(&format!(
            "| {what} | {count} | {} | {} | {met} | {details} |\n",
            wanted.trim_end(),
            shown(figure, unit)
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_target_shows() {
        let row = |target| Row {
            what: "x".to_owned(),
            unit: "ms",
            figure: Spread::of([3.0]),
            target,
            details: String::new(),
        };
        let text = table(&[row(Target::AtMost(2.0)), row(Target::AtLeast(2.0)), row(Target::Told)]);
        let met: Vec<_> = text.lines().skip(2).map(|line| line.split('|').nth(5).unwrap().trim()).collect();
        assert_eq!(met, ["**no**", "yes", "–"]);
        assert!(text.contains("3.00 ms (3.00–3.00)"), "{text}");
    }
}
