//! Subtitle files, cue by cue: SubRip and WebVTT.

use std::time::Duration;

use super::Cue;

/// What a subtitle file is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subtitles {
    /// SubRip: `00:00:01,250`, cues numbered from 1.
    Srt,
    /// WebVTT: `00:00:01.250`, `&`, `<` and `>` escaped.
    Vtt,
}

impl Subtitles {
    /// What the file begins with.
    pub fn head(self) -> &'static str {
        match self {
            Subtitles::Srt => "",
            Subtitles::Vtt => "WEBVTT\n\n",
        }
    }

    /// A cue with the empty line behind it. `number` from 1.
    pub fn cue<W>(self, number: u64, cue: &Cue<W>) -> String {
        let lines: Vec<String> = cue.lines.iter().map(|line| self.safe(line)).collect();
        let (start, end) = (self.time(cue.start), self.time(cue.end));
        let text = lines.join("\n");
        match self {
            Subtitles::Srt => format!("{number}\n{start} --> {end}\n{text}\n\n"),
            Subtitles::Vtt => format!("{start} --> {end}\n{text}\n\n"),
        }
    }

    /// Text that cannot end a cue or open a timing line.
    fn safe(self, line: &str) -> String {
        let line = line.replace(['\n', '\r', '\0', '\u{85}', '\u{2028}', '\u{2029}'], " ");
        match self {
            Subtitles::Srt => line.replace("-->", "→"),
            Subtitles::Vtt => line
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;"),
        }
    }

    fn time(self, time: Duration) -> String {
        let ms = time.as_millis();
        let comma = match self {
            Subtitles::Srt => ',',
            Subtitles::Vtt => '.',
        };
        let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
        format!(
            "{hours:02}:{minutes:02}:{seconds:02}{comma}{:03}",
            ms % 1_000
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cue(line: &str) -> Cue<()> {
        Cue {
            words: Vec::new(),
            start: Duration::from_millis(3_661_005),
            end: Duration::from_millis(3_662_250),
            lines: vec![line.into(), "b".into()],
        }
    }

    #[test]
    fn subrip_numbers_its_cues() {
        let text = Subtitles::Srt.cue(7, &cue("a --> <i>"));
        assert_eq!(text, "7\n01:01:01,005 --> 01:01:02,250\na → <i>\nb\n\n");
    }

    #[test]
    fn webvtt_escapes_what_it_would_read() {
        let text = Subtitles::Vtt.cue(7, &cue("a --> <i> & b\n\nc"));
        let expected = "01:01:01.005 --> 01:01:02.250\na --&gt; &lt;i&gt; &amp; b  c\nb\n\n";
        assert_eq!(text, expected);
        assert_eq!(Subtitles::Vtt.head(), "WEBVTT\n\n");
    }
}
