//! Times as people write them, in UTC: RFC 3339, and dates.

#![expect(clippy::disallowed_methods, reason = "the clock is read here")]

/// Seconds since 1970, by the system's clock.
pub(crate) fn now() -> u64 {
    // A clock before 1970 is no clock; the time is a claim in any case.
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

/// Seconds since 1970 as `2026-11-22T03:08:03Z`.
pub(crate) fn shown(seconds: u64) -> String {
    let days = seconds / DAY;
    let (year, month, day) = civil(days);
    let rest = seconds % DAY;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Reads `2026-11-22`, `2026-11-22T03:08:03Z`, or a span from now: `90d`, `12h`.
pub(crate) fn parse(text: &str, now: u64) -> Option<u64> {
    let time = span(text).map_or_else(|| moment(text), |span| now.checked_add(span));
    time.filter(|time| *time < YEAR_10000)
}

/// Reads the same, with a span that goes back from now and may be as short as `90s` or `30m`.
pub(crate) fn parse_past(text: &str, now: u64) -> Option<u64> {
    let time = span_of(text).map_or_else(|_| moment(text), |span| Some(now.saturating_sub(span)));
    time.filter(|time| *time < YEAR_10000)
}

/// Reads a span: `90s`, `30m`, `8h`, `7d`, `2w`. In seconds, and not nothing.
pub(crate) fn span_of(text: &str) -> Result<u64, String> {
    let seconds = match text.strip_suffix(['s', 'm']) {
        Some(number) if text.ends_with('s') => digits(number),
        Some(number) => digits(number).and_then(|number| number.checked_mul(60)),
        None => span(text),
    };
    seconds
        .filter(|seconds| (1..=100 * 366 * DAY).contains(seconds))
        .ok_or_else(|| "write a time as 90s, 30m, 8h or 7d".to_owned())
}

/// A span as people write it.
pub(crate) fn shown_span(seconds: u64) -> String {
    let units = [(DAY, "d"), (3600, "h"), (60, "m")];
    let fitting = units.into_iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
    fitting.map_or_else(|| format!("{seconds}s"), |(unit, name)| format!("{}{name}", seconds / unit))
}

/// Seconds of a span: `90d`, `12h`, `4w`.
pub(crate) fn span(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "h" => 3600,
        "d" => DAY,
        "w" => 7 * DAY,
        _ => return None,
    };
    digits(number).and_then(|number| number.checked_mul(unit))
}

fn moment(text: &str) -> Option<u64> {
    let (date, clock) = match text.split_once('T') {
        Some((date, clock)) => (date, clock.strip_suffix('Z')?),
        None => (text, "00:00:00"),
    };
    let [year, month, day] = three(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = three(clock, ':', [2, 2, 2])?;
    if year < 1970 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days(year, month, day);
    // A date that does not exist comes back as another one.
    (civil(days) == (year, month, day)).then_some(days * DAY + hour * 3600 + minute * 60 + second)
}

fn three(text: &str, separator: char, widths: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; 3];
    for (number, width) in numbers.iter_mut().zip(widths) {
        *number = digits(parts.next().filter(|part| part.len() == width)?)?;
    }
    parts.next().is_none().then_some(numbers)
}

fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Days since 1970-01-01 to a date of the Gregorian calendar. Years are counted from March, so that the leap day is the last.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + DAYS_TO_1970;
    let era = shifted / DAYS_OF_400_YEARS;
    let of_era = shifted % DAYS_OF_400_YEARS;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year_of_era;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let year_of_era = year % 400;
    let of_year = (153 * month + 2) / 5 + day - 1.min(day);
    year / 400 * DAYS_OF_400_YEARS + 365 * year_of_era + year_of_era / 4 - year_of_era / 100 + of_year
        - DAYS_TO_1970
}

const DAY: u64 = 24 * 60 * 60;
/// From here on, a date has five digits for the year.
const YEAR_10000: u64 = 253_402_300_800;
const DAYS_OF_400_YEARS: u64 = 146_097;
/// From the first of March of the year 0.
const DAYS_TO_1970: u64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_are_shown_and_read() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_210_096, "2024-02-29T12:34:56Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(shown(seconds), text);
            assert_eq!(parse(text, 7), Some(seconds));
        }
        assert_eq!(parse("2024-02-29", 0), Some(1_709_164_800));
        assert_eq!(parse("9999-12-31T23:59:59Z", 0), Some(YEAR_10000 - 1));
        assert_eq!(parse("2d", 5), Some(172_805));
        assert_eq!(parse("3h", 0), Some(10_800));
        assert_eq!(parse_past("30m", 7200), Some(5400));
        assert_eq!(parse_past("3h", 7200), Some(0));
        assert_eq!(parse_past("2024-02-29", 7), Some(1_709_164_800), "a date is one, even if it is to come");
        assert_eq!(parse_past("soon", 7), None);
    }

    #[test]
    fn every_day_of_a_thousand_years_survives_the_round_trip() {
        for day in 0..365_243 {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month, date), day);
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "d",
            "2026",
            "2026-1-1",
            "2026-02-30",
            "2025-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-01-00",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00+01:00",
            "1969-12-31",
            "-1d",
            "+1d",
            "99999999999999999999d",
            "99999999999d",
            "2932897d",
            "ä",
            "2026-01-01-01",
        ] {
            assert_eq!(parse(text, 0), None, "{text}");
        }
    }
}
