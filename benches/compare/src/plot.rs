//! The ratios as a picture: a row for each operation and size, a dot for each contender, on a logarithmic scale.

use crate::table::axes;
use rsm_perf::machine::Machine;
use rsm_perf::measure::Outcome;
use rsm_perf::report::bytes;

const COLOURS: [&str; 12] = [
    "#c0392b", "#e67e22", "#2c6fbb", "#16a085", "#7f8c8d", "#34495e", "#27ae60", "#8e44ad", "#d4a017", "#00838f",
    "#ad1457", "#5d4037",
];
const LEFT: f64 = 190.0;
const WIDTH: f64 = 760.0;
const ROW: f64 = 22.0;
const TOP: f64 = 120.0;

/// The picture; empty rows are left out.
pub fn render(outcomes: &[Outcome], machine: &Machine) -> String {
    let (programs, rows) = axes(outcomes);
    let ratios = outcomes.iter().filter_map(|o| o.ratio);
    let most = ratios.fold(10.0_f64, f64::max).log10().ceil().min(5.0);
    let least = -0.5;
    let x = |ratio: f64| LEFT + (ratio.log10().clamp(least, most) - least) / (most - least) * WIDTH;
    let bottom = TOP + rows.len() as f64 * ROW;
    let (full_width, height) = (LEFT + WIDTH + 30.0, bottom + 50.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{full_width}\" height=\"{height}\" \
         viewBox=\"0 0 {full_width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"16\" y=\"26\" font-size=\"17\" font-weight=\"bold\">What an operation costs, as a multiple of the raw one</text>\n\
         <text x=\"16\" y=\"46\" fill=\"#555\">{}</text>\n",
        escape(&machine.line())
    );
    for (i, program) in programs.iter().enumerate() {
        let (column, line) = ((i % 6) as f64, (i / 6) as f64);
        let (cx, cy) = (22.0 + column * 155.0, 68.0 + line * 20.0);
        svg += &format!("<circle cx=\"{cx}\" cy=\"{cy}\" r=\"5\" fill=\"{}\"/>", COLOURS[i % COLOURS.len()]);
        svg += &format!("<text x=\"{}\" y=\"{}\">{}</text>\n", cx + 10.0, cy + 4.0, escape(program));
    }
    for power in 0..=most as i32 {
        let at = x(10f64.powi(power));
        let (colour, width) = if power == 0 { ("#333", 1.5) } else { ("#ddd", 1.0) };
        svg += &format!(
            "<line x1=\"{at}\" y1=\"{}\" x2=\"{at}\" y2=\"{bottom}\" stroke=\"{colour}\" stroke-width=\"{width}\"/>",
            TOP - 6.0
        );
        svg +=
            &format!("<text x=\"{at}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n", bottom + 18.0, 10f64.powi(power));
    }
    svg += &format!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555\">times the raw operation of the same pair of processes, same round (1 is the limit)</text>\n",
        LEFT + WIDTH / 2.0,
        bottom + 38.0
    );
    for (i, (op, size)) in rows.iter().enumerate() {
        let y = TOP + (i as f64 + 0.5) * ROW;
        svg += &format!("<line x1=\"{LEFT}\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\" stroke=\"#eee\"/>", LEFT + WIDTH);
        svg += &format!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{op}, {}</text>\n",
            LEFT - 8.0,
            y + 4.0,
            bytes(*size)
        );
        // The first is drawn last, so that it is on top.
        for (n, program) in programs.iter().enumerate().rev() {
            let found = outcomes.iter().find(|o| o.op == *op && o.bytes == *size && o.program == *program);
            if let Some(ratio) = found.and_then(|o| o.ratio) {
                let colour = COLOURS[n % COLOURS.len()];
                svg += &format!(
                    "<circle cx=\"{:.1}\" cy=\"{y}\" r=\"5\" fill=\"{colour}\" fill-opacity=\"0.85\">",
                    x(ratio)
                );
                svg += &format!("<title>{} {op} {}: {ratio:.2}</title></circle>\n", escape(program), bytes(*size));
            }
        }
    }
    svg + "</svg>\n"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
