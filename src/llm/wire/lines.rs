//! Cuts a stream of bytes into lines and events, wherever its pieces begin and end.
//!
//! Server-sent events as the WHATWG's HTML standard defines them ("Parsing an event stream"), without ids and retries,
//! which nobody needs here; and newline-delimited JSON.

/// A line longer than this is no answer of a model.
const LONGEST_LINE: usize = 16 << 20;

/// Collects bytes until a line is whole.
#[derive(Debug, Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    /// The last byte ended a line and was a carriage return: a newline behind it belongs to it.
    after_return: bool,
    /// The first line may begin with a byte order mark.
    begun: bool,
}

/// The longest line was longer than any may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Lines {
    /// Takes the next piece; returns the lines that it completes.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<String>, TooLong> {
        let mut whole = Vec::new();
        for byte in bytes {
            let after_return = std::mem::replace(&mut self.after_return, *byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => whole.push(self.take()),
                _ if self.line.len() >= LONGEST_LINE => return Err(TooLong),
                _ => self.line.push(*byte),
            }
        }
        Ok(whole)
    }

    fn take(&mut self) -> String {
        let line = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        if std::mem::replace(&mut self.begun, true) {
            return line;
        }
        line.trim_start_matches('\u{feff}').to_owned()
    }
}

/// Puts lines together to events.
#[derive(Debug, Default)]
pub(super) struct Events {
    data: Option<String>,
}

impl Events {
    /// Takes the next line; returns the data of the event that it completes. The events' names are not kept: every
    /// dialect says them in the data too.
    pub(super) fn feed(&mut self, line: &str) -> Result<Option<String>, TooLong> {
        if line.is_empty() {
            return Ok(self.data.take());
        }
        if let Some(value) = line.strip_prefix("data:") {
            let value = value.strip_prefix(' ').unwrap_or(value);
            match &mut self.data {
                Some(data) if data.len() + value.len() > LONGEST_LINE => return Err(TooLong),
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\u{feff}: a comment\r\ndata: one\r\rdata:two\ndata: 2\n\nevent: x\r\ndata: dr\u{e4}i \u{1f980}\r\n\r\ndata: cut";

    fn events(pieces: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut events) = (Lines::default(), Events::default());
        let whole = pieces.iter().flat_map(|piece| lines.feed(piece).unwrap()).collect::<Vec<_>>();
        whole.iter().filter_map(|line| events.feed(line).unwrap()).collect()
    }

    #[test]
    fn every_split_gives_the_same_events() {
        let (bytes, wanted) = (TEXT.as_bytes(), ["one", "two\n2", "dr\u{e4}i \u{1f980}"]);
        assert_eq!(events(&[bytes]), wanted);
        assert_eq!(events(&bytes.chunks(1).collect::<Vec<_>>()), wanted);
        for at in 0..bytes.len() {
            assert_eq!(events(&[&bytes[..at], &bytes[at..]]), wanted, "split at {at}");
        }
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        let mut lines = Lines::default();
        let piece = vec![b'x'; 1 << 20];
        let fed: Result<Vec<_>, _> = (0..17).map(|_| lines.feed(&piece)).collect();
        assert_eq!(fed.unwrap_err(), TooLong);
    }
}
