//! Colours that can be read on a dark ground and on a light one, and none where nobody wants any.

use ratatui::style::{Color, Modifier, Style};

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As the terminal has it.
    Plain,
    /// Beside the point: labels, rules.
    Quiet,
    /// A heading.
    Title,
    /// From clients.
    Into,
    /// To clients.
    Out,
    Good,
    Odd,
    Bad,
}

impl Tone {
    /// Of the 256 colours that terminals share those that are neither light nor dark.
    const fn color(self) -> Option<u8> {
        match self {
            Self::Plain => None,
            Self::Quiet => Some(243),
            Self::Title | Self::Into => Some(32),
            Self::Out => Some(133),
            Self::Good => Some(28),
            Self::Odd => Some(166),
            Self::Bad => Some(160),
        }
    }
}

/// How tones are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Palette {
    has_colors: bool,
}

impl Palette {
    /// As the environment wishes (<https://no-color.org>).
    #[must_use]
    pub(crate) fn of_environment() -> Self {
        Self::new(std::env::var_os("NO_COLOR").is_none_or(|word| word.is_empty()))
    }

    /// With colours, or without.
    #[must_use]
    pub(crate) const fn new(has_colors: bool) -> Self {
        Self { has_colors }
    }

    /// The style of this tone. Without colours what matters is bold.
    #[must_use]
    pub(crate) fn of(self, tone: Tone) -> Style {
        let style = match tone {
            Tone::Title | Tone::Bad | Tone::Odd => Style::new().add_modifier(Modifier::BOLD),
            Tone::Plain | Tone::Quiet | Tone::Into | Tone::Out | Tone::Good => Style::new(),
        };
        match tone.color().filter(|_| self.has_colors) {
            Some(color) => style.fg(Color::Indexed(color)),
            None => style,
        }
    }

    /// Of what is selected.
    #[must_use]
    pub(crate) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The colour of this number, as xterm has it.
    fn rgb(number: u8) -> [f64; 3] {
        let steps = [0u8, 95, 135, 175, 215, 255].map(f64::from);
        match number {
            16..=231 => {
                let cube = usize::from(number - 16);
                [cube / 36, cube / 6 % 6, cube % 6].map(|part| steps[part])
            }
            232.. => [f64::from(8 + 10 * (u32::from(number) - 232)); 3],
            _ => panic!("{number} is as the user likes it"),
        }
    }

    /// WCAG 2.1: relative luminance.
    fn luminance(number: u8) -> f64 {
        let [red, green, blue] = rgb(number).map(|part| {
            let part = part / 255.0;
            if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    #[test]
    fn every_colour_stands_out_from_black_and_from_white() {
        use Tone::{Bad, Good, Into, Odd, Out, Plain, Quiet, Title};
        for tone in [Plain, Quiet, Title, Into, Out, Good, Odd, Bad] {
            let Some(color) = tone.color() else { continue };
            let (on_black, on_white) = ((luminance(color) + 0.05) / 0.05, 1.05 / (luminance(color) + 0.05));
            assert!(on_black >= 3.5 && on_white >= 3.5, "{tone:?} {color}: {on_black:.1} {on_white:.1}");
        }
    }

    #[test]
    fn without_colours_there_is_none() {
        for tone in [Tone::Plain, Tone::Bad, Tone::Into, Tone::Good] {
            assert_eq!(Palette::new(false).of(tone).fg, None, "{tone:?}");
        }
        assert_eq!(Palette::new(true).of(Tone::Bad).fg, Some(Color::Indexed(160)));
    }
}
