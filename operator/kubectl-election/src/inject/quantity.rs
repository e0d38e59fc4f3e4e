//! Quantities, as Kubernetes reads them.

/// A quantity in units of 10⁻⁹, the smallest unit of Kubernetes; cut to what fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Quantity(i128);

impl Quantity {
    pub(super) const ZERO: Quantity = Quantity(0);

    /// Reads a quantity; `None` if it is none. As in Kubernetes, a text without digits, such as `m`, is 0.
    pub(super) fn parse(text: &str) -> Option<Quantity> {
        let (sign, rest) = match text.as_bytes().first()? {
            b'-' => (-1, &text[1..]),
            b'+' => (1, &text[1..]),
            _ => (1, text),
        };
        let (whole, rest) = digits(rest);
        let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), digits);
        let (factor, exponent) = factor(suffix)?;
        let mantissa = format!("{whole}{fraction}");
        let mantissa = mantissa.trim_start_matches('0');
        let mut amount = if mantissa.is_empty() { 0 } else { mantissa.parse().unwrap_or(i128::MAX) };
        amount = i128::saturating_mul(amount, factor);
        let power = exponent.saturating_add(9).saturating_sub(i64::try_from(fraction.len()).unwrap_or(i64::MAX));
        for _ in 0..power.clamp(0, 40) {
            amount = amount.saturating_mul(10);
        }
        for _ in 0..(-power).clamp(0, 40) {
            amount = amount / 10 + i128::from(amount % 10 > 0);
        }
        Some(Quantity(sign * amount))
    }
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// The factor of a suffix: a number, and a power of ten.
fn factor(suffix: &str) -> Option<(i128, i64)> {
    Some(match suffix {
        "Ki" => (1 << 10, 0),
        "Mi" => (1 << 20, 0),
        "Gi" => (1 << 30, 0),
        "Ti" => (1 << 40, 0),
        "Pi" => (1 << 50, 0),
        "Ei" => (1 << 60, 0),
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "" => (1, 0),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        _ => (1, suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_amount_can_be_written_in_many_ways() {
        for same in [
            &["100m", "0.1", ".1", "1e-1", "100e-3", "+0.10", "100000u"][..],
            &["1Gi", "1024Mi", "1073741824", "1.0Gi", "1073741824e0"],
            &["0", "-0", "0Mi", "m", "0e9", "."],
            &["1E", "1e18", "1000P", "1E18"],
            &["1n", "0.1n", "1e-99"],
        ] {
            let parsed: Vec<_> = same.iter().map(|text| Quantity::parse(text).unwrap()).collect();
            assert!(parsed.windows(2).all(|pair| pair[0] == pair[1]), "{same:?}: {parsed:?}");
        }
        let ascending = ["-1Gi", "-1n", "0", "1n", "5m", "50m", "1", "1k", "1Ki", "1M", "1Mi", "1e999999"];
        let parsed: Vec<_> = ascending.iter().map(|text| Quantity::parse(text).unwrap()).collect();
        assert!(parsed.is_sorted_by(|a, b| a < b), "{parsed:?}");
        for bad in ["", "half", "50 m", "32MB", "1e", "1.2.3", "0x10", "5mi", "1,5", "1_000", " 1"] {
            assert_eq!(Quantity::parse(bad), None, "{bad:?}");
        }
    }
}
