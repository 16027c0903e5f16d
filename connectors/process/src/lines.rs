//! Reading lines of bounded length, whoever writes them.

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

/// How a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// By a line break, or by the end of the stream after some bytes.
    Whole,
    /// By its length; what follows is the rest of it.
    Cut,
    /// There is no more.
    End,
}

/// Reads the next line into `line`, without its line break, at most `most` bytes of it. A stream that fails has ended.
pub(crate) async fn next(from: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>, most: usize) -> Line {
    line.clear();
    loop {
        let available = from.fill_buf().await.unwrap_or_default();
        if available.is_empty() {
            return if line.is_empty() { Line::End } else { Line::Whole };
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let room = most - line.len();
        let taken = end.unwrap_or(available.len());
        if taken > room {
            line.extend_from_slice(&available[..room]);
            from.consume(room);
            return Line::Cut;
        }
        line.extend_from_slice(&available[..taken]);
        from.consume(taken + usize::from(end.is_some()));
        if end.is_some() {
            return Line::Whole;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;

    fn read(text: &[u8], buffer: usize, most: usize) -> Vec<(Vec<u8>, Line)> {
        let mut from = tokio::io::BufReader::with_capacity(buffer, text);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut lines, mut line) = (Vec::new(), Vec::new());
            loop {
                match next(&mut from, &mut line, most).await {
                    Line::End => return lines,
                    how => lines.push((line.clone(), how)),
                }
            }
        })
    }

    #[test]
    fn lines_end_by_a_break_by_their_length_or_with_the_stream() {
        let lines = read(b"one\n\nabcdefg\nend", 4, 5);
        let told: Vec<(&str, Line)> = lines.iter().map(|(line, how)| (std::str::from_utf8(line).unwrap(), *how)).collect();
        assert_eq!(told, [("one", Line::Whole), ("", Line::Whole), ("abcde", Line::Cut), ("fg", Line::Whole), ("end", Line::Whole)]);
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_and_no_line_is_too_long(text in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200), buffer in 1_usize..20, most in 1_usize..20) {
            let lines = read(&text, buffer, most);
            prop_assert!(lines.iter().all(|(line, _)| line.len() <= most));
            let mut joined: Vec<u8> = Vec::new();
            for (line, how) in &lines {
                joined.extend(line);
                if *how == Line::Whole { joined.push(b'\n'); }
            }
            let mut expected = text.clone();
            if expected.last().is_some_and(|last| *last != b'\n') { expected.push(b'\n'); }
            prop_assert_eq!(joined, expected);
        }
    }
}
