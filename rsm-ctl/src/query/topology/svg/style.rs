//! Colours. They stand in attributes, which everything that shows a picture understands; browsers that are dark read the
//! other ones from a style sheet, which counts more there.

/// How one class of things is painted: its attributes, and those that are other ones in the dark.
struct Paint {
    class: &'static str,
    light: &'static [(&'static str, &'static str)],
    dark: &'static [(&'static str, &'static str)],
}

const PAINTS: &[Paint] = &[
    Paint { class: "back", light: &[("fill", "#ffffff")], dark: &[("fill", "#17181b")] },
    Paint { class: "ink", light: &[("fill", "#202124")], dark: &[("fill", "#e8eaed")] },
    Paint { class: "faint", light: &[("fill", "#5f6368")], dark: &[("fill", "#9aa0a6")] },
    Paint { class: "bad", light: &[("fill", "#d93025")], dark: &[("fill", "#f28b82")] },
    Paint { class: "warn", light: &[("fill", "#b06000")], dark: &[("fill", "#fdd663")] },
    Paint {
        class: "active",
        light: &[("fill", "none"), ("stroke", "#34a853"), ("stroke-width", "1.4")],
        dark: &[("stroke", "#5bb974")],
    },
    Paint {
        class: "up",
        light: &[
            ("fill", "none"),
            ("stroke", "#9aa0a6"),
            ("stroke-width", "1.4"),
            ("stroke-dasharray", "1 5"),
            ("stroke-linecap", "round"),
        ],
        dark: &[("stroke", "#6f757c")],
    },
    Paint {
        class: "error",
        light: &[("fill", "none"), ("stroke", "#b06000"), ("stroke-width", "2.4")],
        dark: &[("stroke", "#fdd663")],
    },
    Paint {
        class: "down",
        light: &[("fill", "none"), ("stroke", "#d93025"), ("stroke-width", "2.4"), ("stroke-dasharray", "9 6")],
        dark: &[("stroke", "#f28b82")],
    },
    Paint { class: "import", light: &[("fill", "none"), ("stroke", "#1a73e8")], dark: &[("stroke", "#8ab4f8")] },
    Paint {
        class: "cut",
        light: &[("fill", "none"), ("stroke", "#1a73e8"), ("stroke-dasharray", "3 4")],
        dark: &[("stroke", "#8ab4f8")],
    },
    Paint { class: "head", light: &[("fill", "#1a73e8")], dark: &[("fill", "#8ab4f8")] },
    Paint {
        class: "host1",
        light: &[("fill", "none"), ("stroke", "#fef0d5"), ("stroke-linecap", "round")],
        dark: &[("stroke", "#3a3020")],
    },
    Paint {
        class: "host2",
        light: &[("fill", "none"), ("stroke", "#e2f1e4"), ("stroke-linecap", "round")],
        dark: &[("stroke", "#20342a")],
    },
    Paint {
        class: "node",
        light: &[("fill", "#e8f0fe"), ("stroke", "#1a73e8"), ("stroke-width", "2")],
        dark: &[("fill", "#1f2d46"), ("stroke", "#8ab4f8")],
    },
    Paint {
        class: "away",
        light: &[("fill", "#f1f3f4"), ("stroke", "#9aa0a6"), ("stroke-width", "2"), ("stroke-dasharray", "4 4")],
        dark: &[("fill", "#26282c"), ("stroke", "#6f757c")],
    },
];

/// The attributes of an element of this class.
pub(super) fn of(class: &str) -> String {
    let paint = PAINTS.iter().find(|paint| paint.class == class);
    let attributes = paint.map_or(&[][..], |paint| paint.light).iter();
    let attributes: String = attributes.map(|(name, value)| format!(" {name}=\"{value}\"")).collect();
    format!("class=\"{class}\"{attributes}")
}

/// The style sheet.
pub(super) fn sheet() -> String {
    let rule = |paint: &Paint| {
        let colours: String = paint.dark.iter().map(|(name, value)| format!(" {name}: {value};")).collect();
        format!("    .{} {{{colours} }}\n", paint.class)
    };
    let rules: String = PAINTS.iter().map(rule).collect();
    format!("\n  @media (prefers-color-scheme: dark) {{\n{rules}  }}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_colours_in_both() {
        for paint in PAINTS {
            let coloured = |colours: &[(&str, &str)]| -> Vec<String> {
                let told =
                    colours.iter().filter(|(name, value)| matches!(*name, "fill" | "stroke") && *value != "none");
                told.map(|(name, _)| (*name).to_owned()).collect()
            };
            assert_eq!(coloured(paint.light), coloured(paint.dark), "{}", paint.class);
            assert!(of(paint.class).contains('#'), "{}", paint.class);
            assert!(sheet().contains(&format!(".{} {{", paint.class)));
        }
    }
}
