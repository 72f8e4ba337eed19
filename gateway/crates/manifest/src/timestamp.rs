use crate::Timestamp;

impl Timestamp {
    /// Now, by the system's clock.
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self(since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX)))
    }

    /// Reads `2026-11-24T10:29:00Z`, also with fractions (cut off) and offsets. Source: RFC 3339 §5.6.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, rest) = text.split_at_checked(10)?;
        let rest = rest.strip_prefix(['T', 't', ' '])?;
        let (time, rest) = rest.split_at_checked(8)?;
        let (year, month, day) = (digits(date, 0, 4)?, digits(date, 5, 2)?, digits(date, 8, 2)?);
        let (hour, minute, second) = (digits(time, 0, 2)?, digits(time, 3, 2)?, digits(time, 6, 2)?);
        let separated = date.as_bytes()[4] == b'-'
            && date.as_bytes()[7] == b'-'
            && time.as_bytes()[2] == b':'
            && time.as_bytes()[5] == b':';
        let in_range = (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second <= 60;
        if !separated || !in_range {
            return None;
        }
        let offset = offset(fraction_cut(rest)?)?;
        Some(Self(days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset))
    }
}

fn digits(text: &str, from: usize, count: usize) -> Option<i64> {
    let text = text.get(from..from + count)?;
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn fraction_cut(rest: &str) -> Option<&str> {
    match rest.strip_prefix('.') {
        None => Some(rest),
        Some(fraction) => {
            let rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            (rest.len() < fraction.len()).then_some(rest)
        }
    }
}

fn offset(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = (digits(text, 1, 2)?, digits(text, 4, 2)?);
    let whole = text.len() == 6 && text.as_bytes()[3] == b':' && hours < 24 && minutes < 60;
    whole.then_some(sign * (hours * 3600 + minutes * 60))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Counts in years that begin in March, so that the leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_rfc_3339() {
        let at = |text: &str| Timestamp::parse(text).map(|at| at.0);
        assert_eq!(at("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(at("2000-02-29T12:30:45Z"), Some(951_827_445));
        assert_eq!(at("2026-11-24T10:29:00.999999Z"), Some(1_795_516_140));
        assert_eq!(at("2026-11-24T12:29:00+02:00"), Some(1_795_516_140));
        assert_eq!(at("1969-12-31T23:59:59Z"), Some(-1));
        for bad in [
            "",
            "2026-11-24",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-11-24T10:29:00",
            "2026-11-24T24:00:00Z",
            "2026-11-24T10:29:00.Z",
            "2026-11-24T10:29:00+2:00",
            "2026/11/24T10:29:00Z",
        ] {
            assert_eq!(at(bad), None, "{bad}");
        }
    }
}
