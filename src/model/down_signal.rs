//! The signal that asks a service to stop, where that is not TERM: the file `down-signal`.

/// The number of the signal that `text` names: a number, or a name such as `TERM`, `SIGHUP` or `RTMIN+3`.
///
/// `number` knows the names that begin with SIG, `SIGRTMIN` and `SIGRTMAX` among them. Source: s6-supervise.
/// Differs: s6 does not know the signals of real time by name.
pub fn read(text: &[u8], number: impl Fn(&str) -> Option<i32>) -> Option<i32> {
    let text = std::str::from_utf8(text).ok()?.trim().to_ascii_uppercase();
    let known = (1, number("SIGRTMAX")?);
    let said = match text.parse::<u8>() {
        Ok(said) => i32::from(said),
        Err(_) => {
            let name = text.strip_prefix("SIG").unwrap_or(&text);
            let end = name.find(['+', '-']).unwrap_or(name.len());
            let (name, step) = name.split_at(end);
            let step = if step.is_empty() { 0 } else { step.parse().ok().filter(|_| name.starts_with("RT"))? };
            number(&format!("SIG{name}"))?.checked_add(step)?
        }
    };
    (known.0..=known.1).contains(&said).then_some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_a_number_or_a_name() {
        let number = |name: &str| match name {
            "SIGTERM" => Some(15),
            "SIGRTMIN" => Some(34),
            "SIGRTMAX" => Some(64),
            _ => None,
        };
        let cases: [(&str, Option<i32>); 14] = [
            ("15\n", Some(15)),
            ("TERM\n", Some(15)),
            ("sigterm", Some(15)),
            ("RTMIN+3", Some(37)),
            ("SIGRTMAX-1", Some(63)),
            ("RTMAX+1", None),
            ("TERM+1", None),
            ("0", None),
            ("65", None),
            ("-1", None),
            ("", None),
            ("SIG", None),
            ("RTMIN+", None),
            ("NONSENSE", None),
        ];
        for (text, said) in cases {
            assert_eq!(read(text.as_bytes(), number), said, "{text:?}");
        }
        assert_eq!(read(b"\xff", number), None);
    }
}
